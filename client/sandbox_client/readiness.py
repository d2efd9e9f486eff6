"""Wait for a state of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .api.sandboxes import State
from .errors import DeadlineExceeded, SandboxError, SandboxNotFound
from .polling import backoff, periodic_progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .api.sandboxes import Sandbox
    from .polling import ProgressCallback, Timing

    Look = Callable[[float], Awaitable[Sandbox]]
    AskRuntime = Callable[[float], Awaitable[str]]

READY_DEADLINE = 60.0  # seconds
PAUSE_DEADLINE = 15.0  # seconds
SHORTEST_LOOK = 1.0  # seconds for the last look, even if the wait is over before it
SHORT_LOOK = 5.0  # seconds: a time-out of a shorter look says nothing about the proxy


@dataclass(frozen=True)
class WaitResult:
    """The result of a wait for a state, which was `reached` or not after `waited` seconds.

    `reason` is why it was not reached, and `sandbox` the last status, None if it was never read.
    If the status could not be read in the end, `error` is the reason, and `unread_for` the seconds
    since it was last read. After a create, `image` is the image if the proxy reports it; after a
    resume, `was_ready` means that the sandbox was ready before. `old_entries` of /sandbox were
    there when a new sandbox was ready.
    """

    reached: bool
    waited: float
    reason: str
    sandbox: Sandbox | None
    image: str = ""
    was_ready: bool = False
    error: SandboxError | None = None
    unread_for: float = 0.0
    old_entries: int = 0

    @property
    def state(self) -> State:
        """The state of the sandbox, unknown if its status could not be read in the end."""
        return State.UNKNOWN if self.error or not self.sandbox else self.sandbox.state


async def wait_for_state(
    goal: State,
    look: Look,
    *,
    report: ProgressCallback,
    timing: Timing,
    deadline: float,
    ask_runtime: AskRuntime | None = None,
) -> WaitResult:
    """Poll `look` until the sandbox is in the state `goal`, or for `deadline` seconds.

    With `ask_runtime`, which returns why the runtime does not answer yet, the wait goes on until it
    returns an empty string. A wait for `State.READY` also ends when the sandbox can no longer
    become ready, or is paused again. Both functions get the maximum of seconds that they may take.
    A retryable error does not end the wait, unless the proxy asks to wait longer than that; any
    other error does.

    Raises:
        SandboxNotFound: the sandbox was deleted meanwhile.
    """
    wait = _StateWait(goal, report, timing, deadline)
    async with periodic_progress(wait.report):
        for delay in backoff(random=timing.random):
            await wait.look(look, ask_runtime)
            if wait.is_reached:
                break
            await wait.report()
            if wait.is_over:
                break
            retry_after = wait.error.retry_after if wait.error else None
            await timing.sleep(min(max(delay, retry_after or 0.0), wait.remaining))
    return wait.result()


class _StateWait:
    """A wait under way: the last status, and since when it cannot be read."""

    def __init__(
        self, goal: State, report: ProgressCallback, timing: Timing, deadline: float
    ) -> None:
        self.is_reached = False
        self.error: SandboxError | None = None
        self._goal, self._report, self._clock = goal, report, timing.clock
        self._deadline = deadline
        self._start = self._read_at = timing.clock()
        self._sandbox: Sandbox | None = None
        self._has_started = False
        self._reason = "its status has not been read yet"

    @property
    def remaining(self) -> float:
        """The seconds until the deadline."""
        return self._start + self._deadline - self._clock()

    @property
    def is_over(self) -> bool:
        """Whether it makes no sense to look again."""
        if self.error is not None:
            if not self.error.retryable or (self.error.retry_after or 0.0) > self.remaining:
                return True
        elif self._goal is State.READY and self._sandbox:
            # At first, the status may still be that of the pause before a resume.
            is_paused_again = self._has_started and self._sandbox.state is State.PAUSED
            if self._sandbox.state.is_over or is_paused_again:
                return True
        return self.remaining <= 0

    async def report(self) -> None:
        """Report the seconds so far and the reason of the wait."""
        await self._report(self._clock() - self._start, self._deadline, self._reason)

    async def look(self, look: Look, ask_runtime: AskRuntime | None) -> None:
        """Read the status, and ask the runtime if the status is the one that is waited for."""
        seconds = max(SHORTEST_LOOK, self.remaining)
        try:
            sandbox = await look(seconds)
            silence = ""
            if ask_runtime is not None and sandbox.state is self._goal:
                silence = await ask_runtime(max(SHORTEST_LOOK, self.remaining))
        except SandboxNotFound:
            raise
        except SandboxError as error:
            self._note_error(error, seconds)
        else:
            self._sandbox, self.error, self._read_at = sandbox, None, self._clock()
            self._has_started |= sandbox.state in {State.PENDING, State.STARTING, State.READY}
            self._reason = silence or f"{sandbox.state.value}: {sandbox.explanation}"
            self.is_reached = sandbox.state is self._goal and not silence

    def _note_error(self, error: SandboxError, seconds: float) -> None:
        is_late = isinstance(error, DeadlineExceeded)
        if is_late and (self.error or (self._sandbox and seconds < SHORT_LOOK)):
            return  # the limit of this look says less than the reason before it
        self.error, self._reason = error, f"its status cannot be read: {error.reason}"

    def result(self) -> WaitResult:
        """Return the result of the wait as it is now."""
        now = self._clock()
        return WaitResult(
            reached=self.is_reached,
            waited=now - self._start,
            reason="" if self.is_reached else self._reason,
            sandbox=self._sandbox,
            error=self.error,
            unread_for=now - self._read_at if self.error else 0.0,
        )
