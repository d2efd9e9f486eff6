"""Ownership: a sandbox is hidden from other users, unchanged by them, and shares no files."""

from sandbox_contract.clause import clause
from sandbox_contract.harness.run import Run
from sandbox_contract.target import Need

from .messages import NO_ACCESS
from .routes import each_refused, each_without_effect, sandbox_routes


@clause(
    "sandboxes.ownership.missing",
    "A sandbox that does not exist is 403 on every sandbox route.",
    source="ownership",
    needs=Need.USER,
)
async def a_sandbox_that_is_not_there(run: Run) -> None:
    alice = await run.actors.alice()
    for name in (run.name("missing"), "UPPER", "x" * 70, "a%2Fb", "%2e%2e"):
        await each_refused(sandbox_routes(name), alice.call, 403, NO_ACCESS)


@clause(
    "sandboxes.ownership.hidden",
    "Another user's sandbox gets the same responses as one that does not exist.",
    source="ownership",
    needs=Need.SECOND_USER,
)
async def a_sandbox_of_somebody_elses(run: Run) -> None:
    theirs = await run.sandboxes.of_bob()
    alice, missing = await run.actors.alice(), run.name("missing")
    for theirs_route, missing_route in zip(
        sandbox_routes(theirs.name), sandbox_routes(missing), strict=True
    ):
        reply = await theirs_route.ask(alice.call)
        reply.expect_refusal(403, NO_ACCESS)
        reply.expect_like(await missing_route.ask(alice.call))


@clause(
    "sandboxes.ownership.untouched",
    "Another user's refused requests leave the sandbox unchanged.",
    source="ownership",
    needs=(Need.SECOND_USER, Need.WAITING, Need.RUNTIME),
)
async def what_a_stranger_asks_has_no_effect(run: Run) -> None:
    theirs, alice = await run.sandboxes.of_bob(), await run.actors.alice()
    await run.sandboxes.until_ready(theirs)
    await each_without_effect(run, theirs, [alice.call])
