"""What *ready* and *paused* mean in either controller's words, and waiting for readiness."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import anyio

from ._errors import NotYours, SandboxError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from ._wire import Sandbox

READY_DEADLINE = 60.0  # seconds
FIRST_INTERVAL = 0.25
LONGEST_INTERVAL = 2.0
JITTER = 0.2  # of an interval
REPORT_INTERVAL = 2.0  # seconds, while an answer is awaited


class Report(Protocol):
    """Told of a wait as it goes on."""

    async def __call__(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Take the seconds gone, the seconds at most where they are known, and the reason."""


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
class Readiness:
    """How a wait ended: `sandbox` is None when its status could never be read."""

    ready: bool
    waited: float
    reason: str
    sandbox: Sandbox | None


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


@contextlib.asynccontextmanager
async def reporting(tell: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Call `tell` every two seconds for as long as the body waits for an answer."""
    failure: SandboxError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tick, tell)
        try:
            yield
        except SandboxError as error:  # a task group would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _tick(tell: Callable[[], Awaitable[None]]) -> None:
    while True:
        # Real time, whatever clock the waits are on: an answer takes that too.
        await anyio.sleep(REPORT_INTERVAL)
        await tell()


def intervals(random: Callable[[], float]) -> Iterator[float]:
    """Yield the seconds between polls: from 0.25 up to 2, each with up to a fifth of jitter.

    `random` gives numbers from 0 to 1.
    """
    interval = FIRST_INTERVAL
    while True:
        yield interval * (1 + JITTER * random())
        interval = min(LONGEST_INTERVAL / (1 + JITTER), interval * 1.5)


async def wait_until_ready(
    look: Callable[[float], Awaitable[Sandbox]],
    *,
    report: Report,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    random: Callable[[], float],
    deadline: float = READY_DEADLINE,
) -> Readiness:
    """Poll `look` until the sandbox is ready, can no longer become so, or `deadline` has passed.

    `look` is told how many seconds it has. A passing fault of the proxy is a reason like any
    other; a lasting one ends the wait. Only NotYours is raised: somebody deleted the sandbox.
    """
    start = clock()
    seen: Sandbox | None = None
    reason = "its status has not been read yet"

    async def tell() -> None:
        await report(clock() - start, deadline, reason)

    for usual in intervals(random):
        interval = usual
        over = False
        try:
            async with reporting(tell):
                seen = await look(max(1.0, start + deadline - clock()))
        except NotYours:
            raise
        except SandboxError as error:
            reason, over = f"its status cannot be read: {error.message}", not error.retryable
            interval = max(interval, error.retry_after or 0.0)
        else:
            state = state_of(seen)
            if state is State.READY:
                return Readiness(ready=True, waited=clock() - start, reason="", sandbox=seen)
            reason, over = f"{state.value}: {reason_of(seen)}", state.is_over
        waited = clock() - start
        await report(waited, deadline, reason)
        if over or waited >= deadline:
            return Readiness(ready=False, waited=waited, reason=reason, sandbox=seen)
        await sleep(min(interval, deadline - waited))
    raise AssertionError  # pragma: no cover  # the intervals never end
