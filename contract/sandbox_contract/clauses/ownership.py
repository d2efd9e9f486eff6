"""Who owns a sandbox: it is hidden from others, stays as it is, and shares no files."""

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import require
from sandbox_contract.target import Need

from .messages import NO_ACCESS
from .routes import each_refused, each_without_effect, sandbox_routes


@clause(
    "sandboxes.ownership.missing",
    "A sandbox that does not exist is 403 on every route.",
    source="ownership",
    needs=Need.USER,
)
async def a_sandbox_that_is_not_there(run: Run) -> None:
    alice = await run.actors.alice()
    for name in (run.name("missing"), "UPPER", "x" * 70, "a%2Fb", "%2e%2e"):
        await each_refused(sandbox_routes(name), alice.call, 403, NO_ACCESS)


@clause(
    "sandboxes.ownership.hidden",
    "Another user's sandbox answers on every route as one that does not exist.",
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
    "What is refused to a stranger leaves the sandbox as it was.",
    source="ownership",
    needs=(Need.SECOND_USER, Need.WAITING, Need.RUNTIME),
)
async def what_a_stranger_asks_has_no_effect(run: Run) -> None:
    theirs, alice = await run.sandboxes.of_bob(), await run.actors.alice()
    await run.sandboxes.until_ready(theirs)
    await each_without_effect(run, theirs, [alice.call])


_NAME = "contract-only-mine.txt"
_PLACES = ("/sandbox", "/home/gem")


async def _holds(box: SandboxHandle) -> bool:
    """Tell whether a sandbox has the file, in its volume or its home."""
    found = [await box.ask("/v1/file/read", {"file": f"{place}/{_NAME}"}) for place in _PLACES]
    return any(reply.expect_fields()["success"] for reply in found)


async def _ready(run: Run, box: SandboxHandle) -> SandboxHandle:
    (await box.create()).expect(201)
    await run.sandboxes.until_ready(box)
    return box


async def _marked(box: SandboxHandle) -> None:
    for place in _PLACES:
        await box.succeed("/v1/file/write", {"file": f"{place}/{_NAME}", "content": "mine"})
    require(await _holds(box), "a file that was written", "none")


@clause(
    "sandboxes.files.per-user",
    "Two users' sandboxes of one name share no files.",
    source="files-of-one-sandbox",
    needs=(Need.SECOND_USER, Need.WAITING, Need.RUNTIME),
)
async def users_share_no_files(run: Run) -> None:
    mine = await run.sandboxes.ready()
    await _marked(mine)
    theirs = await _ready(run, await run.sandboxes.unused(await run.actors.bob(), name=mine.name))
    require(not await _holds(theirs), "no file of another user's sandbox", "one")


async def _lives(run: Run) -> tuple[bool, bool]:
    """Tell whether a new sandbox has another's file, and whether one of its name has its own."""
    mine = await run.sandboxes.ready()
    await _marked(mine)
    box = await _ready(run, await run.sandboxes.unused(mine.owner, "life"))
    has_anothers = await _holds(box)
    await _marked(box)
    (await box.delete()).expect(200)
    return has_anothers, await _holds(await _ready(run, box))


@clause(
    "sandboxes.files.per-sandbox",
    "Two sandboxes of one user share no files.",
    source="files-of-one-sandbox",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def sandboxes_share_no_files(run: Run) -> None:
    has_anothers, _ = await run.once(_lives)
    require(not has_anothers, "no file of the same user's other sandbox", "one")


@clause(
    "sandboxes.files.of-a-life",
    "A sandbox that takes a deleted one's name has none of its files.",
    source="files-after-a-delete",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def lives_share_no_files(run: Run) -> None:
    _, has_the_deleted_ones = await run.once(_lives)
    require(not has_the_deleted_ones, "no file of the sandbox that was deleted", "one")
