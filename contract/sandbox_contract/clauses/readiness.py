"""Readiness: every status until a sandbox is ready, and the instant on an exact clock."""

from datetime import timedelta

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.api import NOT_READY
from sandbox_contract.harness.readiness import (
    Phase,
    describe,
    phase_of,
    profile_of,
    rows_in_words,
    rows_of,
)
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require, same
from sandbox_contract.target import Need, Unsupported

from .lifetime import is_from_warm_pool, observe_lifetime

_TICK = timedelta(milliseconds=1).total_seconds()
_HOURS = 6 * 3600.0


def _require_phase(reply: Reply, phase: Phase) -> Json:
    status = reply.expect_fields()
    shown = describe(status)
    require(any(row.phase is phase for row in rows_of(status)), rows_in_words(phase), shown, reply)
    return status


def _note_profile(run: Run, status: Json) -> None:
    """Note in the report which controller's words a status has."""
    profile = profile_of(status)
    if profile is not None:
        run.note(f"in the words of {profile}")


# On any clock -----------------------------------------------------------------------------------


@clause(
    "readiness.created.not-ready",
    "A newly created sandbox is not ready.",
    source="states",
    needs=Need.USER,
)
async def a_new_sandbox_is_not_ready(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    status = seen.first_get.expect_fields(name=seen.box.name)
    if is_from_warm_pool(run, is_ready=phase_of(status) is Phase.READY):
        return
    require(status["ready"] is False, "a sandbox that is not ready", status, seen.first_get)


@clause(
    "readiness.ready.row",
    "A ready sandbox has the ready status of one of the two controllers.",
    source="states",
    needs=(Need.USER, Need.WAITING),
)
async def a_ready_sandbox_has_a_ready_status(run: Run) -> None:
    status = (await run.sandboxes.statuses_of_start())[-1]
    require(phase_of(status) is Phase.READY, rows_in_words(Phase.READY), describe(status))
    _note_profile(run, status)


@clause(
    "readiness.ready.answers",
    "The runtime of a ready sandbox eventually answers.",
    source="ready-and-listening",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_ready_sandbox_answers_eventually(run: Run) -> None:
    start = await run.sandboxes.start()
    if start.silent is not None:
        raise start.silent


@clause(
    "readiness.ready.listening",
    "When a sandbox is ready, its runtime answers.",
    source="ready-and-listening",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def a_ready_sandbox_answers_at_once(run: Run) -> None:
    _, described = await run.once(_observe_whole_start)
    described.expect(200)


async def _observe_whole_start(run: Run) -> tuple[list[Json], Reply]:
    """Return every status of a new sandbox until it is ready, and what its runtime answers then.

    The shared sandbox may have become ready while nothing looked at it.
    """
    box = await run.sandboxes.new()
    statuses = await run.clock.until_phase(box, Phase.READY)
    return statuses, await box.describe()


@clause(
    "readiness.paused.row",
    "A paused sandbox has the paused status of one of the two controllers.",
    source="profiles",
    needs=(Need.USER, Need.WAITING),
)
async def a_paused_sandbox_has_a_paused_status(run: Run) -> None:
    box = await run.sandboxes.ready()
    (await box.pause()).expect(200)
    status = (await run.clock.until_phase(box, Phase.PAUSED))[-1]
    _note_profile(run, status)


@clause(
    "readiness.rows.known",
    "Every status of a starting sandbox is in the table; only the first has a pending service.",
    source="states",
    needs=(Need.USER, Need.WAITING),
)
async def every_starting_status_is_known(run: Run) -> None:
    statuses, _ = await run.once(_observe_whole_start)
    for status in statuses:
        require(rows_of(status), "a status of the table", describe(status))
        is_created = phase_of(status) is Phase.CREATED
        pending = {status[field] == "pending" for field in ("service", "serviceFQDN")}
        require(pending == {is_created}, "a service that is pending until it is made", status)


@clause(
    "readiness.rows.forward",
    "The state of a starting sandbox never goes back.",
    source="states",
    needs=(Need.USER, Need.WAITING),
)
async def no_status_goes_back(run: Run) -> None:
    statuses, _ = await run.once(_observe_whole_start)
    phases = [phase_of(status) for status in statuses]
    known = [phase for phase in phases if phase is not None]
    require(known == sorted(known), "created, pending, starting, ready, in this order", phases)


@clause(
    "readiness.profile.one",
    "A proxy reports ready and paused sandboxes in the words of one controller.",
    source="profiles",
    needs=(Need.USER, Need.WAITING),
)
async def one_controller_reports_all_statuses(run: Run) -> None:
    ready = (await run.sandboxes.statuses_of_start())[-1]
    box = await run.sandboxes.ready()
    (await box.pause()).expect(200)
    paused = (await run.clock.until_phase(box, Phase.PAUSED))[-1]
    profiles = {profile_of(ready), profile_of(paused)}
    require(len(profiles) == 1, "one profile", f"ready: {ready}, paused: {paused}")
    _note_profile(run, ready)


# On an exact clock ------------------------------------------------------------------------------


def _delays(run: Run) -> tuple[float, float]:
    """Return the target's reconcile delay and start-up time, in seconds."""
    time = run.target.time
    if time.ready_after is None or time.reconcile_delay is None:
        raise Unsupported(reason="to know when a sandbox is ready: ready_after and reconcile_delay")
    return time.reconcile_delay, time.ready_after


@clause(
    "readiness.created.row",
    "Until the controller has seen a sandbox, its service is pending and it has no reason.",
    source="states",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def an_unreconciled_sandbox_is_created(run: Run) -> None:
    reconcile_delay, _ = _delays(run)
    box = await run.sandboxes.new()
    for seconds in (0, reconcile_delay - _TICK):
        await run.clock.advance(seconds)
        reply = await box.get()
        status = _require_phase(reply, Phase.CREATED)
        require(status["service"] == "pending" == status["serviceFQDN"], "pending", status, reply)
        require("readyReason" not in status, "no readyReason", status, reply)
        require("readyMessage" not in status, "no readyMessage", status, reply)


@clause(
    "readiness.pending.row",
    "While its pod is pending, a sandbox has the status pending.",
    source="states",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_pending_sandbox_has_a_pending_status(run: Run) -> None:
    reconcile_delay, _ = _delays(run)
    box = await run.sandboxes.new()
    await run.clock.advance(reconcile_delay)
    reply = await box.get()
    status = _require_phase(reply, Phase.PENDING)
    require(status["service"] == box.name, f"service {box.name}", status, reply)
    _note_profile(run, status)


@clause(
    "readiness.starting.row",
    "While its pod starts, a sandbox has the status starting.",
    source="states",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_starting_sandbox_has_a_starting_status(run: Run) -> None:
    _, ready = _delays(run)
    box = await run.sandboxes.new()
    await run.clock.advance(ready - _TICK)
    _note_profile(run, _require_phase(await box.get(), Phase.STARTING))


@clause(
    "readiness.ready.instant",
    "A sandbox becomes ready when its start-up time has passed, to the millisecond.",
    source="states",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_sandbox_is_ready_to_the_millisecond(run: Run) -> None:
    _, ready = _delays(run)
    box = await run.sandboxes.new()
    await run.clock.advance(ready - _TICK)
    _require_phase(await box.get(), Phase.STARTING)
    (await box.exec("true")).expect_refusal(503, NOT_READY)
    await run.clock.advance(_TICK)
    _require_phase(await box.get(), Phase.READY)
    await run.sandboxes.until_it_answers(box)
    (await box.exec("true")).expect(200)


@clause(
    "readiness.resume.instant",
    "A resumed sandbox becomes ready when its start-up time has passed, to the millisecond.",
    source="states",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_resumed_sandbox_is_ready_to_the_millisecond(run: Run) -> None:
    _, ready = _delays(run)
    box = await run.sandboxes.ready()
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    (await box.resume()).expect(200)
    await run.clock.advance(ready - _TICK)
    _require_phase(await box.get(), Phase.STARTING)
    await run.clock.advance(_TICK)
    _require_phase(await box.get(), Phase.READY)
    await run.sandboxes.until_it_answers(box)
    (await box.exec("true")).expect(200)


@clause(
    "readiness.ready.lasts",
    "A ready sandbox stays ready for hours.",
    source="states",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_ready_sandbox_stays_ready(run: Run) -> None:
    box = await run.sandboxes.ready()
    before = (await box.get()).expect(200)
    await run.clock.advance(_HOURS)
    (await box.get()).expect_like(before)
    (await box.exec("true")).expect(200)


@clause(
    "readiness.paused.lasts",
    "A paused sandbox stays paused for hours.",
    source="profiles",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_paused_sandbox_stays_paused(run: Run) -> None:
    box = await run.sandboxes.ready()
    (await box.pause()).expect(200)
    before = (await run.clock.until_phase(box, Phase.PAUSED))[-1]
    await run.clock.advance(_HOURS)
    reply = await box.get()
    require(same(reply.fields(), before), f"the paused sandbox as it was: {before}", reply, reply)


@clause(
    "readiness.change.old-status",
    "Until the controller has seen a pause or a resume, GET shows the old status.",
    source="states",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def the_old_status_shows_until_reconciliation(run: Run) -> None:
    reconcile_delay, _ = _delays(run)
    box = await run.sandboxes.ready()
    for change, before, after in (
        (box.pause, Phase.READY, Phase.PAUSED),
        (box.resume, Phase.PAUSED, Phase.PENDING),
    ):
        (await change()).expect(200)
        for seconds, phase in ((0, before), (reconcile_delay - _TICK, before), (_TICK, after)):
            await run.clock.advance(seconds)
            reply = await box.get()
            status = _require_phase(reply, phase)
            require(status["service"] == box.name, f"service {box.name}", status, reply)


# Failures ---------------------------------------------------------------------------------------


async def _require_failure(run: Run, mode: str, phase: Phase) -> None:
    image = run.target.failure_images.get(mode)
    if image is None:
        raise Unsupported(
            reason=f"an image whose sandboxes are {mode}: pass --failure-image {mode}=IMAGE"
        )
    box = await run.sandboxes.new(image=image)
    status = (await run.clock.until_phase(box, phase))[-1]
    _note_profile(run, status)
    (await box.exec("true")).expect_refusal(503)


@clause(
    "readiness.failed.row",
    "A sandbox whose pod failed has the failed status of one of the two controllers.",
    source="profiles",
    needs=(Need.USER, Need.FAILURE_IMAGES),
)
async def a_failed_sandbox_has_a_failed_status(run: Run) -> None:
    await _require_failure(run, "failed", Phase.FAILED)


@clause(
    "readiness.expired.row",
    "An expired sandbox has the status expired.",
    source="profiles",
    needs=(Need.USER, Need.FAILURE_IMAGES),
)
async def an_expired_sandbox_has_an_expired_status(run: Run) -> None:
    await _require_failure(run, "expired", Phase.EXPIRED)


@clause(
    "readiness.controller-error.row",
    "A sandbox that the controller cannot reconcile has the status controller error.",
    source="states",
    needs=(Need.USER, Need.FAILURE_IMAGES),
)
async def a_controller_error_has_an_error_status(run: Run) -> None:
    await _require_failure(run, "controller-error", Phase.ERROR)
