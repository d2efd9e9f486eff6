"""Whose files are whose: no two sandboxes share any."""

from sandbox_contract._run.people import Box
from sandbox_contract._run.run import Run
from sandbox_contract._run.status import Phase
from sandbox_contract._wire.expect import require

from .registry import checks

_NAME = "contract-only-mine.txt"
_PLACES = ("/sandbox", "/home/gem")


async def _holds(box: Box) -> bool:
    """Tell whether a sandbox has the file, in its volume or its home."""
    found = [await box.ask("/v1/file/read", {"file": f"{place}/{_NAME}"}) for place in _PLACES]
    return any(reply.expect_fields()["success"] for reply in found)


async def _ready(run: Run, box: Box) -> Box:
    (await box.create()).expect(201)
    await run.until_phase(box, Phase.READY)
    return box


async def _marked(box: Box) -> None:
    for place in _PLACES:
        await box.succeed("/v1/file/write", {"file": f"{place}/{_NAME}", "content": "mine"})
    require(await _holds(box), "a file that was written", "none")


@checks("sandboxes.files.per-user")
async def users_share_no_files(run: Run) -> None:
    mine = await run.ready_box()
    await _marked(mine)
    theirs = await _ready(run, await run.vacant(await run.bob(), name=mine.name))
    require(not await _holds(theirs), "no file of another user's sandbox", "one")


async def _lives(run: Run) -> tuple[bool, bool]:
    """Tell whether a new sandbox has another's file, and whether one of its name has its own."""
    mine = await run.ready_box()
    await _marked(mine)
    box = await _ready(run, await run.vacant(mine.owner, "life"))
    has_anothers = await _holds(box)
    await _marked(box)
    (await box.delete()).expect(200)
    return has_anothers, await _holds(await _ready(run, box))


@checks("sandboxes.files.per-sandbox")
async def sandboxes_share_no_files(run: Run) -> None:
    has_anothers, _ = await run.once(_lives)
    require(not has_anothers, "no file of the same user's other sandbox", "one")


@checks("sandboxes.files.of-a-life")
async def lives_share_no_files(run: Run) -> None:
    _, has_the_deleted_ones = await run.once(_lives)
    require(not has_the_deleted_ones, "no file of the sandbox that was deleted", "one")
