"""Wrong proxies in how sandboxes are listed and shown."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from sandbox_fakeproxy import Service, Status, User

from .mutant import Kind, with_middleware
from .rewriting import (
    BOX,
    BOXES,
    Rewritten,
    answered,
    body,
    changing,
    losing,
    renaming,
    setting,
    turning,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .rewriting import Json


# Listed and shown --------------------------------------------------------------------------------

LISTED = Kind("Sandboxes listed")
for _id, _said, _change, _clause in (
    ("no-namespace", "lacks namespaces", losing("sandboxes.*.namespace"), "reply"),
    ("no-service", "lacks services", losing("sandboxes.*.service"), "reply"),
    ("no-address", "lacks addresses", losing("sandboxes.*.serviceFQDN"), "reply"),
    ("no-created", "lacks createdAt", losing("sandboxes.*.createdAt"), "reply"),
    ("no-ready", "lacks ready", losing("sandboxes.*.ready"), "reply"),
    ("ready-text", "has texts as ready", turning("sandboxes.*.ready", str), "reply"),
    ("ready-number", "has numbers as ready", turning("sandboxes.*.ready", int), "reply"),
    ("snake", "writes created_at", renaming("sandboxes.*.createdAt", "created_at"), "reply"),
    ("renamed", "calls its rows items", renaming("sandboxes", "items"), "reply"),
    ("null", "is null", setting("sandboxes", None), "reply"),
    ("replicas", "says replicas", setting("sandboxes.*.replicas", 1), "brief"),
    ("reason", "says a reason", setting("sandboxes.*.readyReason", "DependenciesReady"), "brief"),
    ("more", "counts one too many", turning("count", lambda count: count + 1), "count"),
    ("text", "has a text as count", turning("count", str), "count"),
    ("none", "has no count", losing("count"), "count"),
    ("oldest", "is oldest first", turning("sandboxes", lambda rows: rows[::-1]), "newest-first"),
    (
        "by-name",
        "is in the order of names",
        turning("sandboxes", lambda rows: sorted(rows, key=lambda row: str(row["name"]))),
        "newest-first",
    ),
    ("never-ready", "never says ready", setting("sandboxes.*.ready", False), "agrees"),
    ("always-ready", "always says ready", setting("sandboxes.*.ready", True), "agrees"),
    ("pending", "says pending for ever", setting("sandboxes.*.service", "pending"), "agrees"),
):
    LISTED.add(
        f"sandboxes.listed.{_id}",
        f"The list of sandboxes {_said}.",
        answered(f"GET {BOXES}", body(_change)),
        f"sandboxes.list.{_clause}",
    )


@LISTED.of(
    "sandboxes.listed.everybodys",
    "Everybody's sandboxes are listed.",
    "sandboxes.list.own",
)
class Everybodys(Service):
    def sandboxes(self, user: User) -> list[Status]:
        listed = super().sandboxes
        return [each for owner in self.users() for each in listed(owner)]


@LISTED.of(
    "sandboxes.listed.tie",
    "Sandboxes of one instant are listed oldest first.",
    "model.history.legal",
)
class Tied(Service):
    def sandboxes(self, user: User) -> list[Status]:
        found = super().sandboxes(user)[::-1]
        return sorted(found, key=lambda each: each.sandbox.created_at, reverse=True)


@LISTED.of(
    "sandboxes.listed.by-change",
    "Sandboxes are listed by when they were paused or resumed last.",
    "sandboxes.list.newest-first",
)
class ByChange(Service):
    def sandboxes(self, user: User) -> list[Status]:
        found = super().sandboxes(user)
        return sorted(found, key=lambda each: each.sandbox.desired.since, reverse=True)


@LISTED.of(
    "sandboxes.listed.page",
    "No more than five sandboxes are listed.",
    "races.quota.held",
)
class Page(Service):
    def sandboxes(self, user: User) -> list[Status]:
        return super().sandboxes(user)[:5]


def _running(found: list[Status]) -> list[Status]:
    return [each for each in found if not each.sandbox.desired.is_paused]


_COUNTED: ContextVar[int] = ContextVar("counted")  # of the list that is on its way


class _CountingRunning(Service):
    def sandboxes(self, user: User) -> list[Status]:
        found = super().sandboxes(user)
        _COUNTED.set(len(_running(found)))
        return found


def _showing_the_count(app: ASGIApp) -> ASGIApp:
    def show(said: Json) -> Json:
        return said | {"count": _COUNTED.get()}

    return Rewritten(app, f"GET {BOXES}", body(show), range(200, 201))


LISTED.add(
    "sandboxes.listed.count-running",
    "The count of sandboxes leaves out the paused ones, and the list does not.",
    with_middleware(_showing_the_count, service=_CountingRunning),
    "sandboxes.list.count",
)


@LISTED.of(
    "sandboxes.listed.running",
    "Paused sandboxes are not listed.",
    "sandboxes.list.agrees",
    "sandboxes.list.count",
)
class RunningOnly(Service):
    def sandboxes(self, user: User) -> list[Status]:
        return _running(super().sandboxes(user))


@LISTED.of(
    "sandboxes.listed.awake",
    "A sandbox is neither listed nor counted once the controller has paused it.",
    "sandboxes.list.count",
)
class AwakeOnly(Service):
    def sandboxes(self, user: User) -> list[Status]:
        return [each for each in super().sandboxes(user) if each.phase != "paused"]


SHOWN = Kind("A sandbox shown")
for _id, _said, _change, _clause in (
    ("no-namespace", "lacks its namespace", losing("namespace"), "sandboxes.get.reply"),
    ("no-service", "lacks its service", losing("service"), "sandboxes.get.reply"),
    ("no-address", "lacks its address", losing("serviceFQDN"), "sandboxes.get.reply"),
    ("no-replicas", "lacks replicas", losing("replicas"), "sandboxes.get.reply"),
    ("no-ready", "lacks ready", losing("ready"), "sandboxes.get.reply"),
    ("no-created", "lacks createdAt", losing("createdAt"), "sandboxes.get.reply"),
    ("replicas-text", "has a text as replicas", turning("replicas", str), "sandboxes.get.reply"),
    ("ready-text", "has a text as ready", turning("ready", str), "sandboxes.get.reply"),
    ("ready-number", "has a number as ready", turning("ready", int), "sandboxes.get.reply"),
    ("snake", "has ready_reason", renaming("readyReason", "ready_reason"), "readiness.ready.row"),
    ("list", "is in a list", changing(lambda said: [said]), "sandboxes.get.reply"),
    ("null", "is null", changing(lambda _said: None), "sandboxes.get.reply"),
    (
        "wrapped",
        "is below sandbox",
        changing(lambda said: {"sandbox": said}),
        "sandboxes.get.reply",
    ),
    ("pending", "says pending for ever", setting("service", "pending"), "sandboxes.get.service"),
    (
        "address",
        "has an address without its namespace",
        turning("serviceFQDN", lambda said: said.replace(".svc.cluster.local", "")),
        "sandboxes.get.service",
    ),
):
    SHOWN.add(
        f"sandboxes.shown.{_id}",
        f"A sandbox that is shown {_said}.",
        answered(f"GET {BOX}", body(_change)),
        _clause,
    )

KINDS = (
    LISTED,
    SHOWN,
)
