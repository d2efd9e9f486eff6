"""Access to a proxy that is played, and a person who answers what a login asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from sandbox_client._backend import Backend
from sandbox_client._client import over
from sandbox_client._proxy import Proxy

from tests.client.doubles import Clock, timing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_client._client import Client
    from sandbox_client._config import Config

    from tests.client.doubles import Handler


class PlayedAccess(Backend):
    """What a tool or a command works with, where `handler` plays the proxy on `clock`."""

    def __init__(
        self, environ: Mapping[str, str], handler: Handler, clock: Clock | None = None
    ) -> None:
        time = clock or Clock()
        self.timing = timing(time)

        def connect(config: Config) -> Client:
            transport = httpx.MockTransport(handler)
            return over(Proxy(config, transport=transport, sleep=time.sleep), self.timing)

        super().__init__(environ, connect)


@dataclass
class PlayedPerson:
    """Answers in turn, and fails the test where one more is asked than there are answers.

    An empty text takes the default, as Enter does.
    """

    texts: list[str] = field(default_factory=list[str])
    secrets: list[str] = field(default_factory=list[str])
    agrees: list[bool] = field(default_factory=list[bool])
    tries: int = 4
    asked: list[str] = field(default_factory=list[str])

    def text(self, question: str, default: str, /) -> str:
        self.asked.append(f"{question} [{default}]")
        return self.texts.pop(0) or default

    def secret(self, question: str, /) -> str:
        self.asked.append(question)
        return self.secrets.pop(0)

    def agreed(self, question: str, /, *, default: bool) -> bool:
        self.asked.append(f"{question} [{default}]")
        return self.agrees.pop(0)
