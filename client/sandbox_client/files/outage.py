"""An outage of the proxy during a copy, a push or a pull: what is safe is repeated meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sandbox_client.errors import (
    CommandStateUnknown,
    DeadlineExceeded,
    InvalidResponse,
    ProxyFailed,
    ProxyUnreachable,
    RuntimeSilent,
    SandboxDeleted,
    SandboxError,
    SandboxNotFound,
    SessionNotFound,
)
from sandbox_client.http import GATEWAY_ERRORS
from sandbox_client.polling import Timing, backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

OUTAGE_LIMIT = 30.0  # seconds of an outage that a copy survives
FIRST_PAUSE = 0.5  # seconds


@dataclass
class Outage:
    """Repeat what failed for up to `limit` seconds, once the proxy has answered.

    Before its first answer, nothing is repeated: its address may be wrong. Without a limit, as for
    a single operation, nothing is repeated either. `on_silence` is called before each pause, with
    the seconds for which the attempts go on, and with 0 when the proxy answers again.
    """

    timing: Timing = field(default_factory=Timing)
    limit: float = 0.0
    on_silence: Callable[[float], None] = lambda _seconds: None
    has_answered: bool = field(default=False, init=False)

    @property
    def is_copy_under_way(self) -> bool:
        """Whether a copy, which has a limit, has had an answer."""
        return self.limit > 0 and self.has_answered

    async def survive(
        self, attempt: Callable[[], Awaitable[T]], *, is_idempotent: bool = True
    ) -> T:
        """Return the result of `attempt`, which is repeated during an outage.

        A command of which nothing says whether it was started, or that a restart of the runtime has
        ended, is repeated if it `is_idempotent`.

        Raises:
            SandboxError: an attempt failed for another reason, or the outage lasts.
        """
        start, is_silent = self.timing.clock(), False
        for pause in backoff(FIRST_PAUSE):
            try:
                result = await attempt()
            except SandboxError as error:
                is_unknown = isinstance(error, CommandStateUnknown | SessionNotFound)
                may_repeat = is_idempotent if is_unknown else is_outage(error)
                if not may_repeat or not self.lasts(start, pause):
                    raise
                is_silent |= self.report(start, error)
                await self.timing.sleep(pause)
            else:
                self.has_answered = True
                if is_silent:
                    self.on_silence(0.0)
                return result
        raise AssertionError  # pragma: no cover  # the loop has no other end

    def lasts(self, start: float, pause: float) -> bool:
        """Return whether there is time for another attempt after `pause` seconds."""
        return self.is_copy_under_way and self.timing.clock() + pause - start <= self.limit

    def report(self, start: float, error: SandboxError) -> bool:
        """Report an outage since `start`; return whether `error` is one that is survived."""
        is_survived = self.lasts(start, 0.0) and (is_outage(error) or is_outage(error.__cause__))
        if is_survived:
            self.on_silence(start + self.limit - self.timing.clock())
        return is_survived

    def explain(self, error: SandboxError, name: str) -> SandboxError:
        """Return the error of a copy that an outage or the deletion of sandbox `name` ended.

        Other errors stay as they are.
        """
        if self.is_copy_under_way and isinstance(error, SandboxNotFound):
            return SandboxDeleted.during(name, "the copy ran")
        causes = (cause for kind, cause in _CAUSES.items() if isinstance(error, kind))
        cause = next(causes, "")
        if not self.is_copy_under_way or not cause:
            return error
        leftover = error.advice.partition(LEFTOVER)
        return error.but(
            message=error.message.replace("does not answer yet", "no longer answers"),
            cause=f"{cause}: it had answered this copy before.",
            advice=(
                "No file is incomplete: each is as it was, or complete. Wait until the proxy"
                " answers ({check}), then repeat the copy: it replaces what is there. If the copy"
                " has made the target directory, add /. to the source: its content completes it."
                f" {leftover[1]}{leftover[2]}"
            ).rstrip(),
        )


LEFTOVER = "Temporary files may remain: "
ALL_PARTS = "/.*.part-*"  # of a directory
_CAUSES: dict[type[SandboxError], str] = {
    RuntimeSilent: "the sandbox's runtime",
    DeadlineExceeded: "the network, or a proxy that is busy or hangs",
    ProxyUnreachable: "the network, or a proxy that was stopped",
    ProxyFailed: "the network, or a proxy that was stopped",
    InvalidResponse: "the proxy, or a server in front of it, such as a load balancer",
}


def is_outage(error: BaseException | None) -> bool:
    """Return whether the proxy cannot be reached for now."""
    if isinstance(error, ProxyFailed):
        return error.status in GATEWAY_ERRORS
    return isinstance(error, ProxyUnreachable) and error.retryable
