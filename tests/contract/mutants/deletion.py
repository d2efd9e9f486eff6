"""Wrong proxies in how sandboxes are deleted, and in the data that outlasts them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, LocalRuntime, Sandbox, Service, Status, User

from .mutant import Kind
from .rewriting import BOX, answered, body, error, losing, setting, status

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request
    from starlette.responses import Response


# Deleted -----------------------------------------------------------------------------------------

DELETED = Kind("Deleting a sandbox")
for _id, _said, _change in (
    ("status", "Deleting a sandbox is 202", status(202)),
    ("no-success", "The answer lacks success", body(losing("success"))),
    ("message", "The answer says otherwise", body(setting("message", "Deleted"))),
):
    DELETED.add(
        f"sandboxes.deleted.{_id}",
        f"{_said}.",
        answered(f"DELETE {BOX}", _change),
        "sandboxes.delete.reply",
    )


@DELETED.of(
    "sandboxes.deleted.not",
    "Deleting a sandbox does nothing.",
    "sandboxes.delete.gone",
    "sandboxes.delete.again",
    "model.history.legal",
)
class NotDeleted(Service):
    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        await self.runtime.remove(sandbox.id)


class _Hiding(Service):
    """A service that hides deleted sandboxes, and keeps them."""

    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        self._deleted.add(sandbox.id)
        await self.runtime.remove(sandbox.id)

    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        found = super().owned_sandbox(user, name)
        if found.id in self._deleted:
            raise APIError(403, "You do not have access to this sandbox")
        return found

    def sandboxes(self, user: User) -> list[Status]:
        return [each for each in super().sandboxes(user) if each.sandbox.id not in self._deleted]

    @cached_property
    def _deleted(self) -> set[str]:
        return set()


@DELETED.of(
    "sandboxes.deleted.name-taken",
    "A deleted sandbox's name stays taken.",
    "sandboxes.delete.frees-name",
)
class NameTaken(_Hiding):
    pass


@DELETED.of(
    "sandboxes.deleted.listed",
    "A deleted sandbox is listed still.",
    "sandboxes.delete.gone",
)
class StillListed(_Hiding):
    def sandboxes(self, user: User) -> list[Status]:
        return Service.sandboxes(self, user)


@DELETED.of(
    "sandboxes.deleted.shown",
    "A deleted sandbox is shown still.",
    "sandboxes.delete.gone",
)
class StillShown(_Hiding):
    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        return Service.owned_sandbox(self, user, name)


@DELETED.of(
    "sandboxes.deleted.all",
    "Deleting a sandbox deletes all of that user's.",
    "sandboxes.delete.others-stay",
)
class AllDeleted(Service):
    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        for each in self.store.sandboxes(sandbox.user_id):
            if each.id != sandbox.id:
                self.store.delete_sandbox(each.id)
        await super().delete_sandbox(user, sandbox)


@DELETED.of(
    "sandboxes.deleted.namesakes",
    "Deleting a sandbox deletes other users' of the same name.",
    "sandboxes.create.name-per-user",
)
class Namesakes(Service):
    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        for each in self.users():
            other = self.store.sandbox(each.id, sandbox.name)
            if other is not None and other.id != sandbox.id:
                self.store.delete_sandbox(other.id)
        await super().delete_sandbox(user, sandbox)


@DELETED.of(
    "sandboxes.deleted.unpaused",
    "A paused sandbox cannot be deleted.",
    "sandboxes.delete.paused",
)
class NotPaused(Service):
    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        if sandbox.desired.is_paused:
            raise APIError(409, f"Sandbox '{sandbox.name}' is paused")
        await super().delete_sandbox(user, sandbox)


@DELETED.of(
    "sandboxes.deleted.asleep",
    "A sandbox cannot be deleted once the controller has paused it.",
    "sandboxes.delete.paused",
)
class NotAsleep(Service):
    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        if self.status(sandbox).phase == "paused":
            raise APIError(409, f"Sandbox '{sandbox.name}' is paused")
        await super().delete_sandbox(user, sandbox)


for _id, _said, _change in (
    ("again-200", "Deleting what is not there is 200", error(200, "OK", "gone")),
    ("again-404", "Deleting what is not there is 404", error(404, "Not Found", "gone")),
):
    DELETED.add(
        f"sandboxes.deleted.{_id}",
        f"{_said}.",
        answered(f"DELETE {BOX}", _change, on=403),
        "sandboxes.delete.again",
    )


# Isolation ---------------------------------------------------------------------------------------

SHARED = Kind("What sandboxes of one name share")


class _Elsewhere(LocalRuntime):
    """A runtime that keeps a sandbox's files elsewhere than under its id."""

    def place_of(self, address: str) -> str:
        """Return where, by the sandbox's address."""
        return address

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        self._places[sandbox_id] = self.place_of(str(request.scope["server"][0]))
        return super().answer(self._places[sandbox_id], request)

    async def stop(self, sandbox_id: str) -> None:
        await super().stop(self._places.get(sandbox_id, sandbox_id))

    async def remove(self, sandbox_id: str) -> None:
        await self.stop(sandbox_id)

    @cached_property
    def _places(self) -> dict[str, str]:
        return {}


@SHARED.of(
    "sandboxes.shared.home",
    "All sandboxes share a home.",
    "sandboxes.files.per-user",
    "sandboxes.files.per-sandbox",
)
class OneHome(LocalRuntime):
    """A runtime in which one pod answers for the files of every home."""

    async def answer(self, sandbox_id: str, request: Request) -> Response | None:
        is_of_files = request.scope["path"].startswith("/v1/file/")
        is_of_home = is_of_files and b"/home/gem" in await request.body()
        return await super().answer("home" if is_of_home else sandbox_id, request)


@SHARED.of(
    "sandboxes.shared.with-others",
    "Two users' sandboxes of one name share their files.",
    "sandboxes.files.per-user",
)
class Common(_Elsewhere):
    def place_of(self, address: str) -> str:
        return address.partition(".")[0]


@SHARED.of(
    "sandboxes.shared.of-one-user",
    "A user's sandboxes share their files.",
    "sandboxes.files.per-sandbox",
)
class Household(_Elsewhere):
    def place_of(self, address: str) -> str:
        return address.split(".")[1]


KINDS = (
    DELETED,
    SHARED,
)
