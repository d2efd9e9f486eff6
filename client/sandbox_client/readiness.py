"""Tell a sandbox's state from its status, and wait for a state."""

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
PAUSE_DEADLINE = 15.0


class State(Enum):
    """What a sandbox is doing, in one word."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    FAILED = "failed"
    EXPIRED = "expired"

    @property
    def is_over(self) -> bool:
        """Whether waiting cannot make it ready any more."""
        return self in {State.FAILED, State.EXPIRED}


@dataclass(frozen=True)
class WaitResult:
    """How a wait for a state ended: after `waited` seconds, `reached` or not.

    `reason` says why not, and `sandbox` is None if its status could never be read. `image` is that
    of a created sandbox, if the proxy names it; `was_ready` says that a resumed sandbox was ready.
    """

    reached: bool
    waited: float
    reason: str
    sandbox: Sandbox | None
    image: str = ""
    was_ready: bool = False


def state_of(sandbox: Sandbox) -> State:
    """Decide from `ready`, `replicas`, `readyReason` and `readyMessage` together.

    The v1alpha1 controller calls a paused sandbox ready and tells the truth in replicas and
    message; v1beta1 gives the truth in the reason, and its replicas are always 0.
    """
    if sandbox.reason == "SandboxSuspended" or "replicas is 0" in sandbox.message:
        return State.PAUSED
    if sandbox.reason == "SandboxExpired":
        return State.EXPIRED
    if sandbox.reason in {"PodFailed", "ReconcilerError"} or "phase: Failed" in sandbox.message:
        return State.FAILED
    if sandbox.ready and sandbox.reason in {"", "DependenciesReady"}:
        # "Pod is Ready" and no more is v1beta1, where replicas mean nothing.
        counted = sandbox.replicas is None or sandbox.replicas > 0
        return State.READY if counted or sandbox.message == "Pod is Ready" else State.PENDING
    return State.STARTING if "is Running" in sandbox.message else State.PENDING


def reason_of(sandbox: Sandbox) -> str:
    """Return the controller's own words for the state, or ours where it has none yet."""
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
    seconds that it may take. An error that is retryable is a reason to go on waiting, another one
    ends the wait.

    Raises:
        SandboxNotFound: the sandbox was deleted meanwhile.
    """
    start = timing.clock()
    seen: Sandbox | None = None
    reason = "its status has not been read yet"

    async def tell() -> None:
        await report(timing.clock() - start, deadline, reason)

    for usual in backoff(random=timing.random):
        interval = usual
        over = False
        try:
            async with periodic_progress(tell):
                seen = await look(max(1.0, start + deadline - timing.clock()))
        except SandboxNotFound:
            raise
        except SandboxError as error:
            reason, over = f"its status cannot be read: {error.message}", not error.retryable
            interval = max(interval, error.retry_after or 0.0)
        else:
            state = state_of(seen)
            if state is goal:
                waited = timing.clock() - start
                return WaitResult(reached=True, waited=waited, reason="", sandbox=seen)
            reason = f"{state.value}: {reason_of(seen)}"
            over = goal is State.READY and state.is_over
        waited = timing.clock() - start
        await report(waited, deadline, reason)
        if over or waited >= deadline:
            return WaitResult(reached=False, waited=waited, reason=reason, sandbox=seen)
        await timing.sleep(min(interval, deadline - waited))
    raise AssertionError  # pragma: no cover  # the backoff never ends
