"""Derive the state of a sandbox from its status, and wait for a state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from .errors import SandboxError, SandboxNotFound
from .polling import backoff, periodic_progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .api.sandboxes import Sandbox
    from .polling import ProgressCallback, Timing

READY_DEADLINE = 60.0  # seconds
PAUSE_DEADLINE = 15.0  # seconds


class State(Enum):
    """The state of a sandbox."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    FAILED = "failed"
    EXPIRED = "expired"

    @property
    def is_over(self) -> bool:
        """Whether the sandbox can no longer become ready."""
        return self in {State.FAILED, State.EXPIRED}


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


def state_of(sandbox: Sandbox) -> State:
    """Derive the state from `ready`, `replicas`, `readyReason` and `readyMessage` together.

    The v1alpha1 controller reports a paused sandbox as ready and shows the pause in `replicas` and
    the message. The v1beta1 controller shows it in the reason, and its `replicas` are always 0.
    """
    if sandbox.reason == "SandboxSuspended" or "replicas is 0" in sandbox.message:
        return State.PAUSED
    if sandbox.reason == "SandboxExpired":
        return State.EXPIRED
    if sandbox.reason in {"PodFailed", "ReconcilerError"} or "phase: Failed" in sandbox.message:
        return State.FAILED
    if sandbox.ready and sandbox.reason in {"", "DependenciesReady"}:
        # Exactly "Pod is Ready" is v1beta1, where replicas have no meaning.
        has_replicas = sandbox.replicas is None or sandbox.replicas > 0
        return State.READY if has_replicas or sandbox.message == "Pod is Ready" else State.PENDING
    return State.STARTING if "is Running" in sandbox.message else State.PENDING


def reason_of(sandbox: Sandbox) -> str:
    """Return the controller's message or reason, or a sentence if it has none yet."""
    return sandbox.message or sandbox.reason or "the controller has not seen it yet"


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
            state = state_of(sandbox)
            if state is goal:
                waited = timing.clock() - start
                return WaitResult(reached=True, waited=waited, reason="", sandbox=sandbox)
            reason = f"{state.value}: {reason_of(sandbox)}"
            is_final = goal is State.READY and state.is_over
        waited = timing.clock() - start
        await report(waited, deadline, reason)
        if is_final or waited >= deadline:
            return WaitResult(reached=False, waited=waited, reason=reason, sandbox=sandbox)
        await timing.sleep(min(min_delay, deadline - waited))
    raise AssertionError  # pragma: no cover  # the backoff never ends
