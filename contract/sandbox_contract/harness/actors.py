"""The actors of a run: the administrator, users with their keys, and handles of sandboxes."""

from dataclasses import dataclass, field
from typing import Any

from sandbox_contract.http.client import LONG, Caller, HttpClient, segment
from sandbox_contract.http.expect import Json, Reply, Violation
from sandbox_contract.target import Need, Target, Unsupported

from .api import EXEC, MY_KEYS, SANDBOXES, USERS, keys_path, own_key_path, user_path
from .cleanup import Cleanup, CleanupStack, Names
from .observations import Observations


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, just made."""

    id: str
    secret: str = field(repr=False)
    reply: Reply = field(repr=False)


@dataclass(frozen=True, slots=True)
class User:
    """A user of the proxy, with a key that works."""

    username: str
    id: str
    key: str = field(repr=False)
    call: Caller = field(repr=False)

    def saying(self, key: str) -> Caller:
        """Return a caller with another key."""
        return self.call.saying(f"Bearer {key}")

    async def names(self) -> list[str]:
        """Return the names of this user's sandboxes, in the order of the list."""
        listed = (await self.call("GET", SANDBOXES)).expect_fields()
        return [str(each["name"]) for each in listed.get("sandboxes", ())]


@dataclass(frozen=True, slots=True)
class SandboxHandle:
    """A sandbox by its owner and name, whether it is there or not."""

    owner: User
    name: str

    @property
    def path(self) -> str:
        """Return its path in the proxy's API."""
        return f"{SANDBOXES}/{segment(self.name)}"

    def runtime(self, path: str) -> str:
        """Return the path that is forwarded to its runtime."""
        return f"/proxy/{segment(self.name)}{path}"

    async def create(self, **fields: Any) -> Reply:
        """Request its creation."""
        return await self.owner.call("POST", SANDBOXES, {"name": self.name, **fields})

    async def get(self) -> Reply:
        """Request its status."""
        return await self.owner.call("GET", self.path)

    async def status(self) -> Json:
        """Return its status."""
        return (await self.get()).expect_fields(name=self.name)

    async def delete(self) -> Reply:
        """Request its deletion."""
        return await self.owner.call("DELETE", self.path)

    async def pause(self) -> Reply:
        """Request a pause."""
        return await self.owner.call("POST", f"{self.path}/pause")

    async def resume(self) -> Reply:
        """Request a resume."""
        return await self.owner.call("POST", f"{self.path}/resume")

    async def ask(self, path: str, body: Any = None, *, method: str = "POST") -> Reply:
        """Send a request to its runtime."""
        return await self.owner.call(method, self.runtime(path), body, seconds=LONG)

    async def describe(self) -> Reply:
        """Request its runtime's description."""
        return await self.ask("/v1/sandbox", method="GET")

    async def exec(self, command: str, **fields: Any) -> Reply:
        """Run a command."""
        return await self.ask(EXEC, {"command": command, **fields})

    async def run(self, command: str, **fields: Any) -> Json:
        """Run a command to completion; return the answer's `data`."""
        reply = await self.exec(command, **fields)
        data: Json = reply.expect_fields(success=True)["data"]
        if data.get("status") != "completed":
            raise Violation("a command that has completed", str(reply), reply.exchange)
        return data

    async def output(self, command: str, **fields: Any) -> str:
        """Run a command to completion; return its output without the last newline."""
        text: str = (await self.run(command, **fields))["output"]
        return text.replace("\r\n", "\n").rstrip("\n")

    async def succeed(self, path: str, body: Any) -> Json:
        """Send a request that must succeed to its runtime; return the answer's `data`."""
        return (await self.ask(path, body)).expect_fields(success=True)["data"]


class Actors:
    """The callers of a run. Users and keys of a clause are removed at its end.

    `alice` and `bob` are the first and the second user, shared by all clauses: created for the run
    if there is an admin key, or else the owners of the keys that the target has.
    """

    def __init__(self, client: HttpClient, target: Target, names: Names, cleanup: Cleanup) -> None:
        self.anonymous = Caller(client)
        self._client = client
        self._target = target
        self._names = names
        self._cleanup = cleanup
        self._observations = Observations()

    @property
    def admin(self) -> Caller:
        """The administrator.

        Raises:
            Unsupported: the target was given without an admin key.
        """
        if not self._target.admin_key:
            raise Unsupported(Need.ADMIN)
        return Caller.with_key(self._client, self._target.admin_key)

    async def alice(self) -> User:
        """Return the first user."""
        return await self._observations.once("alice", self._alice)

    async def bob(self) -> User:
        """Return the second user."""
        return await self._observations.once("bob", self._bob)

    async def temporary_user(self, tag: str = "visitor") -> User:
        """Make a user for this clause."""
        return await self.user(self._names.new(tag), self._cleanup.of_clause)

    async def user(self, username: str, stack: CleanupStack | None = None) -> User:
        """Make a user of that name, with a key."""
        body = (await self.request_user(username, stack=stack)).expect_fields(201)
        user_id = str(body["user"]["id"])
        key = await self.make_key(user_id)
        return self._user(username, user_id, key.secret)

    async def request_user(
        self, username: Any, *, stack: CleanupStack | None = None, **fields: Any
    ) -> Reply:
        """Request a new user; if it is created, register its deletion."""
        reply = await self.admin("POST", USERS, {"username": username, **fields})
        if reply.status < 300:
            user_id = str(reply.fields()["user"]["id"])
            into = self._cleanup.of_clause if stack is None else stack
            into.register(f"user {username}", self.admin, lambda: self._delete_user(user_id))
        return reply

    async def make_key(self, user_id: str, **fields: Any) -> Key:
        """Make a key for a user, as the administrator."""
        return self._key(await self.admin("POST", keys_path(user_id), fields))

    async def make_own_key(self, user: User, **fields: Any) -> Key:
        """Make another key for a user, as that user; it is revoked at the clause's end."""
        fields.setdefault("name", self._names.new("key"))
        key = self._key(await user.call("POST", MY_KEYS, fields))
        path = own_key_path(key.id)
        what = f"key {fields['name']}"
        self._cleanup.of_clause.register(what, user.call, lambda: self._revoke(user, path))
        return key

    def forget(self) -> None:
        """Forget the shared users."""
        self._observations.clear()

    async def _alice(self) -> User:
        return await self._shared_user(self._target.api_key, Need.USER, "alice")

    async def _bob(self) -> User:
        return await self._shared_user(self._target.second_api_key, Need.SECOND_USER, "bob")

    async def _shared_user(self, key: str | None, need: Need, tag: str) -> User:
        """Return a user created for the run, or without an admin key the owner of `key`."""
        if self._target.admin_key:
            return await self.user(self._names.prefix + tag, self._cleanup.of_run)
        if not key:
            raise Unsupported(need)
        reply = await Caller.with_key(self._client, key)("GET", "/api/me")
        shown = reply.expect_fields()["user"]
        return self._user(str(shown["username"]), str(shown["id"]), key)

    def _user(self, username: str, user_id: str, key: str) -> User:
        return User(username, user_id, key, Caller.with_key(self._client, key))

    def _key(self, reply: Reply) -> Key:
        body = reply.expect_fields(201)
        self._client.redactor.keep(body.get("api_key"))
        try:
            return Key(str(body["key_info"]["id"]), str(body["api_key"]), reply)
        except (KeyError, TypeError) as exc:
            raise Violation("api_key and key_info.id", str(reply), reply.exchange) from exc

    async def _delete_user(self, user_id: str) -> None:
        """Delete a user; only whether the user is gone counts, not the answer."""
        path = user_path(user_id)
        await self.admin("DELETE", path)
        (await self.admin("GET", path)).expect(404)

    async def _revoke(self, user: User, path: str) -> None:
        reply = await user.call("DELETE", path)
        # A user of the run may be deleted already, which revokes the keys.
        if not (reply.status == 401 and self._target.admin_key):
            reply.expect(200, 403, 404)
