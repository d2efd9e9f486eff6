"""How a sandbox becomes ready: every status on the way, and the instant where that is exact."""

from datetime import timedelta

from sandbox_contract._run.run import Run
from sandbox_contract._run.status import (
    Phase,
    phase_of,
    profile_of,
    rows_in_words,
    rows_of,
    said_of,
)
from sandbox_contract._wire.expect import Json, Reply, Unsupported, require, same

from .life import came_warm, life
from .refusals import NOT_READY
from .registry import checks

_TICK = timedelta(milliseconds=1).total_seconds()
_HOURS = 6 * 3600.0


def _require_phase(reply: Reply, phase: Phase) -> Json:
    status = reply.expect_fields()
    said = said_of(status)
    require(any(row.phase is phase for row in rows_of(status)), rows_in_words(phase), said, reply)
    return status


def _note(run: Run, status: Json) -> None:
    """Record whose words a status is in."""
    profile = profile_of(status)
    if profile is not None:
        run.note(f"in the words of {profile}")


# On any clock -----------------------------------------------------------------------------------


@checks("readiness.created.not-ready")
async def a_new_sandbox_is_not_ready(run: Run) -> None:
    seen = await run.once(life)
    status = seen.shown.expect_fields(name=seen.box.name)
    if came_warm(run, is_ready=phase_of(status) is Phase.READY):
        return
    require(status["ready"] is False, "a sandbox that is not ready", status, seen.shown)


@checks("readiness.ready.row")
async def a_ready_sandbox_says_so(run: Run) -> None:
    status = (await run.start())[-1]
    require(phase_of(status) is Phase.READY, rows_in_words(Phase.READY), said_of(status))
    _note(run, status)


@checks("readiness.paused.row")
async def a_paused_sandbox_says_so(run: Run) -> None:
    box = await run.ready_box()
    (await box.pause()).expect(200)
    status = (await run.until_phase(box, Phase.PAUSED))[-1]
    _note(run, status)


@checks("readiness.rows.known")
async def every_status_is_one_of_the_tables(run: Run) -> None:
    for status in await run.start():
        require(rows_of(status), "a status of the table", said_of(status))
        is_created = phase_of(status) is Phase.CREATED
        service = status["service"] == "pending" == status["serviceFQDN"]
        require(service is is_created, "a service that is pending until it is made", status)


@checks("readiness.rows.forward")
async def no_status_goes_back(run: Run) -> None:
    phases = [phase_of(status) for status in await run.start()]
    known = [phase for phase in phases if phase is not None]
    require(known == sorted(known), "created, pending, starting, ready, in this order", phases)


@checks("readiness.profile.one")
async def one_controller_words_them_all(run: Run) -> None:
    ready = (await run.start())[-1]
    box = await run.ready_box()
    (await box.pause()).expect(200)
    paused = (await run.until_phase(box, Phase.PAUSED))[-1]
    profiles = {profile_of(ready), profile_of(paused)}
    require(len(profiles) == 1, "one profile", f"ready: {ready}, paused: {paused}")
    _note(run, ready)


# At the instant ---------------------------------------------------------------------------------


def _delays(run: Run) -> tuple[float, float]:
    """Return when a change shows and when a sandbox is ready, in seconds, as the target has it."""
    time = run.target.time
    if time.ready_after is None or time.reconcile_delay is None:
        raise Unsupported("to know when a sandbox is ready: ready_after and reconcile_delay")
    return time.reconcile_delay, time.ready_after


@checks("readiness.created.row")
async def a_sandbox_that_nobody_has_seen(run: Run) -> None:
    reconciled, _ = _delays(run)
    box = await run.new_box()
    reply = await box.get()
    status = _require_phase(reply, Phase.CREATED)
    require(status["service"] == "pending" == status["serviceFQDN"], "pending", status, reply)
    require("readyReason" not in status, "no readyReason", status, reply)
    require("readyMessage" not in status, "no readyMessage", status, reply)
    await run.target.time.pass_by(reconciled - _TICK)
    _require_phase(await box.get(), Phase.CREATED)


@checks("readiness.pending.row")
async def a_pending_sandbox(run: Run) -> None:
    reconciled, _ = _delays(run)
    box = await run.new_box()
    await run.target.time.pass_by(reconciled)
    reply = await box.get()
    status = _require_phase(reply, Phase.PENDING)
    require(status["service"] == box.name, f"service {box.name}", status, reply)
    _note(run, status)


@checks("readiness.starting.row")
async def a_starting_sandbox(run: Run) -> None:
    _, ready = _delays(run)
    box = await run.new_box()
    await run.target.time.pass_by(ready - _TICK)
    _note(run, _require_phase(await box.get(), Phase.STARTING))


@checks("readiness.ready.instant")
async def ready_at_the_instant(run: Run) -> None:
    _, ready = _delays(run)
    box = await run.new_box()
    await run.target.time.pass_by(ready - _TICK)
    _require_phase(await box.get(), Phase.STARTING)
    (await box.exec("true")).expect_refusal(503, NOT_READY)
    await run.target.time.pass_by(_TICK)
    _require_phase(await box.get(), Phase.READY)
    (await box.exec("true")).expect(200)


@checks("readiness.resume.instant")
async def ready_again_at_the_instant(run: Run) -> None:
    _, ready = _delays(run)
    box = await run.ready_box()
    (await box.pause()).expect(200)
    await run.until_phase(box, Phase.PAUSED)
    (await box.resume()).expect(200)
    await run.target.time.pass_by(ready - _TICK)
    _require_phase(await box.get(), Phase.STARTING)
    await run.target.time.pass_by(_TICK)
    _require_phase(await box.get(), Phase.READY)
    (await box.exec("true")).expect(200)


@checks("readiness.ready.lasts")
async def a_ready_sandbox_stays_so(run: Run) -> None:
    box = await run.ready_box()
    before = (await box.get()).expect(200)
    await run.target.time.pass_by(_HOURS)
    (await box.get()).expect_like(before)
    (await box.exec("true")).expect(200)


@checks("readiness.paused.lasts")
async def a_paused_sandbox_stays_so(run: Run) -> None:
    box = await run.ready_box()
    (await box.pause()).expect(200)
    before = (await run.until_phase(box, Phase.PAUSED))[-1]
    await run.target.time.pass_by(_HOURS)
    reply = await box.get()
    require(same(reply.fields(), before), f"the paused sandbox as it was: {before}", reply, reply)


@checks("readiness.change.old-status")
async def the_old_status_shows_for_a_while(run: Run) -> None:
    reconciled, _ = _delays(run)
    box = await run.ready_box()
    for change, before, after in (
        (box.pause, Phase.READY, Phase.PAUSED),
        (box.resume, Phase.PAUSED, Phase.PENDING),
    ):
        (await change()).expect(200)
        for seconds, phase in ((0, before), (reconciled - _TICK, before), (_TICK, after)):
            await run.target.time.pass_by(seconds)
            reply = await box.get()
            status = _require_phase(reply, phase)
            require(status["service"] == box.name, f"service {box.name}", status, reply)


# Grief ------------------------------------------------------------------------------------------


async def _comes_to(run: Run, fate: str, phase: Phase) -> None:
    image = run.target.fate_images.get(fate)
    if image is None:
        raise Unsupported(f"an image whose sandboxes are {fate}: pass --fate-image {fate}=IMAGE")
    box = await run.new_box(image=image)
    status = (await run.until_phase(box, phase))[-1]
    _note(run, status)
    (await box.exec("true")).expect_refusal(503)


@checks("readiness.failed.row")
async def a_failed_sandbox(run: Run) -> None:
    await _comes_to(run, "failed", Phase.FAILED)


@checks("readiness.expired.row")
async def an_expired_sandbox(run: Run) -> None:
    await _comes_to(run, "expired", Phase.EXPIRED)


@checks("readiness.controller-error.row")
async def a_sandbox_that_cannot_be_reconciled(run: Run) -> None:
    await _comes_to(run, "controller-error", Phase.ERROR)
