"""Who acts in a run, and the sandboxes that are theirs."""

from dataclasses import dataclass, field
from typing import Any

from sandbox_contract._wire.caller import LONG, Caller, segment
from sandbox_contract._wire.expect import Json, Reply, Violation

SANDBOXES = "/api/sandboxes"
USERS = "/api/admin/users"
MY_KEYS = "/api/me/apikeys"
EXEC = "/v1/shell/exec"  # below a sandbox


def user_path(user_id: str) -> str:
    """Return where the administrator finds a user."""
    return f"{USERS}/{segment(user_id)}"


def keys_path(user_id: str) -> str:
    """Return where the administrator finds a user's keys."""
    return f"{user_path(user_id)}/apikeys"


def revocation_path(key_id: str) -> str:
    """Return where the administrator revokes a key."""
    return f"/api/admin/apikeys/{segment(key_id)}"


def in_volume(command: str) -> str:
    """Return a command that runs where the persistent volume is.

    A fake that cannot show it under its name has it as the working directory.
    """
    return f"cd /sandbox 2>/dev/null; {command}"


def own_key_path(key_id: str) -> str:
    """Return where a user revokes a key of one's own."""
    return f"{MY_KEYS}/{segment(key_id)}"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, just made."""

    id: str
    secret: str = field(repr=False)
    reply: Reply = field(repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the proxy, with a key that works."""

    username: str
    id: str
    key: str = field(repr=False)
    call: Caller = field(repr=False)

    def saying(self, key: str) -> Caller:
        """Return the caller who has another key."""
        return self.call.saying(f"Bearer {key}")

    async def names(self) -> list[str]:
        """Return the names of this user's sandboxes, in the order of the list."""
        listed = (await self.call("GET", SANDBOXES)).expect_fields()
        return [str(each["name"]) for each in listed.get("sandboxes", ())]


@dataclass(frozen=True, slots=True)
class Box:
    """A sandbox by its owner and name, whether it is there or not."""

    owner: Person
    name: str

    @property
    def path(self) -> str:
        """Return where the proxy shows it."""
        return f"{SANDBOXES}/{segment(self.name)}"

    def runtime(self, path: str) -> str:
        """Return where the proxy forwards to its runtime."""
        return f"/proxy/{segment(self.name)}{path}"

    async def create(self, **fields: Any) -> Reply:
        """Ask for it."""
        return await self.owner.call("POST", SANDBOXES, {"name": self.name, **fields})

    async def get(self) -> Reply:
        """Ask for its status."""
        return await self.owner.call("GET", self.path)

    async def status(self) -> Json:
        """Return its status."""
        return (await self.get()).expect_fields(name=self.name)

    async def delete(self) -> Reply:
        """Ask that it be deleted."""
        return await self.owner.call("DELETE", self.path)

    async def pause(self) -> Reply:
        """Ask that it be paused."""
        return await self.owner.call("POST", f"{self.path}/pause")

    async def resume(self) -> Reply:
        """Ask that it run again."""
        return await self.owner.call("POST", f"{self.path}/resume")

    async def ask(self, path: str, body: Any = None, *, method: str = "POST") -> Reply:
        """Ask its runtime something."""
        return await self.owner.call(method, self.runtime(path), body, seconds=LONG)

    async def exec(self, command: str, **fields: Any) -> Reply:
        """Have it run a command."""
        return await self.ask(EXEC, {"command": command, **fields})

    async def run(self, command: str, **fields: Any) -> Json:
        """Have it run a command that completes; return the answer's `data`."""
        reply = await self.exec(command, **fields)
        data: Json = reply.expect_fields(success=True)["data"]
        if data.get("status") != "completed":
            raise Violation("a command that has completed", str(reply), reply.exchange)
        return data

    async def output(self, command: str, **fields: Any) -> str:
        """Have it run a command that completes; return what it wrote, without the last newline."""
        text: str = (await self.run(command, **fields))["output"]
        return text.replace("\r\n", "\n").rstrip("\n")

    async def succeed(self, path: str, body: Any) -> Json:
        """Ask its runtime something that succeeds; return the answer's `data`."""
        return (await self.ask(path, body)).expect_fields(success=True)["data"]
