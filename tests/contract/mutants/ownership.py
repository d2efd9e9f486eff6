"""Wrong proxies that let strangers at sandboxes, or tell them that they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._proxy.gate import Gate

from .gates import (
    BOX_HANDLERS,
    NO_ACCESS,
    Indifferent,
    before,
    handler_id,
    hasty,
)
from .mutant import Kind
from .rewriting import BOX, INSIDE, body, error, refused, setting

if TYPE_CHECKING:
    from sandbox_fakeproxy._state.records import User
    from sandbox_fakeproxy._state.store import Store


# Sandboxes without an owner ----------------------------------------------------------------------

OWNERSHIP = Kind("Ownership skipped on a route")
for _route, _handler in BOX_HANDLERS.items():
    OWNERSHIP.add(
        f"ownership.skipped.{handler_id(_handler)}",
        f"{_route} does not ask whose sandbox it is.",
        before(_handler, Indifferent),
        "sandboxes.ownership.hidden",
    )
for _handler in ("delete", "pause", "resume"):
    OWNERSHIP.add(
        f"ownership.refused-too-late.{_handler}",
        f"A stranger's {_handler} is refused, and done all the same.",
        before(f"Sandboxes.{_handler}", hasty(NO_ACCESS)),
        "sandboxes.ownership.untouched",
    )
OWNERSHIP.add(
    "ownership.refused-too-late.exec",
    "A stranger's command is refused, and runs all the same.",
    before("Forwarding.forward", hasty(NO_ACCESS)),
    "sandboxes.ownership.untouched",
)


@OWNERSHIP.of(
    "ownership.leaks.message",
    "The refusal of another user's sandbox says that it is another user's.",
    "sandboxes.ownership.hidden",
)
class Telltale(Gate):
    def _owned(self, user: User, name: str) -> Any:
        if self._store.sandbox(user.id, name) is None and _somebodys(self._store, name):
            raise Refusal(403, "This sandbox belongs to another user")
        return super()._owned(user, name)


@OWNERSHIP.of(
    "ownership.leaks.status",
    "Another user's sandbox is 403, and one that is not there is 404.",
    "sandboxes.ownership.missing",
    "sandboxes.ownership.hidden",
)
class NotFound(Gate):
    def _owned(self, user: User, name: str) -> Any:
        if self._store.sandbox(user.id, name) is None and not _somebodys(self._store, name):
            raise Refusal(404, NO_ACCESS)
        return super()._owned(user, name)


def _somebodys(store: Store, name: str) -> bool:
    return any(store.sandbox(each.id, name) for each in store.users())


OWNERSHIP.add(
    "ownership.leaks.all-404",
    "What is not one's own is 404.",
    refused(f"(GET|DELETE) {BOX}", error(404, "Not Found", NO_ACCESS)),
    "sandboxes.ownership.missing",
    "sandboxes.ownership.hidden",
)
OWNERSHIP.add(
    "ownership.leaks.proxy-404",
    "A command for what is not one's own is 404.",
    refused(rf"\w+ {INSIDE}/.*", error(404, "Not Found", NO_ACCESS)),
    "sandboxes.ownership.missing",
)
OWNERSHIP.add(
    "ownership.leaks.empty",
    "What is not one's own is 403 without a message.",
    refused(f"(GET|POST|DELETE) {BOX}(/pause|/resume)?", body(setting("message", ""))),
    "sandboxes.ownership.missing",
)

KINDS = (OWNERSHIP,)
