"""A fake proxy on a port that answers some requests wrongly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import FakeProxy
from sandbox_fakeproxy._testing.thread import ServerThread
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

ADMIN_KEY = "an-admin-key-for-tests"


@contextmanager
def served(
    directory: Path, wrong: Callable[[ASGIApp], ASGIApp] | None = None, **options: Any
) -> Generator[tuple[str, FakeProxy]]:
    """Serve a fake, wrapped; return its address and the fake."""
    proxy = FakeProxy(directory, admin_key=ADMIN_KEY, **options)
    try:
        with ServerThread(proxy.app if wrong is None else wrong(proxy.app)) as server:
            yield server.url, proxy
    finally:
        proxy.close()


def instead(method: str, prefix: str, status: int, body: Any) -> Callable[[ASGIApp], ASGIApp]:
    """Answer a method below a path with something else."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            is_it = scope.get("method") == method and scope["path"].startswith(prefix)
            await (JSONResponse(body, status) if is_it else app)(scope, receive, send)

        return wrapped

    return wrap
