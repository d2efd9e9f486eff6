"""Wait for a state of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .api.sandboxes import State
from .errors import SandboxError, SandboxNotFound
from .polling import backoff, periodic_progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .api.sandboxes import Sandbox
    from .polling import ProgressCallback, Timing

READY_DEADLINE = 60.0  # seconds
PAUSE_DEADLINE = 15.0  # seconds


@dataclass(frozen=True)
class WaitResult:
    """The result of a wait for a state, which was `reached` or not after `waited` seconds.

    `reason` is why it was not reached, and `sandbox` the last status, None if it could not be read.
    After a create, `image` is the image if the proxy reports it; after a resume, `was_ready` means
    that the sandbox was ready before.
    """

    reached: bool
    waited: float
    reason: str
    sandbox: Sandbox | None
    image: str = ""
    was_ready: bool = False


async def wait_for_state(
    goal: State,
    look: Callable[[float], Awaitable[Sandbox]],
    *,
    report: ProgressCallback,
    timing: Timing,
    deadline: float,
) -> WaitResult:
    """Poll `look` until the sandbox is in the state `goal`, or for `deadline` seconds.

    A wait for `State.READY` also ends when the sandbox can no longer become ready. `look` gets the
    maximum of seconds that it may take. A retryable error does not end the wait, any other error
    does.

    Raises:
        SandboxNotFound: the sandbox was deleted meanwhile.
    """
    start = timing.clock()
    sandbox: Sandbox | None = None
    reason = "its status has not been read yet"

    async def report_progress() -> None:
        await report(timing.clock() - start, deadline, reason)

    for delay in backoff(random=timing.random):
        min_delay, is_final = delay, False
        try:
            async with periodic_progress(report_progress):
                sandbox = await look(max(1.0, start + deadline - timing.clock()))
        except SandboxNotFound:
            raise
        except SandboxError as error:
            reason, is_final = f"its status cannot be read: {error.message}", not error.retryable
            min_delay = max(delay, error.retry_after or 0.0)
        else:
            if sandbox.state is goal:
                waited = timing.clock() - start
                return WaitResult(reached=True, waited=waited, reason="", sandbox=sandbox)
            reason = f"{sandbox.state.value}: {sandbox.explanation}"
            is_final = goal is State.READY and sandbox.state.is_over
        waited = timing.clock() - start
        await report(waited, deadline, reason)
        if is_final or waited >= deadline:
            return WaitResult(reached=False, waited=waited, reason=reason, sandbox=sandbox)
        await timing.sleep(min(min_delay, deadline - waited))
    raise AssertionError  # pragma: no cover  # the backoff never ends
