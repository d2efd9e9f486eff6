"""The fake proxy as a target of the contract: in process or on a port, sane or as deployed."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sandbox_contract import ManualTime, Target
from sandbox_contract.probe import probe
from sandbox_fakeproxy import FakeProxy, FakeProxyServer

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sandbox_fakeproxy import Store

READY_AFTER, RECONCILE_DELAY = 2.0, 0.1
LISTEN_AFTER = 4.0  # only as deployed
FAILURE_IMAGES = {mode: f"fake/{mode}" for mode in ("failed", "expired", "controller-error")}
PROFILES = ("v1alpha1", "v1beta1")


@contextmanager
def in_process(directory: Path, **options: Any) -> Generator[Target]:
    """Supply a fake proxy that is asked without a socket."""
    proxy = FakeProxy(directory, **_made(options))
    try:
        yield target_of(proxy, app=proxy.app)
    finally:
        proxy.close()


@contextmanager
def on_a_port(directory: Path, **options: Any) -> Generator[Target]:
    """Supply a fake proxy on a port of this machine."""
    with FakeProxyServer(directory, **_made(options)) as server:
        yield target_of(server)


WAYS = {"in process": in_process, "on a port": on_a_port}


def _made(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "ready_after": READY_AFTER,
        "reconcile_delay": RECONCILE_DELAY,
        "upstream": probe,
        # The deployed pod has no readiness probe: its runtime answers later than it is ready.
        "listen_after": LISTEN_AFTER if options.get("as_deployed") else 0.0,
        **options,
    }


def target_of(proxy: FakeProxy | FakeProxyServer, **more: Any) -> Target:
    """Return a fake proxy as a target that lacks nothing."""
    store = proxy.store
    return Target(
        base_url=proxy.url,
        admin_key=proxy.admin_key,
        time=ManualTime(proxy.advance, ready_after=READY_AFTER, reconcile_delay=RECONCILE_DELAY),
        failure_images=FAILURE_IMAGES,
        serves_probe=True,
        outage=lambda: outage(store),
        stored=lambda: stored(store),
        **more,
    )


@contextmanager
def outage(store: Store) -> Generator[None]:
    """Have the fake's database refuse every question."""
    db = store._db  # pyright: ignore[reportPrivateUsage]  # no public way breaks it
    db.set_authorizer(_deny)
    try:
        yield
    finally:
        db.set_authorizer(None)


def _deny(*_asked: object) -> int:
    return sqlite3.SQLITE_DENY


def stored(store: Store) -> bytes:
    """Return all that the fake's database holds; blobs are in it in hexadecimal."""
    db = store._db  # pyright: ignore[reportPrivateUsage]  # no public way reads it
    return "\n".join(db.iterdump()).encode()
