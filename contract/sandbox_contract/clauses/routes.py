"""Every route of the proxy, for clauses that hold on each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import (
    MY_KEYS,
    SANDBOXES,
    USERS,
    in_volume,
    keys_path,
    own_key_path,
    revocation_path,
    user_path,
)
from sandbox_contract.harness.clock import A_WHILE
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.harness.run import Run
from sandbox_contract.http.client import Caller
from sandbox_contract.http.expect import Reply, require

# Header fields of a connection or of an instant.
_UNCOMPARED = {"connection", "date", "keep-alive", "transfer-encoding"}
NO_ID = str(UUID(int=0, version=4))  # a UUID that no user or key has


@dataclass(frozen=True, slots=True)
class Route:
    """A well-formed request to one route."""

    method: str
    path: str
    body: Any = None

    async def send(self, caller: Caller) -> Reply:
        """Send the request as a caller."""
        return await caller(self.method, self.path, self.body)


def sandbox_routes(name: str, command: str = "true") -> list[Route]:
    """Return the routes of one sandbox, its deletion last."""
    path = f"{SANDBOXES}/{name}"
    return [
        Route("GET", path),
        Route("POST", f"/proxy/{name}/v1/shell/exec", {"command": command}),
        Route("GET", f"/proxy/{name}/v1/sandbox"),
        Route("GET", f"/proxy/{name}/v1/shell/sessions"),
        Route("POST", f"/proxy/{name}/v1/shell/view", {"id": "any"}),
        Route("POST", f"/proxy/{name}/v1/file/read", {"file": "/sandbox/any"}),
        Route("PUT", f"/proxy/{name}/any/path"),
        Route("DELETE", f"/proxy/{name}/v1/shell/sessions/any"),
        Route("POST", f"{path}/pause"),
        Route("POST", f"{path}/resume"),
        Route("DELETE", path),
    ]


def user_routes(name: str) -> list[Route]:
    """Return every route that needs a user's key; `name` is the sandbox's name in them."""
    return [
        Route("GET", "/api/me"),
        Route("GET", MY_KEYS),
        Route("POST", MY_KEYS, {"name": name}),
        Route("DELETE", own_key_path(NO_ID)),
        Route("GET", SANDBOXES),
        Route("POST", SANDBOXES, {"name": name}),
        *sandbox_routes(name),
    ]


def admin_routes(name: str) -> list[Route]:
    """Return every route that needs the admin key; `name` is the username in them."""
    return [
        Route("GET", USERS),
        Route("POST", USERS, {"username": name}),
        Route("GET", user_path(NO_ID)),
        Route("PUT", user_path(NO_ID), {}),
        Route("DELETE", user_path(NO_ID)),
        Route("GET", keys_path(NO_ID)),
        Route("POST", keys_path(NO_ID), {}),
        Route("DELETE", revocation_path(NO_ID)),
    ]


async def expect_refused_on_each(
    routes: list[Route], caller: Caller, status: int, message: str
) -> None:
    """Require that every route refuses a caller with a status and a message."""
    for route in routes:
        (await route.send(caller)).expect_refusal(status, message)


async def expect_no_effect(run: Run, box: SandboxHandle, callers: list[Caller]) -> None:
    """Require that refused requests leave a ready sandbox unchanged."""
    owner, file = box.owner, run.name("refused")
    before, names = (await box.get()).expect(200), await owner.names()
    for caller in callers:
        for route in sandbox_routes(box.name, in_volume(f"touch {file}")):
            await route.send(caller)
            await run.clock.advance(A_WHILE)
            (await box.get()).expect_like(before)
    after = await owner.names()
    require(after == names, f"the sandboxes {names} as they were", after)
    found = await box.output(in_volume(f"ls {file} 2>/dev/null; true"))
    require(found == "", "no command that was run", found)
    await _expect_stays_paused(run, box, callers)


async def _expect_stays_paused(run: Run, box: SandboxHandle, callers: list[Caller]) -> None:
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    before = (await box.get()).expect(200)
    for caller in callers:
        await caller("POST", f"{box.path}/resume")
        await run.clock.advance(A_WHILE)
        (await box.get()).expect_like(before)
    (await box.resume()).expect(200)


def altered_keys(key: str) -> Iterator[str]:
    """Yield keys that differ from a key in one character, its length or its case."""
    for place in (0, len(key) // 2, len(key) - 1):
        other = "a" if key[place] != "a" else "b"
        yield key[:place] + other + key[place + 1 :]
    yield key + "a"
    yield key[:-1]
    if key.swapcase() != key:
        yield key.swapcase()


async def expect_head_as_get(caller: Caller, path: str) -> None:
    """Require that HEAD has the status and headers of GET, and no body."""
    get, head, again = [await caller(method, path) for method in ("GET", "HEAD", "GET")]
    head.expect(get.status)
    require(not head.exchange.body, "no body", head, head)
    for name, wanted in get.headers.items():
        got = head.headers.get(name)
        # Some headers differ between two GETs, such as the length if the content has changed.
        is_known = name not in _UNCOMPARED and wanted == again.headers.get(name)
        require(not is_known or got == wanted, f"{name}: {wanted}", got or "none", head)
