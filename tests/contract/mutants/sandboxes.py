"""Wrong proxies in how sandboxes are made."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import sandbox_fakeproxy._app as proxy_app
from sandbox_fakeproxy._errors import AlreadyExists, Refusal
from sandbox_fakeproxy._proxy import fields as rules
from sandbox_fakeproxy._proxy.conduct import SANE
from sandbox_fakeproxy._proxy.sandboxes import Sandboxes
from sandbox_fakeproxy._state.records import Sandbox, User
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind, with_patched
from .rewriting import (
    BOXES,
    answered,
    asked,
    body,
    error,
    losing,
    setting,
    status,
    turning,
)

if TYPE_CHECKING:
    from sandbox_fakeproxy._http import Arguments, JsonObject, Reply

    from .rewriting import JsonChange


# Made --------------------------------------------------------------------------------------------

MADE = Kind("Making a sandbox")
for _id, _said, _change in (
    ("status", "Making a sandbox is 200", status(200)),
    ("accepted", "Making a sandbox is 202", status(202)),
    ("no-success", "The answer lacks success", body(losing("success"))),
    ("message", "The answer says otherwise", body(setting("message", "Sandbox created"))),
    ("flat", "The sandbox is not below sandbox", body(lambda said: said | said.pop("sandbox"))),
    ("no-name", "The answer lacks the name", body(losing("sandbox.name"))),
    ("no-image", "The answer lacks the image", body(losing("sandbox.image"))),
    (
        "namespace",
        "The namespace is the username",
        body(turning("sandbox.namespace", lambda name: name.removeprefix("user-"))),
    ),
):
    MADE.add(
        f"sandboxes.made.{_id}",
        f"{_said}.",
        answered(f"POST {BOXES}", _change),
        "sandboxes.create.reply",
    )
MADE.add(
    "sandboxes.made.image-ignored",
    "The image that is asked for is ignored.",
    asked((f"POST {BOXES}", lambda said: {**said, "image": "another:image"})),
    "sandboxes.create.image",
)
MADE.add(
    "sandboxes.made.image-tag",
    "An image is shown without its tag.",
    answered(f"POST {BOXES}", body(turning("sandbox.image", lambda image: image.split(":")[0]))),
    "sandboxes.create.image",
)


def _image(said: JsonObject, default: str) -> str:
    return str(said.get("image", default))


MADE.add(
    "sandboxes.made.image-empty",
    "An empty image is taken as it is.",
    with_patched("SANE", replace(SANE, image=_image), proxy_app),
    "sandboxes.create.default-image",
)


def _nothing_with(field: str) -> JsonChange:
    """Return the change that drops a field from a request."""
    return lambda said: {} if field in said else said


for _id, _said, _field in (("namespace", "a namespace", "namespace"), ("port", "a port", "port")):
    MADE.add(
        f"sandboxes.made.{_id}-refused",
        f"Asking for {_said} is refused, in place of being ignored.",
        asked((f"POST {BOXES}", _nothing_with(_field))),
        "sandboxes.create.unknown-fields",
    )


@MADE.of(
    "sandboxes.made.anywhere",
    "A sandbox is made in the namespace that is asked for.",
    "sandboxes.create.unknown-fields",
)
class Anywhere(Sandboxes):
    async def create(self, user: User, asked: Arguments) -> Reply:
        reply = await super().create(user, asked)
        reply.body["sandbox"]["namespace"] = asked.body.get("namespace", user.namespace)
        return reply


for _id, _said, _change in (
    ("message", "says nothing of a name", body(setting("message", "Bad request"))),
    ("status", "is 422", error(422, "Unprocessable Entity", "name is required")),
    ("fault", "is 500", error(500, "Internal Server Error", "name is required")),
):
    MADE.add(
        f"sandboxes.made.nameless-{_id}",
        f"Making a sandbox without a name {_said}.",
        answered(f"POST {BOXES}", _change, on=400),
        "sandboxes.create.name-required",
    )
MADE.add(
    "sandboxes.made.null-name",
    "null as a name is taken for the text.",
    asked((f"POST {BOXES}", turning("name", lambda name: "null" if name is None else name))),
    "sandboxes.create.name-required",
)
for _id, _said, _pattern in (
    ("62-at-most", "A name of 63 characters is refused", r"[a-z]([-a-z0-9]{0,60}[a-z0-9])?"),
):
    MADE.add(
        f"sandboxes.made.{_id}",
        f"{_said}.",
        with_patched("_SANDBOX_NAME", re.compile(_pattern), rules),
        "sandboxes.create.longest-name",
    )


# The same name again -----------------------------------------------------------------------------

TAKEN = Kind("A sandbox's name that is taken")
for _id, _said, _change in (
    ("201", "is 201, though nothing is made", status(201)),
    ("400", "is 400", error(400, "Bad Request", "It exists")),
    ("500", "is 500", error(500, "Internal Server Error", "It exists")),
    ("message", "says so without the name", error(409, "Conflict", "It exists")),
):
    TAKEN.add(
        f"sandboxes.taken.{_id}",
        f"A name that is taken {_said}.",
        answered(f"POST {BOXES}", _change, on=409),
        "sandboxes.create.duplicate",
    )


class _Duplicating(Sandboxes):
    """Sandboxes that do something about the first of a name when a second is asked for."""

    async def create(self, user: User, asked: Arguments) -> Reply:
        first = self._store.sandbox(user.id, str(asked.body.get("name")))
        if first is not None:
            self.again(first)
        return await super().create(user, asked)

    def again(self, first: Sandbox) -> None:
        """Do it."""


@TAKEN.of(
    "sandboxes.taken.replaced",
    "A second sandbox of a name takes the first one's place.",
    "sandboxes.create.duplicate",
)
class Replacing(_Duplicating):
    def again(self, first: Sandbox) -> None:
        self._store.delete_sandbox(first.id)


@TAKEN.of(
    "sandboxes.taken.restarted",
    "Asking for a name that is taken is refused, and starts the sandbox anew.",
    "model.history.legal",
)
class Restarting(_Duplicating):
    def again(self, first: Sandbox) -> None:
        self._store.delete_sandbox(first.id)
        now = self._clock.now()
        asked = type(first.asked)(first.asked.fate, False, now)
        again = Sandbox(first.id, first.user_id, first.name, first.image, first.created_at, asked)
        self._store.add_sandbox(again)


@TAKEN.of(
    "sandboxes.taken.resumed",
    "Asking for a name that is taken is refused, and resumes the sandbox.",
    "sandboxes.create.duplicate-changes-nothing",
)
class Resuming(_Duplicating):
    def again(self, first: Sandbox) -> None:
        self._store.update_sandbox(self._controller.resumed(first, self._clock.now()))


@TAKEN.of(
    "sandboxes.taken.deleted",
    "Asking for a name that is taken is refused, and deletes the sandbox.",
    "sandboxes.create.duplicate-changes-nothing",
)
class Deleting(Sandboxes):
    async def create(self, user: User, asked: Arguments) -> Reply:
        first = self._store.sandbox(user.id, str(asked.body.get("name")))
        try:
            return await super().create(user, asked)
        except Refusal:
            if first is not None:
                self._store.delete_sandbox(first.id)
            raise


@TAKEN.of(
    "sandboxes.taken.older",
    "Asking for a name that is taken is refused, and changes when the sandbox was created.",
    "sandboxes.create.duplicate-changes-nothing",
)
class Older(_Duplicating):
    def again(self, first: Sandbox) -> None:
        self._store._db.execute(  # pyright: ignore[reportPrivateUsage]  # a mistake
            "UPDATE sandboxes SET created_at = created_at - 1000000 WHERE id = ?", (first.id,)
        )


@TAKEN.of(
    "sandboxes.taken.by-anybody",
    "A name is unique among all users.",
    "sandboxes.create.name-per-user",
)
class ByAnybody(Store):
    def add_sandbox(self, sandbox: Sandbox) -> None:
        if any(self.sandbox(user.id, sandbox.name) for user in self.users()):
            raise AlreadyExists(f"Sandbox '{sandbox.name}' already exists")
        super().add_sandbox(sandbox)


KINDS = (
    MADE,
    TAKEN,
)
