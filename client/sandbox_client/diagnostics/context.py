"""What is examined, and what a check is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack
    from datetime import datetime

    from sandbox_client.api.message import Reply, Request
    from sandbox_client.config import Config
    from sandbox_client.config_file import ConfigFile
    from sandbox_client.errors import SandboxError
    from sandbox_client.http import Proxy
    from sandbox_client.polling import Timing
    from sandbox_client.provider import ClientProvider

    from .finding import Finding

STEP_DEADLINE = 6.0  # seconds: a host that does not connect within 5 s is told as such


@dataclass(frozen=True)
class Sample:
    """A quick request: its seconds, and how far the proxy's clock was ahead of this machine's."""

    seconds: float
    ahead: timedelta | None


@dataclass
class DiagnosticContext:
    """What is known so far: what a check needs, the one before it has set.

    `now` is this machine's time; what is opened on the way is left to `closing`.
    """

    provider: ClientProvider
    timing: Timing
    now: Callable[[], datetime]
    closing: AsyncExitStack
    file: ConfigFile | None = None
    config: Config = field(init=False)
    proxy: Proxy = field(init=False)
    health: Reply | SandboxError = field(init=False)
    samples: list[Sample] = field(default_factory=list[Sample])
    ahead: timedelta = timedelta()

    @property
    def proxy_time(self) -> datetime:
        """The time by the proxy's clock, as far as it is known."""
        return self.now() + self.ahead

    async def ask(self, request: Request) -> Reply:
        """Send it once: what a second try would hide belongs into the findings."""
        return await self.proxy.send(request, deadline=STEP_DEADLINE, attempts=1)


@dataclass(frozen=True)
class Check:
    """A check, and the name of the one it cannot do without; `asks` where it takes a while."""

    name: str
    make: Callable[[DiagnosticContext], Awaitable[Finding]]
    needs: str = ""
    asks: bool = False
