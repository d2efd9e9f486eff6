"""Every route of the proxy, so that what holds on each of them is tried on each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sandbox_contract._run.people import MY_KEYS, SANDBOXES, USERS, keys_path, user_path
from sandbox_contract._wire.caller import Caller
from sandbox_contract._wire.expect import Reply

NO_ID = str(UUID(int=0, version=4))  # a UUID that nothing has


@dataclass(frozen=True, slots=True)
class Route:
    """A request that a route would take."""

    method: str
    path: str
    body: Any = None

    async def ask(self, caller: Caller) -> Reply:
        """Send it."""
        return await caller(self.method, self.path, self.body)


def sandbox_routes(name: str) -> list[Route]:
    """Return the routes of one sandbox; the one that deletes comes last."""
    path = f"{SANDBOXES}/{name}"
    return [
        Route("GET", path),
        Route("POST", f"/proxy/{name}/v1/shell/exec", {"command": "true"}),
        Route("GET", f"/proxy/{name}/v1/sandbox"),
        Route("POST", f"{path}/pause"),
        Route("POST", f"{path}/resume"),
        Route("DELETE", path),
    ]


def user_routes(name: str) -> list[Route]:
    """Return every route that needs a user's key, `name` for a sandbox's."""
    return [
        Route("GET", "/api/me"),
        Route("GET", MY_KEYS),
        Route("POST", MY_KEYS, {"name": name}),
        Route("DELETE", f"{MY_KEYS}/{NO_ID}"),
        Route("GET", SANDBOXES),
        Route("POST", SANDBOXES, {"name": name}),
        *sandbox_routes(name),
    ]


def admin_routes(name: str) -> list[Route]:
    """Return every route that needs the admin key, `name` for a user's."""
    return [
        Route("GET", USERS),
        Route("POST", USERS, {"username": name}),
        Route("GET", user_path(NO_ID)),
        Route("PUT", user_path(NO_ID), {}),
        Route("DELETE", user_path(NO_ID)),
        Route("GET", keys_path(NO_ID)),
        Route("POST", keys_path(NO_ID), {}),
        Route("DELETE", f"/api/admin/apikeys/{NO_ID}"),
    ]


async def each_refused(routes: list[Route], caller: Caller, status: int, message: str) -> None:
    """Expect that every route refuses a caller with a status and a message."""
    for route in routes:
        (await route.ask(caller)).expect_refusal(status, message)


def altered(key: str) -> Iterator[str]:
    """Yield keys that are nearly this one."""
    last = key[-1]
    yield key[:-1] + ("a" if last != "a" else "b")
    yield key + "a"
    yield key[:-1]
    if key.swapcase() != key:
        yield key.swapcase()
