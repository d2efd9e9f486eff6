"""Wrong proxies in how sandboxes are deleted, and in the data that outlasts them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._local.runtime import LocalRuntime
from sandbox_fakeproxy._proxy.sandboxes import Sandboxes
from sandbox_fakeproxy._runtime.place import Place
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind
from .rewriting import (
    BOX,
    answered,
    body,
    error,
    losing,
    setting,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from sandbox_fakeproxy._http import Arguments, Reply
    from sandbox_fakeproxy._state.records import Sandbox, User
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
class NotDeleted(Store):
    def delete_sandbox(self, sandbox_id: str) -> None:
        pass


class _Hiding(Store):
    """A store that hides deleted sandboxes, and keeps them."""

    def delete_sandbox(self, sandbox_id: str) -> None:
        self._gone.add(sandbox_id)

    def sandbox(self, user_id: str, name: str) -> Sandbox | None:
        found = super().sandbox(user_id, name)
        return None if found is None or found.id in self._gone else found

    def sandboxes(self, user_id: str) -> list[Sandbox]:
        return [box for box in super().sandboxes(user_id) if box.id not in self._gone]

    @cached_property
    def _gone(self) -> set[str]:
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
    def sandboxes(self, user_id: str) -> list[Sandbox]:
        return Store.sandboxes(self, user_id)


@DELETED.of(
    "sandboxes.deleted.shown",
    "A deleted sandbox is shown still.",
    "sandboxes.delete.gone",
)
class StillShown(_Hiding):
    def sandbox(self, user_id: str, name: str) -> Sandbox | None:
        return Store.sandbox(self, user_id, name)


@DELETED.of(
    "sandboxes.deleted.all",
    "Deleting a sandbox deletes all of that user's.",
    "sandboxes.delete.others-stay",
)
class AllDeleted(Sandboxes):
    async def delete(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        for each in self._store.sandboxes(sandbox.user_id):
            if each.id != sandbox.id:
                self._store.delete_sandbox(each.id)
        return await super().delete(user, sandbox, _asked)


@DELETED.of(
    "sandboxes.deleted.namesakes",
    "Deleting a sandbox deletes other users' of the same name.",
    "sandboxes.create.name-per-user",
)
class Namesakes(Sandboxes):
    async def delete(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        for each in self._store.users():
            other = self._store.sandbox(each.id, sandbox.name)
            if other is not None and other.id != sandbox.id:
                self._store.delete_sandbox(other.id)
        return await super().delete(user, sandbox, _asked)


@DELETED.of(
    "sandboxes.deleted.unpaused",
    "A paused sandbox cannot be deleted.",
    "sandboxes.delete.paused",
)
class NotPaused(Sandboxes):
    async def delete(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        if sandbox.asked.is_paused:
            raise Refusal(409, f"Sandbox '{sandbox.name}' is paused")
        return await super().delete(user, sandbox, _asked)


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
class OneHome(Place):
    @property
    def home(self) -> Path:
        return self.directory.parent / "home"


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
