"""Serve a fake proxy on a port, behind a middleware that answers some requests wrongly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import FakeProxy, ServerThread
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

ADMIN_KEY = "an-admin-key-for-tests"


@contextmanager
def serve_fake(
    directory: Path, middleware: Callable[[ASGIApp], ASGIApp] | None = None, **options: Any
) -> Generator[tuple[str, FakeProxy]]:
    """Serve a fake behind a middleware; yield its address and the fake."""
    proxy = FakeProxy(directory, admin_key=ADMIN_KEY, **options)
    try:
        with ServerThread(proxy.app if middleware is None else middleware(proxy.app)) as server:
            yield server.url, proxy
    finally:
        proxy.close()


def replace_answer(
    method: str, prefix: str, status: int, body: Any
) -> Callable[[ASGIApp], ASGIApp]:
    """Return a middleware that answers a method below a path with this status and body."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            matches = scope.get("method") == method and scope["path"].startswith(prefix)
            await (JSONResponse(body, status) if matches else app)(scope, receive, send)

        return wrapped

    return wrap
