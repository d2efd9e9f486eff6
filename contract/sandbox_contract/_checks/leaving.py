"""What a run leaves behind: nothing."""

from sandbox_contract._run.leftovers import leftovers
from sandbox_contract._run.run import Run
from sandbox_contract._wire.expect import require

from .registry import checks


@checks("run.end.nothing-left")
async def nothing_is_left(run: Run) -> None:
    await run.leave()
    require(not run.left, "everything removed that was made", "; ".join(run.left))
    found = await leftovers(run.wire, run.target)
    own = [each.what for each in found if each.run_id == run.id]
    require(not own, f"nothing of run {run.id}", ", ".join(own))
