"""Find the resources that runs have left on a target, by name."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from sandbox_contract.http.client import Caller, HttpClient, segment
from sandbox_contract.http.expect import Violation
from sandbox_contract.target import Target

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
