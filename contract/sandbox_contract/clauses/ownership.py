"""Ownership: a sandbox is hidden from other users, unchanged by them, and shares no files."""

from sandbox_contract.clause import clause
from sandbox_contract.harness.run import Run
from sandbox_contract.target import Need

from .messages import NO_ACCESS
from .routes import expect_no_effect, expect_refused_on_each, sandbox_routes


@clause(
    "sandboxes.ownership.missing",
    "A sandbox that does not exist is 403 on every sandbox route.",
    source="ownership",
    needs=Need.USER,
)
async def missing_sandboxes_are_refused(run: Run) -> None:
    alice = await run.actors.alice()
    for name in (run.name("missing"), "UPPER", "x" * 70, "a%2Fb", "%2e%2e"):
        await expect_refused_on_each(sandbox_routes(name), alice.call, 403, NO_ACCESS)


@clause(
    "sandboxes.ownership.hidden",
    "Another user's sandbox gets the same responses as one that does not exist.",
    source="ownership",
    needs=Need.SECOND_USER,
)
async def another_users_sandbox_is_hidden(run: Run) -> None:
    hidden = await run.sandboxes.of_bob()
    alice, missing = await run.actors.alice(), run.name("missing")
    for hidden_route, missing_route in zip(
        sandbox_routes(hidden.name), sandbox_routes(missing), strict=True
    ):
        reply = await hidden_route.send(alice.call)
        reply.expect_refusal(403, NO_ACCESS)
        reply.expect_like(await missing_route.send(alice.call))


@clause(
    "sandboxes.ownership.untouched",
    "Another user's refused requests leave the sandbox unchanged.",
    source="ownership",
    needs=(Need.SECOND_USER, Need.WAITING, Need.RUNTIME),
)
async def another_users_requests_have_no_effect(run: Run) -> None:
    hidden, alice = await run.sandboxes.of_bob(), await run.actors.alice()
    await run.sandboxes.until_ready(hidden)
    await expect_no_effect(run, hidden, [alice.call])
