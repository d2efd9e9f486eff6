"""Run terminal commands in this process, over a stub proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from sandbox_client import Client
from sandbox_client.cli import main
from sandbox_client.http import Proxy

from tests.client.stubs import KEY, FakeClock, RouteStub, fixed, timing_on

if TYPE_CHECKING:
    import pytest
    from sandbox_client import Config

    from tests.client.stubs import Answers, Handler


class Terminal:
    """Runs `remote-sandbox` over a stub proxy; the key on a stream fails the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.routes = RouteStub({})
        self.code: int | str | None = None
        self.out = self.err = ""

    def run(
        self,
        *words: str,
        answers: Answers | None = None,
        handler: Handler | None = None,
        pipes: bool = False,
    ) -> Terminal:
        """Run `remote-sandbox` with `words`; keep its exit code and its output.

        The sandbox `box` has the terminal API only, or the pipe API, too.
        """
        self.routes = RouteStub(answers or {})
        transport, clock = httpx.MockTransport(handler or self.routes), FakeClock()

        def connect(config: Config) -> Client:
            client = Client(Proxy(config, transport=transport, sleep=clock.sleep), timing_on(clock))
            return fixed(client, pipes=pipes)

        self._monkeypatch.setattr(Client, "connect", connect)
        try:
            self.code = main.run(words)
        except SystemExit as exc:
            self.code = exc.code
        self.out, self.err = self._capsys.readouterr()
        assert KEY not in self.out + self.err
        assert "Traceback" not in self.err
        return self
