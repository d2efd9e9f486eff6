"""Fixtures for any project that talks to a sandbox proxy, with the extra `fakeproxy` installed.

`fake_proxy` is a `FakeProxy` in process, `fake_proxy_server` a `FakeProxyServer` on a port of its
own. Either is new for each test, and `@pytest.mark.fake_proxy(profile="v1beta1", …)` says how it is
made. pytest loads this module wherever the distribution is installed, so it imports no more.
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
_SHOWN = 20  # requests


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "fake_proxy(**options): make the fake proxy of this test with these options of"
        " sandbox_fakeproxy.create_app but store=; clock= and runtime= are called to make one,"
        " runtime= with the clock if it takes clock=",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last requests and the state of the fake proxy of a test that fails."""
    report = yield
    if report.when == "call" and report.failed:
        made: dict[str, Any] = getattr(item, "funcargs", {})
        for name in sorted(_FIXTURES & made.keys()):
            report.sections.append((name, _summary(made[name])))
    return report


@pytest.fixture
def fake_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeProxy]:
    """Return a fake proxy in process, on a clock that the test moves."""
    FakeProxy = _public("FakeProxy")  # noqa: N806  (a class)
    proxy = FakeProxy(tmp_path_factory.mktemp("fake-proxy"), **_options(request))
    yield proxy
    proxy.close()


@pytest.fixture
def fake_proxy_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeProxyServer]:
    """Return a fake proxy on a port of this machine, on a clock that the test moves."""
    FakeProxyServer = _public("FakeProxyServer")  # noqa: N806  (a class)
    with FakeProxyServer(tmp_path_factory.mktemp("fake-proxy"), **_options(request)) as server:
        yield server


def _summary(proxy: FakeProxy | FakeProxyServer) -> str:
    """Summarize a fake proxy's sandboxes and last requests for a failed test, the newest last."""
    state = proxy.state()
    lines = [f"clock: {state['now']}, profile: {state['profile']}"]
    for user in reversed(state["users"]):
        lines += [
            f"sandbox: {user['username']}'s {box['name']}, {box['phase']}"
            for box in reversed(user["sandboxes"])
        ]
    describe_request = import_module("sandbox_fakeproxy.control.state").describe_request
    lines += [describe_request(request) for request in reversed(proxy.requests(limit=_SHOWN))]
    return "\n".join(lines)


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of the test's markers, the closest one last."""
    taken = inspect.signature(_public("create_app")).parameters.keys() - {"store"}
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("fake_proxy"))):
        refused = [repr(value) for value in marker.args]
        refused += [f"{name}=" for name in marker.kwargs if name not in taken]
        if refused:
            raise pytest.UsageError(
                f"The marker fake_proxy has {', '.join(refused)}, which it does not take."
                f" Expected some of: {', '.join(f'{name}=' for name in sorted(taken))}."
            )
        options |= marker.kwargs
    return options


def _public(name: str) -> Any:
    """Return an attribute of the package, which needs the extra."""
    import sandbox_fakeproxy

    try:
        import_module("python_multipart")  # which Starlette misses no sooner than in an upload
        return getattr(sandbox_fakeproxy, name)
    except ImportError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing == "sandbox_fakeproxy":
            raise  # a defect of ours
        raise pytest.UsageError(
            f"The fake proxy's fixtures need {missing}, which is not installed."
            f" Run: {install_command('fakeproxy')}"
        ) from exc
