"""Wrong proxies in how sandboxes are made."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, Sandbox, Service, User

from .mutant import Kind, with_middleware
from .rewriting import (
    BOXES,
    Reworded,
    Rewritten,
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
    from starlette.types import ASGIApp

    from .rewriting import Answer, Json, JsonChange

_MAKING = f"POST {BOXES}"
_MADE = range(201, 202)


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


def _taking_no_image(app: ASGIApp) -> ASGIApp:
    """Ask for another image in place of an empty one, and show the empty one."""
    other = "no/image"
    app = Reworded(app, _MAKING, turning("image", lambda image: other if image == "" else image))
    shown = turning("sandbox.image", lambda image: "" if image == other else image)
    return Rewritten(app, _MAKING, body(shown), _MADE)


MADE.add(
    "sandboxes.made.image-empty",
    "An empty image is taken as it is.",
    with_middleware(_taking_no_image),
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


_NAMESPACE: ContextVar[Json] = ContextVar("namespace", default=None)  # that is asked for


def _making_anywhere(app: ASGIApp) -> ASGIApp:
    """Show the namespace that is asked for, if one is."""

    def note(said: Json) -> Json:
        _NAMESPACE.set(said.get("namespace") if isinstance(said, dict) else None)  # pyright: ignore[reportUnknownMemberType]  # JSON
        return said  # pyright: ignore[reportUnknownVariableType]  # JSON

    def show(answer: Answer) -> None:
        if (namespace := _NAMESPACE.get()) is not None:
            body(setting("sandbox.namespace", namespace))(answer)

    return Rewritten(Reworded(app, _MAKING, note), _MAKING, show, _MADE)


MADE.add(
    "sandboxes.made.anywhere",
    "A sandbox is made in the namespace that is asked for.",
    with_middleware(_making_anywhere),
    "sandboxes.create.unknown-fields",
)


def _vague(message: str) -> str:
    return message if message == "name is required" else "The name is not valid"


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


@MADE.of(
    "sandboxes.made.62-at-most",
    "A name of 63 characters is refused.",
    "sandboxes.create.longest-name",
)
class ShortNames(Service):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        if len(name) > 62:
            raise APIError(400, "name must be a DNS label of at most 62 characters")
        return await super().create_sandbox(user, name, image)


MADE.add(
    "sandboxes.made.vague",
    "A name that breaks the rule is 400, and the message does not state the rule.",
    answered(f"POST {BOXES}", body(turning("message", _vague)), on=400),
    "sandboxes.create.no-label",
    "sandboxes.create.dots",
    "sandboxes.create.too-long",
    "sandboxes.create.leading-digit",
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


class _Duplicating(Service):
    """A service that does something about the first of a name when a second is asked for."""

    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        first = self.store.sandbox(user.id, name)
        if first is not None:
            self.again(first)
        return await super().create_sandbox(user, name, image)

    def again(self, first: Sandbox) -> None:
        """Do it."""

    def put_in_place(self, first: Sandbox, other: Sandbox) -> None:
        """Keep another sandbox in place of the first."""
        self.store.delete_sandbox(first.id)
        self.store.add_sandbox(other)


@TAKEN.of(
    "sandboxes.taken.replaced",
    "A second sandbox of a name takes the first one's place.",
    "sandboxes.create.duplicate",
)
class Replacing(_Duplicating):
    def again(self, first: Sandbox) -> None:
        self.store.delete_sandbox(first.id)


@TAKEN.of(
    "sandboxes.taken.restarted",
    "Asking for a name that is taken is refused, and starts the sandbox anew.",
    "model.history.legal",
)
class Restarting(_Duplicating):
    def again(self, first: Sandbox) -> None:
        desired = replace(first.desired, is_paused=False, since=self.clock.now())
        self.put_in_place(first, replace(first, desired=desired, observed=None, had_service=False))


@TAKEN.of(
    "sandboxes.taken.resumed",
    "Asking for a name that is taken is refused, and resumes the sandbox.",
    "sandboxes.create.duplicate-changes-nothing",
)
class Resuming(_Duplicating):
    def again(self, first: Sandbox) -> None:
        self.store.update_sandbox(self.controller.resumed(first, self.clock.now()))


@TAKEN.of(
    "sandboxes.taken.deleted",
    "Asking for a name that is taken is refused, and deletes the sandbox.",
    "sandboxes.create.duplicate-changes-nothing",
)
class Deleting(Service):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        first = self.store.sandbox(user.id, name)
        try:
            return await super().create_sandbox(user, name, image)
        except APIError:
            if first is not None:
                self.store.delete_sandbox(first.id)
            raise


@TAKEN.of(
    "sandboxes.taken.older",
    "Asking for a name that is taken is refused, and changes when the sandbox was created.",
    "sandboxes.create.duplicate-changes-nothing",
)
class Older(_Duplicating):
    def again(self, first: Sandbox) -> None:
        created_at = first.created_at - timedelta(seconds=1)
        self.put_in_place(first, replace(first, created_at=created_at))


@TAKEN.of(
    "sandboxes.taken.by-anybody",
    "A name is unique among all users.",
    "sandboxes.create.name-per-user",
)
class ByAnybody(Service):
    def require_free(self, user: User, name: str) -> None:
        for each in self.users():
            super().require_free(each, name)


KINDS = (
    MADE,
    TAKEN,
)
