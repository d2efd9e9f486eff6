"""One life of one sandbox, which many clauses judge."""

from dataclasses import dataclass

from sandbox_contract._run.people import SANDBOXES, Box
from sandbox_contract._run.run import Run
from sandbox_contract._wire.expect import Reply


@dataclass(frozen=True, slots=True)
class Life:
    """What was answered from a sandbox's first request to its last; so one sandbox serves many.

    Its second life is a short one: made, paused, deleted.
    """

    box: Box
    created: Reply
    shown: Reply
    early: Reply
    listed: Reply
    in_other_case: Reply
    run_in_other_case: Reply
    duplicate: Reply
    shown_after_duplicate: Reply
    deleted: Reply
    shown_after: Reply
    listed_after: Reply
    deleted_again: Reply
    created_again: Reply
    paused: Reply
    deleted_paused: Reply
    shown_at_last: Reply


async def life(run: Run) -> Life:
    """Live through it."""
    alice = await run.alice()
    box = await run.vacant(alice, "life")
    return Life(
        box,
        created=await box.create(),
        shown=await box.get(),
        early=await box.exec("true"),
        listed=await alice.call("GET", SANDBOXES),
        in_other_case=await alice.call("GET", f"{SANDBOXES}/{box.name.upper()}"),
        run_in_other_case=await Box(alice, box.name.upper()).exec("true"),
        duplicate=await box.create(image="another:image"),
        shown_after_duplicate=await box.get(),
        deleted=await box.delete(),
        shown_after=await box.get(),
        listed_after=await alice.call("GET", SANDBOXES),
        deleted_again=await box.delete(),
        created_again=await box.create(image=""),
        paused=await box.pause(),
        deleted_paused=await box.delete(),
        shown_at_last=await box.get(),
    )


def came_warm(run: Run, *, is_ready: bool) -> bool:
    """Tell whether a sandbox that is ready may be, by the first look: from a pool of warm ones."""
    is_warm = is_ready and run.target.time.ready_after is None
    if is_warm:
        run.note("ready at once, as from a pool of warm ones")
    return is_warm
