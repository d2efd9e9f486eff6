"""Wrong proxies in the time at which a status changes, and in its text."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sandbox_fakeproxy._app as proxy_app
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.fates import Fate
from sandbox_fakeproxy._state.profiles import V1ALPHA1, V1BETA1, Condition, Phase
from sandbox_fakeproxy._state.records import Intent, Sandbox

from tests.contract.targets import READY_AFTER, RECONCILE_DELAY

from .mutant import Kind, with_patched, with_settings
from .rewriting import BOX, answered, body, changing, losing, turning

if TYPE_CHECKING:
    from datetime import datetime

    from .mutant import Make

_TICK = 0.001

_HOUR = timedelta(hours=1)


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
    "readiness.time.never",
    "No sandbox is ever ready.",
    "readiness.ready.row",
    "readiness.ready.instant",
)
class Never(Controller):
    def _phase(self, seen: Intent | None, now: datetime) -> Phase:
        return super()._phase(seen and replace(seen, fate=Fate.NEVER_READY), now)


@TIMES.of(
    "readiness.time.for-an-hour",
    "A sandbox that is ready is paused after an hour.",
    "readiness.ready.lasts",
)
class ForAnHour(Controller):
    def _phase(self, seen: Intent | None, now: datetime) -> Phase:
        is_old = seen is not None and not seen.is_paused and now - seen.since > _HOUR
        return Phase.PAUSED if is_old else super()._phase(seen, now)


@TIMES.of(
    "readiness.time.by-itself",
    "A paused sandbox resumes by itself within a minute.",
    "readiness.paused.lasts",
)
class ByItself(Controller):
    def _phase(self, seen: Intent | None, now: datetime) -> Phase:
        if seen is not None and seen.is_paused and now - seen.since >= timedelta(minutes=1):
            seen = replace(seen, is_paused=False)
        return super()._phase(seen, now)


@TIMES.of(
    "readiness.time.resumed-at-once",
    "A resumed sandbox is ready as soon as the controller has seen it.",
    "readiness.resume.instant",
)
class ResumedAtOnce(Controller):
    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        changed = super().resumed(sandbox, now)
        if changed == sandbox:
            return sandbox
        return replace(changed, asked=replace(changed.asked, since=sandbox.created_at))


@TIMES.of(
    "readiness.time.resume-unseen",
    "A resume shows without delay.",
    "readiness.change.old-status",
)
class ResumeUnseen(Controller):
    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        changed = super().resumed(sandbox, now)
        return sandbox if changed == sandbox else replace(changed, before=changed.asked)


@TIMES.of(
    "readiness.time.pause-unseen",
    "A pause shows without delay.",
    "readiness.change.old-status",
)
class PauseUnseen(Controller):
    def paused(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        changed = super().paused(sandbox, now)
        return sandbox if changed == sandbox else replace(changed, before=changed.asked)


@TIMES.of(
    "readiness.time.back",
    "On its way to ready, a sandbox is starting before it is pending.",
    "readiness.rows.forward",
    "readiness.pending.row",
)
class Back(Controller):
    def _phase(self, seen: Intent | None, now: datetime) -> Phase:
        phase = super()._phase(seen, now)
        other = {Phase.PENDING: Phase.STARTING, Phase.STARTING: Phase.PENDING}
        return other.get(phase, phase)


@TIMES.of(
    "readiness.time.unpaused-resume-restarts",
    "Asking a sandbox that runs to resume starts it anew.",
    "model.history.legal",
)
class Restarting(Controller):
    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        return replace(sandbox, asked=Intent(sandbox.asked.fate, False, now))


# Texts -------------------------------------------------------------------------------------------

SAID = Kind("What a status says")


def _saying(phase: Phase, **changes: Any) -> Make:
    """Change the text of a phase."""
    profile = {**V1ALPHA1, phase: replace(V1ALPHA1[phase], **changes)}
    return with_patched("find_profile", changing(lambda _name: profile), proxy_app)


for _phase, _clause in (
    (Phase.PENDING, "pending.row"),
    (Phase.STARTING, "starting.row"),
    (Phase.READY, "ready.row"),
    (Phase.PAUSED, "paused.row"),
    (Phase.FAILED, "failed.row"),
    (Phase.EXPIRED, "expired.row"),
    (Phase.CONTROLLER_ERROR, "controller-error.row"),
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
    (Phase.UNRECONCILED, 1, "created.row"),
    (Phase.PENDING, 2, "pending.row"),
    (Phase.STARTING, 2, "starting.row"),
    (Phase.READY, 0, "ready.row"),
    (Phase.READY, 2, "ready.row"),
    (Phase.FAILED, 0, "failed.row"),
):
    SAID.add(
        f"readiness.said.replicas.{_phase}-{_replicas}",
        f"A sandbox that is {_phase} has {_replicas} replicas.",
        _saying(_phase, replicas=_replicas),
        f"readiness.{_clause}",
    )
for _phase, _ready, _clause in (
    (Phase.UNRECONCILED, True, "created.not-ready"),
    (Phase.PENDING, True, "pending.row"),
    (Phase.STARTING, True, "starting.row"),
    (Phase.READY, False, "ready.row"),
    (Phase.FAILED, True, "failed.row"),
    (Phase.EXPIRED, True, "expired.row"),
    (Phase.CONTROLLER_ERROR, True, "controller-error.row"),
):
    SAID.add(
        f"readiness.said.ready.{_phase}",
        f"A sandbox that is {_phase} says that it is {'' if _ready else 'not '}ready.",
        _saying(_phase, ready=_ready),
        f"readiness.{_clause}",
    )


@SAID.of(
    "readiness.said.replicas.paused-1",
    "A sandbox that is paused has 1 replica.",
    "readiness.paused.row",
)
class StillOne(Controller):
    def condition(self, sandbox: Sandbox, now: datetime, phase: Phase | None = None) -> Condition:
        return replace(super().condition(sandbox, now, phase), replicas=1)


SAID.add(
    "readiness.said.reason.created",
    "A sandbox that nobody has seen yet has a reason.",
    _saying(Phase.UNRECONCILED, reason="DependenciesNotReady", message="Pod is Pending"),
    "readiness.created.row",
    "readiness.rows.known",
)
SAID.add(
    "readiness.said.paused-as-ready",
    "A paused sandbox says that it is ready, and nothing of being paused.",
    with_patched(
        "find_profile",
        changing(lambda _name: {**V1ALPHA1, Phase.PAUSED: V1ALPHA1[Phase.READY]}),
        proxy_app,
    ),
    "readiness.paused.row",
)
SAID.add(
    "readiness.said.expired-as-failed",
    "An expired sandbox says that its pod failed.",
    with_patched(
        "find_profile",
        changing(lambda _name: {**V1ALPHA1, Phase.EXPIRED: V1ALPHA1[Phase.FAILED]}),
        proxy_app,
    ),
    "readiness.expired.row",
)
SAID.add(
    "readiness.said.both",
    "Ready is worded as one controller does, and paused as the other.",
    with_patched(
        "find_profile",
        changing(lambda _name: {**V1ALPHA1, Phase.PAUSED: V1BETA1[Phase.PAUSED]}),
        proxy_app,
    ),
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


@SAID.of(
    "readiness.said.service-early",
    "A sandbox says its service before there is one.",
    "readiness.created.row",
    "readiness.rows.known",
)
class ServiceEarly(Controller):
    def has_service(self, sandbox: Sandbox, now: datetime) -> bool:
        return True


@SAID.of(
    "readiness.said.service-late",
    "A sandbox says its service only when it is ready.",
    "readiness.pending.row",
    "readiness.rows.known",
)
class ServiceLate(Controller):
    def has_service(self, sandbox: Sandbox, now: datetime) -> bool:
        return sandbox.had_service or self.phase(sandbox, now) is Phase.READY


KINDS = (
    TIMES,
    SAID,
)
