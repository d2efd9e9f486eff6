"""Observations that several clauses share: the lifetime of a sandbox, and loops in one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import SANDBOXES, in_volume
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply


@dataclass(frozen=True, slots=True)
class SandboxLifetime:
    """The responses from a sandbox's first request to its last, shared by many clauses.

    After its deletion, the sandbox is created a second time, then paused and resumed.
    """

    box: SandboxHandle
    created: Reply
    first_get: Reply
    exec_before_ready: Reply
    listing: Reply
    get_in_upper_case: Reply
    exec_in_upper_case: Reply
    duplicate: Reply
    get_after_duplicate: Reply
    deleted: Reply
    get_after_delete: Reply
    listing_after_delete: Reply
    deleted_again: Reply
    created_again: Reply
    paused: Reply
    resumed: Reply


async def observe_lifetime(run: Run) -> SandboxLifetime:
    """Create, inspect and delete a sandbox, create it again, and return the responses."""
    alice = await run.actors.alice()
    box = await run.sandboxes.unused(alice, "life")
    return SandboxLifetime(
        box,
        created=await box.create(),
        first_get=await box.get(),
        exec_before_ready=await box.exec("true"),
        listing=await alice.call("GET", SANDBOXES),
        get_in_upper_case=await alice.call("GET", f"{SANDBOXES}/{box.name.upper()}"),
        exec_in_upper_case=await SandboxHandle(alice, box.name.upper()).exec("true"),
        duplicate=await box.create(image="another:image"),
        get_after_duplicate=await box.get(),
        deleted=await box.delete(),
        get_after_delete=await box.get(),
        listing_after_delete=await alice.call("GET", SANDBOXES),
        deleted_again=await box.delete(),
        created_again=await box.create(image=""),
        paused=await box.pause(),
        resumed=await box.resume(),
    )


def is_from_warm_pool(run: Run, *, is_ready: bool) -> bool:
    """Return whether a new sandbox may be ready at once, because it is from a warm pool.

    That is only possible where the target does not declare a start-up time.
    """
    is_warm = is_ready and run.target.time.ready_after is None
    if is_warm:
        run.note("ready at once, as from a pool of warm ones")
    return is_warm


_BEATS = 1_800  # lines, after which the loop ends by itself: some minutes


class Heartbeat:
    """A shell loop that appends a line to a file ten times a second, `beats` times at most."""

    def __init__(self, run: Run, box: SandboxHandle, *, beats: int = _BEATS) -> None:
        self._box = box
        self._beats = beats
        self._file = run.name("beat")

    @property
    def command(self) -> str:
        """The loop as a shell command."""
        append = f"echo x >> {self._file}; i=$((i+1)); sleep 0.1"
        return in_volume(f"i=0; while [ $i -lt {self._beats} ]; do {append}; done")

    async def start(self) -> None:
        """Start the loop in the background, and wait for its first line."""
        first_line = f"until [ -s {self._file} ]; do sleep 0.02; done"
        await self._box.run(f"({self.command}) > /dev/null 2>&1 & {in_volume(first_line)}")

    async def start_in_session(self) -> str:
        """Start the loop as the command of a new session; return the session's id."""
        reply = await self._box.exec(self.command, async_mode=True)
        return str(reply.expect_fields(success=True)["data"]["session_id"])

    async def is_running(self) -> bool:
        """Return whether the file grows within a second."""
        size = f"$(wc -c < {self._file})"
        check = f"a={size}; for n in 1 2 3 4; do sleep 0.2; [ $a = {size} ] || exit 0; done; exit 1"
        return bool((await self._box.run(f"({in_volume(check)})"))["exit_code"] == 0)


@dataclass(frozen=True, slots=True)
class EndedLoop:
    """A loop that was the command of a session, and the responses to its end and after it."""

    ran_before: bool
    ended: Reply
    after: Reply
    runs_after: bool


async def end_loop(
    run: Run,
    box: SandboxHandle,
    end: Callable[[str], Awaitable[Reply]],
    ask_after: Callable[[str], Awaitable[Reply]],
) -> EndedLoop:
    """Run a loop in a new session, end it, and send one more request for that session."""
    heartbeat = Heartbeat(run, box)
    session = await heartbeat.start_in_session()
    return EndedLoop(
        ran_before=await heartbeat.is_running(),
        ended=await end(session),
        after=await ask_after(session),
        runs_after=await heartbeat.is_running(),
    )
