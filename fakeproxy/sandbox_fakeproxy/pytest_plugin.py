"""Fixtures for any project that talks to a sandbox proxy, with the extra `fakeproxy` installed.

`fake_proxy` is a `FakeProxy` in process, `fake_proxy_server` a `FakeProxyServer` on its own port.
Each test gets a new one; `@pytest.mark.fake_proxy(profile="v1beta1", …)` sets its options. pytest
loads this module wherever the distribution is installed, so it imports nothing that needs the extra
before a fixture is used.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from .distribution import install_command

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from . import FakeProxy, FakeProxyServer

__all__ = ["fake_proxy", "fake_proxy_server"]

_FIXTURES = {"fake_proxy", "fake_proxy_server"}
_REQUESTS_SHOWN = 20


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "fake_proxy(**options): create this test's fake proxy with these options of"
        " sandbox_fakeproxy.create_app, except store=; clock= and runtime= are factories,"
        " and runtime= is called with the clock if it accepts clock=",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the fake proxy's state and last requests to the report of a failed test."""
    report = yield
    if report.when == "call" and report.failed:
        fixtures: dict[str, Any] = getattr(item, "funcargs", {})
        for name in sorted(_FIXTURES & fixtures.keys()):
            report.sections.append((name, _summarize(fixtures[name])))
    return report


@pytest.fixture
def fake_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeProxy]:
    """Return a fake proxy in process; its clock changes only when the test advances it."""
    FakeProxy = _load("FakeProxy")  # noqa: N806  (a class)
    proxy = FakeProxy(tmp_path_factory.mktemp("fake-proxy"), **_options(request))
    yield proxy
    proxy.close()


@pytest.fixture
def fake_proxy_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeProxyServer]:
    """Return a fake proxy on a port; its clock changes only when the test advances it."""
    FakeProxyServer = _load("FakeProxyServer")  # noqa: N806  (a class)
    with FakeProxyServer(tmp_path_factory.mktemp("fake-proxy"), **_options(request)) as server:
        yield server


def _summarize(proxy: FakeProxy | FakeProxyServer) -> str:
    """Summarize a fake proxy's sandboxes and last requests, newest last, for a failed test."""
    state = proxy.state()
    lines = [f"clock: {state['now']}, profile: {state['profile']}"]
    for user in reversed(state["users"]):
        lines += [
            f"sandbox: {user['username']}'s {sandbox['name']}, {sandbox['phase']}"
            for sandbox in reversed(user["sandboxes"])
        ]
    describe_request = import_module("sandbox_fakeproxy.control.state").describe_request
    lines += [
        describe_request(request) for request in reversed(proxy.requests(limit=_REQUESTS_SHOWN))
    ]
    return "\n".join(lines)


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Merge the options of the test's markers; those of the closest marker win."""
    accepted = inspect.signature(_load("create_app")).parameters.keys() - {"store"}
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("fake_proxy"))):
        unknown = [repr(value) for value in marker.args]
        unknown += [f"{name}=" for name in marker.kwargs if name not in accepted]
        if unknown:
            raise pytest.UsageError(
                f"The marker fake_proxy does not accept {', '.join(unknown)}."
                f" Expected some of: {', '.join(f'{name}=' for name in sorted(accepted))}."
            )
        options |= marker.kwargs
    return options


def _load(name: str) -> Any:
    """Import an attribute of the package.

    Raises:
        pytest.UsageError: the extra `fakeproxy` is not installed.
    """
    import sandbox_fakeproxy

    try:
        import_module("python_multipart")  # Starlette imports it only on the first upload
        return getattr(sandbox_fakeproxy, name)
    except ImportError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing == "sandbox_fakeproxy":
            raise  # a bug in this package
        raise pytest.UsageError(
            f"The fake proxy's fixtures need {missing}, which is not installed."
            f" Run: {install_command('fakeproxy')}"
        ) from exc
