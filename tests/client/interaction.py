"""A client provider for a stub proxy, and a scripted user for the questions of a login."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from sandbox_client import Client
from sandbox_client.http import Proxy
from sandbox_client.provider import ClientCache

from tests.client.stubs import FakeClock, fixed, timing_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_client import Config

    from tests.client.stubs import Handler


class StubProvider(ClientCache):
    """A provider of clients: `handler` answers their requests, and `clock` replaces the time."""

    def __init__(
        self, environ: Mapping[str, str], handler: Handler, clock: FakeClock | None = None
    ) -> None:
        time = clock or FakeClock()
        self.timing = timing_on(time)

        def connect(config: Config) -> Client:
            transport = httpx.MockTransport(handler)
            client = Client(Proxy(config, transport=transport, sleep=time.sleep), self.timing)
            return fixed(client)

        super().__init__(environ, connect)


@dataclass
class ScriptedUser:
    """A user with the answers in order; one question too many fails the test.

    An empty text selects the default, as Enter does.
    """

    texts: list[str] = field(default_factory=list[str])
    secrets: list[str] = field(default_factory=list[str])
    confirmations: list[bool] = field(default_factory=list[bool])
    attempts: int = 4
    asked: list[str] = field(default_factory=list[str])

    def text(self, question: str, default: str, /) -> str:
        self.asked.append(f"{question} [{default}]")
        return self.texts.pop(0) or default

    def secret(self, question: str, /) -> str:
        self.asked.append(question)
        return self.secrets.pop(0)

    def confirm(self, question: str, /, *, default: bool) -> bool:
        self.asked.append(f"{question} [{default}]")
        return self.confirmations.pop(0)
