"""What is not one's own: it is hidden on every route, and stays as it is."""

from sandbox_contract._run.run import Run
from sandbox_contract._run.status import Phase

from .refusals import NO_ACCESS
from .registry import checks
from .routes import each_refused, each_without_effect, sandbox_routes


@checks("sandboxes.ownership.missing")
async def a_sandbox_that_is_not_there(run: Run) -> None:
    alice = await run.alice()
    for name in (run.name("missing"), "UPPER", "x" * 70, "a%2Fb", "%2e%2e"):
        await each_refused(sandbox_routes(name), alice.call, 403, NO_ACCESS)


@checks("sandboxes.ownership.hidden")
async def a_sandbox_of_somebody_elses(run: Run) -> None:
    theirs = await run.theirs()
    alice, missing = await run.alice(), run.name("missing")
    for theirs_route, missing_route in zip(
        sandbox_routes(theirs.name), sandbox_routes(missing), strict=True
    ):
        reply = await theirs_route.ask(alice.call)
        reply.expect_refusal(403, NO_ACCESS)
        reply.expect_like(await missing_route.ask(alice.call))


@checks("sandboxes.ownership.untouched")
async def what_a_stranger_asks_has_no_effect(run: Run) -> None:
    theirs, alice = await run.theirs(), await run.alice()
    await run.until_phase(theirs, Phase.READY)
    await each_without_effect(run, theirs, [alice.call])
