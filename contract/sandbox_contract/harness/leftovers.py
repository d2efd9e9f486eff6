"""Find the resources that runs have left on a target, by name, and remove them."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from sandbox_contract.http.client import Caller, HttpClient, Unreachable, segment
from sandbox_contract.http.exchange import Redactor
from sandbox_contract.http.expect import Violation
from sandbox_contract.target import CannotRun, Target

from .api import MY_KEYS, SANDBOXES, USERS, keys_path, own_key_path, user_path

PREFIX = "contract-"
# Other resources are unlikely to have such a name. Some clauses put a character before the prefix,
# so that the proxy refuses the name.
_MADE = re.compile(rf"[-0-9]?{PREFIX}([0-9a-f]{{6}})-")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A resource of a run, and how to remove it."""

    what: str
    run_id: str
    remove: Callable[[], Awaitable[None]]


def run_of(name: object) -> str | None:
    """Return the id of the run that made something of this name, if one did."""
    made = _MADE.match(name) if isinstance(name, str) else None
    return made[1] if made else None


async def leftovers(client: HttpClient, target: Target) -> list[Leftover]:
    """Return all that any run has left, as far as the target's keys show it."""
    found: list[Leftover] = []
    if target.admin_key:
        admin = Caller.with_key(client, target.admin_key)
        found += [each async for each in _users(client, admin)]
    for key in (target.api_key, target.second_api_key):
        if key:
            found += [each async for each in _belongings(Caller.with_key(client, key))]
    return found


async def _users(client: HttpClient, admin: Caller) -> AsyncGenerator[Leftover]:
    listed = (await admin("GET", USERS)).expect_fields()["users"]
    for user in listed:
        if (run_id := run_of(user["username"])) is not None:
            remove = _removing_user(client, admin, str(user["id"]))
            yield Leftover(f"user {user['username']}", run_id, remove)


def _removing_user(
    client: HttpClient, admin: Caller, user_id: str
) -> Callable[[], Awaitable[None]]:
    async def remove() -> None:
        # The sandboxes first: the deployed proxy forgets them and leaves them to the cluster.
        await admin("PUT", user_path(user_id), {"is_active": True})
        made = (await admin("POST", keys_path(user_id), {})).expect_fields(201)
        for each in [each async for each in _belongings(Caller.with_key(client, made["api_key"]))]:
            if each.what.startswith("sandbox"):
                await each.remove()
        await admin("DELETE", user_path(user_id))
        (await admin("GET", user_path(user_id))).expect(404)

    return remove


async def _belongings(caller: Caller) -> AsyncGenerator[Leftover]:
    boxes = (await caller("GET", SANDBOXES)).expect_fields()["sandboxes"]
    for box in boxes:
        if (run_id := run_of(box["name"])) is not None:
            path = f"{SANDBOXES}/{segment(box['name'])}"
            yield Leftover(f"sandbox {box['name']}", run_id, _removing(caller, path))
    keys = (await caller("GET", MY_KEYS)).expect_fields()["api_keys"]
    for key in keys:
        # Revoked ones stay listed for good.
        if key["is_active"] and (run_id := run_of(key["name"])) is not None:
            path = own_key_path(key["id"])
            yield Leftover(f"key {key['name']}", run_id, _removing(caller, path))


def _removing(caller: Caller, path: str) -> Callable[[], Awaitable[None]]:
    async def remove() -> None:
        reply = await caller("DELETE", path)
        if reply.status not in {200, 403, 404}:
            raise Violation("200", str(reply), reply.exchange)

    return remove


def sweep(target: Target, run_id: str | None, tell: Callable[[Leftover, str | None], None]) -> bool:
    """Remove the leftovers of one run, or of all; return whether everything was removed.

    `tell` is called with each leftover and the reason why it stays, or None.

    Raises:
        CannotRun: nothing answers, or a key does not work.
    """
    return asyncio.run(_swept(target, run_id, tell))


async def _swept(
    target: Target, run_id: str | None, tell: Callable[[Leftover, str | None], None]
) -> bool:
    wire = HttpClient(target.base_url, target.app, Redactor(target.keys))
    try:
        found = await leftovers(wire, target)
        own = [each for each in found if run_id in {None, each.run_id}]
        return all([await _removed(each, tell) for each in own])
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    except Violation as exc:
        raise CannotRun(f"The target shows nothing to these keys: {exc}.") from exc
    finally:
        await wire.close()


async def _removed(leftover: Leftover, tell: Callable[[Leftover, str | None], None]) -> bool:
    try:
        await leftover.remove()
    except Violation as exc:
        tell(leftover, str(exc))
        return False
    tell(leftover, None)
    return True
