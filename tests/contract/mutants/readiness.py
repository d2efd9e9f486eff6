"""Wrong proxies in the time at which a status changes, and in its text."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import APIError, Service

from tests.contract.targets import READY_AFTER, RECONCILE_DELAY

from .mutant import Kind, with_settings
from .rewriting import BOX, answered, body, losing, turning

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sandbox_fakeproxy import Sandbox, Status

    from .mutant import Make

_TICK = 0.001


# When --------------------------------------------------------------------------------------------

TIMES = Kind("When a status changes")
for _id, _said, _options, _clauses in (
    ("late", "ready one tick too late", {"ready_after": READY_AFTER + _TICK}, ("ready.instant",)),
    ("early", "ready one tick too early", {"ready_after": READY_AFTER - _TICK}, ("ready.instant",)),
    ("at-once", "ready at once", {"ready_after": 0.0}, ("created.not-ready", "created.row")),
    ("unseen", "seen at once", {"reconcile_delay": 0.0}, ("created.row", "change.old-status")),
    (
        "seen-late",
        "seen a tick too late",
        {"reconcile_delay": RECONCILE_DELAY + _TICK},
        ("pending.row", "change.old-status"),
    ),
    (
        "seen-early",
        "seen a tick too early",
        {"reconcile_delay": RECONCILE_DELAY - _TICK},
        ("created.row", "change.old-status"),
    ),
):
    TIMES.add(
        f"readiness.time.{_id}",
        f"A sandbox is {_said}.",
        with_settings(**_options),
        *(f"readiness.{clause}" for clause in _clauses),
    )


@TIMES.of(
    "readiness.time.silent",
    "No runtime ever answers.",
    "readiness.ready.answers",
)
class Silent(Service):
    def require_ready(self, sandbox: Sandbox) -> None:
        super().require_ready(sandbox)
        raise APIError(503, "Sandbox not ready")


@TIMES.of(
    "readiness.time.never",
    "No sandbox is ever ready.",
    "readiness.ready.row",
    "readiness.ready.instant",
)
class Never(Service):
    def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
        starting = sandbox.desired.since + timedelta(seconds=READY_AFTER - _TICK)
        return super().status_at(sandbox, min(now, starting))


class _Drifting(Service):
    """A service that pauses or resumes sandboxes without a request."""

    def drifted(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        """Return a sandbox as it has changed by itself."""
        raise NotImplementedError

    def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
        return super().status_at(self.drifted(sandbox, now), now)

    def require_ready(self, sandbox: Sandbox) -> None:
        super().require_ready(self.drifted(sandbox, self.clock.now()))


@TIMES.of(
    "readiness.time.for-an-hour",
    "A sandbox that is ready is paused after an hour.",
    "readiness.ready.lasts",
)
class ForAnHour(_Drifting):
    def drifted(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        then = sandbox.desired.since + timedelta(hours=1)
        return self.controller.paused(sandbox, then) if now >= then else sandbox


@TIMES.of(
    "readiness.time.by-itself",
    "A paused sandbox resumes by itself within a minute.",
    "readiness.paused.lasts",
)
class ByItself(_Drifting):
    def drifted(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        then = sandbox.desired.since + timedelta(seconds=50)
        return self.controller.resumed(sandbox, then) if now >= then else sandbox


class _Scaling(Service):
    """A service that has something else recorded of a pause or a resume."""

    def record(self, before: Sandbox, change: Callable[[Sandbox], Sandbox]) -> None:
        """Change the record of a sandbox, if a request has changed it."""
        current = self.current(before)
        if current is not None and current != before:
            self.store.update_sandbox(change(current))


def _seen_at_once(sandbox: Sandbox) -> Sandbox:
    return replace(sandbox, observed=sandbox.desired)


@TIMES.of(
    "readiness.time.resumed-at-once",
    "A resumed sandbox is ready as soon as the controller has seen it.",
    "readiness.resume.instant",
)
class ResumedAtOnce(_Scaling):
    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        await super().resume_sandbox(sandbox)
        self.record(sandbox, _asked_long_ago)


def _asked_long_ago(sandbox: Sandbox) -> Sandbox:
    return replace(sandbox, desired=replace(sandbox.desired, since=sandbox.created_at))


@TIMES.of(
    "readiness.time.resume-unseen",
    "A resume shows without delay.",
    "readiness.change.old-status",
)
class ResumeUnseen(_Scaling):
    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        await super().resume_sandbox(sandbox)
        self.record(sandbox, _seen_at_once)


@TIMES.of(
    "readiness.time.pause-unseen",
    "A pause shows without delay.",
    "readiness.change.old-status",
)
class PauseUnseen(_Scaling):
    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        await super().pause_sandbox(sandbox)
        self.record(sandbox, _seen_at_once)


_PENDING, _STARTING = (
    f"{pod}; Service Exists"
    for pod in ("Pod exists with phase: Pending", "Pod is Running but not Ready")
)
_EXCHANGED = {_PENDING: _STARTING, _STARTING: _PENDING}
TIMES.add(
    "readiness.time.back",
    "On its way to ready, a sandbox is starting before it is pending.",
    answered(f"GET {BOX}", body(turning("readyMessage", lambda said: _EXCHANGED.get(said, said)))),
    "readiness.rows.forward",
    "readiness.pending.row",
)


@TIMES.of(
    "readiness.time.unpaused-resume-restarts",
    "Asking a sandbox that runs to resume starts it anew.",
    "sandboxes.resume.running",
)
class Restarting(Service):
    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        await super().resume_sandbox(sandbox)
        if not sandbox.desired.is_paused:
            desired = replace(sandbox.desired, since=self.clock.now())
            self.store.update_sandbox(replace(sandbox, desired=desired))


# Texts -------------------------------------------------------------------------------------------

SAID = Kind("What a status says")


def _saying(phase: str, **changes: Any) -> Make:
    """Change the text of a phase."""

    class Saying(Service):
        def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
            status = super().status_at(sandbox, now)
            if status.condition is None or status.phase != phase:
                return status
            return replace(status, condition=replace(status.condition, **changes))

    return with_settings(service=Saying)


for _phase, _clause in (
    ("pending", "pending.row"),
    ("starting", "starting.row"),
    ("ready", "ready.row"),
    ("paused", "paused.row"),
    ("failed", "failed.row"),
    ("expired", "expired.row"),
    ("controller-error", "controller-error.row"),
):
    SAID.add(
        f"readiness.said.reason.{_phase}",
        f"A sandbox that is {_phase} has a reason that is not the table's.",
        _saying(_phase, reason="PodNotReady"),
        f"readiness.{_clause}",
    )
    SAID.add(
        f"readiness.said.message.{_phase}",
        f"A sandbox that is {_phase} has a message that is not the table's.",
        _saying(_phase, message="See the events of the pod"),
        f"readiness.{_clause}",
    )
for _phase, _replicas, _clause in (
    ("created", 1, "created.row"),
    ("pending", 2, "pending.row"),
    ("starting", 2, "starting.row"),
    ("ready", 0, "ready.row"),
    ("ready", 2, "ready.row"),
    ("failed", 0, "failed.row"),
):
    SAID.add(
        f"readiness.said.replicas.{_phase}-{_replicas}",
        f"A sandbox that is {_phase} has {_replicas} replicas.",
        _saying(_phase, replicas=_replicas),
        f"readiness.{_clause}",
    )
for _phase, _ready, _clause in (
    ("created", True, "created.not-ready"),
    ("pending", True, "pending.row"),
    ("starting", True, "starting.row"),
    ("ready", False, "ready.row"),
    ("failed", True, "failed.row"),
    ("expired", True, "expired.row"),
    ("controller-error", True, "controller-error.row"),
):
    SAID.add(
        f"readiness.said.ready.{_phase}",
        f"A sandbox that is {_phase} says that it is {'' if _ready else 'not '}ready.",
        _saying(_phase, ready=_ready),
        f"readiness.{_clause}",
    )
SAID.add(
    "readiness.said.replicas.paused-1",
    "A sandbox that is paused has 1 replica.",
    _saying("paused", replicas=1),
    "readiness.paused.row",
)
SAID.add(
    "readiness.said.reason.created",
    "A sandbox that nobody has seen yet has a reason.",
    _saying("created", reason="DependenciesNotReady", message="Pod is Pending"),
    "readiness.created.row",
    "readiness.rows.known",
)
SAID.add(
    "readiness.said.paused-as-ready",
    "A paused sandbox says that it is ready, and nothing of being paused.",
    _saying("paused", message="Pod is Ready; Service Exists"),
    "readiness.paused.row",
)
SAID.add(
    "readiness.said.expired-as-failed",
    "An expired sandbox says that its pod failed.",
    _saying(
        "expired",
        replicas=1,
        reason="DependenciesNotReady",
        message="Pod exists with phase: Failed; Service Exists",
    ),
    "readiness.expired.row",
)
SAID.add(
    "readiness.said.both",
    "Ready is worded as one controller does, and paused as the other.",
    _saying("paused", ready=False, reason="SandboxSuspended", message="Sandbox is suspended"),
    "readiness.profile.one",
)
SAID.add(
    "readiness.said.null",
    "Where there is no reason, it is null.",
    answered(f"GET {BOX}", body(lambda said: {"readyReason": None, "readyMessage": None, **said})),
    "readiness.created.row",
)
SAID.add(
    "readiness.said.no-message",
    "No message is said of readiness.",
    answered(f"GET {BOX}", body(losing("readyMessage"))),
    "readiness.ready.row",
    "readiness.rows.known",
)
SAID.add(
    "readiness.said.message-list",
    "The message about readiness is a list.",
    answered(f"GET {BOX}", body(turning("readyMessage", lambda said: [said]))),
    "readiness.ready.row",
)


SAID.add(
    "readiness.said.address-late",
    "A sandbox says its service at once, and the service's address when it is ready.",
    answered(
        f"(GET|HEAD) {BOX}",
        body(lambda said: said if said["ready"] else said | {"serviceFQDN": "pending"}),
    ),
    "readiness.rows.known",
)


@SAID.of(
    "readiness.said.service-early",
    "A sandbox says its service before there is one.",
    "readiness.created.row",
    "readiness.rows.known",
)
class ServiceEarly(Service):
    def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
        return replace(super().status_at(sandbox, now), has_service=True)


@SAID.of(
    "readiness.said.service-unseen",
    "A sandbox says its service a moment before the controller has seen it.",
    "readiness.created.row",
)
class ServiceUnseen(Service):
    def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
        status = super().status_at(sandbox, now)
        is_old = now - sandbox.created_at >= timedelta(seconds=RECONCILE_DELAY / 2)
        return replace(status, has_service=status.has_service or is_old)


@SAID.of(
    "readiness.said.service-late",
    "A sandbox says its service only when it is ready.",
    "readiness.pending.row",
    "readiness.rows.known",
)
class ServiceLate(Service):
    def status_at(self, sandbox: Sandbox, now: datetime) -> Status:
        status = super().status_at(sandbox, now)
        return replace(status, has_service=sandbox.had_service or status.phase == "ready")


KINDS = (
    TIMES,
    SAID,
)
