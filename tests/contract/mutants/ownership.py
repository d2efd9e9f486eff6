"""Wrong proxies that let strangers at sandboxes, or tell them that they are there."""

from __future__ import annotations

from sandbox_fakeproxy import APIError, Sandbox, Service, Store, User

from .gates import BOX_ROUTES, NO_ACCESS, Indifferent, hasty, on_route, route_id
from .mutant import Kind
from .rewriting import BOX, INSIDE, body, error, refused, setting

# Sandboxes without an owner ----------------------------------------------------------------------

OWNERSHIP = Kind("Ownership skipped on a route")
for _name, _route in BOX_ROUTES.items():
    OWNERSHIP.add(
        f"ownership.skipped.{route_id(_name)}",
        f"{_route} does not ask whose sandbox it is.",
        on_route(_name, Indifferent),
        "sandboxes.ownership.hidden",
    )
for _done in ("delete", "pause", "resume"):
    OWNERSHIP.add(
        f"ownership.refused-too-late.{_done}",
        f"A stranger's {_done} is refused, and done all the same.",
        hasty(f"Sandboxes.{_done}", NO_ACCESS),
        "sandboxes.ownership.untouched",
    )
OWNERSHIP.add(
    "ownership.refused-too-late.exec",
    "A stranger's command is refused, and runs all the same.",
    hasty("Forwarding.forward", NO_ACCESS),
    "sandboxes.ownership.untouched",
)


@OWNERSHIP.of(
    "ownership.leaks.message",
    "The refusal of another user's sandbox says that it is another user's.",
    "sandboxes.ownership.hidden",
)
class Telltale(Service):
    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        if self.store.sandbox(user.id, name) is None and _somebodys(self.store, name):
            raise APIError(403, "This sandbox belongs to another user")
        return super().owned_sandbox(user, name)


@OWNERSHIP.of(
    "ownership.leaks.status",
    "Another user's sandbox is 403, and one that is not there is 404.",
    "sandboxes.ownership.missing",
    "sandboxes.ownership.hidden",
)
class NotFound(Service):
    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        if self.store.sandbox(user.id, name) is None and not _somebodys(self.store, name):
            raise APIError(404, NO_ACCESS)
        return super().owned_sandbox(user, name)


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
