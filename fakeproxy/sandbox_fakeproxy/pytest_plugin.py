"""Fixtures for any project that talks to a sandbox proxy, with the extra `fakeproxy` installed.

`fake_proxy` is a `FakeProxy` in process, `fake_proxy_server` a `FakeProxyServer` on a port of its
own. Either is new for each test, and `@pytest.mark.fake_proxy(profile="v1beta1", …)` says how it is
made. pytest loads this module wherever the distribution is installed, so it imports no more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import FakeProxy, FakeProxyServer

__all__ = ["fake_proxy", "fake_proxy_server"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "fake_proxy(**options): make the fake proxy of this test with these options of"
        " sandbox_fakeproxy.create_app, and by clock= and runtime=, which make one",
    )


@pytest.fixture
def fake_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeProxy]:
    """Return a fake proxy in process, on a clock that the test moves."""
    _require_extra()
    from . import FakeProxy

    proxy = FakeProxy(tmp_path_factory.mktemp("fake-proxy"), **_options(request))
    yield proxy
    proxy.close()


@pytest.fixture
def fake_proxy_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeProxyServer]:
    """Return a fake proxy on a port of this machine, on a clock that the test moves."""
    _require_extra()
    from . import FakeProxyServer

    with FakeProxyServer(tmp_path_factory.mktemp("fake-proxy"), **_options(request)) as server:
        yield server


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what the test's markers say, the closest one last."""
    markers = reversed(list(request.node.iter_markers("fake_proxy")))
    return {name: value for marker in markers for name, value in marker.kwargs.items()}


def _require_extra() -> None:
    try:
        for name in ("psutil", "starlette", "uvicorn"):
            import_module(name)
    except ModuleNotFoundError as exc:
        raise pytest.UsageError(
            f"The fake proxy's fixtures need {exc.name}, which is not installed."
            " Run: pip install 'async-remote-agent[fakeproxy]'"
        ) from exc
