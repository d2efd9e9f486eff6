"""Observations that several clauses share: one life of a sandbox, and a loop in one."""

from dataclasses import dataclass

from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.paths import SANDBOXES, in_volume
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply


@dataclass(frozen=True, slots=True)
class Life:
    """What was answered from a sandbox's first request to its last; so one sandbox serves many.

    Its second life is a short one: made, paused, deleted.
    """

    box: SandboxHandle
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
    alice = await run.actors.alice()
    box = await run.sandboxes.unused(alice, "life")
    return Life(
        box,
        created=await box.create(),
        shown=await box.get(),
        early=await box.exec("true"),
        listed=await alice.call("GET", SANDBOXES),
        in_other_case=await alice.call("GET", f"{SANDBOXES}/{box.name.upper()}"),
        run_in_other_case=await SandboxHandle(alice, box.name.upper()).exec("true"),
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


_BEATS = 1_800  # and then it ends by itself, after some minutes


class Heartbeat:
    """A loop that adds to a file ten times a second."""

    def __init__(self, run: Run, box: SandboxHandle) -> None:
        self._box = box
        self._file = run.name("beat")

    @property
    def loop(self) -> str:
        """Return the command."""
        beat = f"echo x >> {self._file}; i=$((i+1)); sleep 0.1"
        return in_volume(f"i=0; while [ $i -lt {_BEATS} ]; do {beat}; done")

    async def begin(self) -> None:
        """Let it beat in the background, and return when it does."""
        beginning = f"until [ -s {self._file} ]; do sleep 0.02; done"
        await self._box.run(f"({self.loop}) > /dev/null 2>&1 & {in_volume(beginning)}")

    async def beats(self) -> bool:
        """Tell whether it beats within a second or less."""
        size = f"$(wc -c < {self._file})"
        look = f"a={size}; for n in 1 2 3 4; do sleep 0.2; [ $a = {size} ] || exit 0; done; exit 1"
        return bool((await self._box.run(f"({in_volume(look)})"))["exit_code"] == 0)
