"""Sandboxes deleted, paused and resumed."""

from sandbox_contract._run.people import Box
from sandbox_contract._run.run import A_WHILE, Run
from sandbox_contract._run.status import Phase, phase_of
from sandbox_contract._wire.expect import Reply, require

from .heartbeat import Heartbeat
from .life import life
from .refusals import NO_ACCESS
from .registry import checks

_LOOKS = 3


@checks("sandboxes.delete.reply")
async def a_sandbox_is_deleted(run: Run) -> None:
    seen = await run.once(life)
    message = f"Sandbox '{seen.box.name}' deleted successfully"
    seen.deleted.expect_fields(success=True, message=message)


@checks("sandboxes.delete.gone")
async def a_deleted_sandbox_is_gone(run: Run) -> None:
    seen = await run.once(life)
    seen.shown_after.expect_refusal(403, NO_ACCESS)
    rows = seen.listed_after.expect_fields()["sandboxes"]
    names = [each["name"] for each in rows]
    require(seen.box.name not in names, f"a list without {seen.box.name}", names)


@checks("sandboxes.delete.again")
async def a_sandbox_is_deleted_again(run: Run) -> None:
    (await run.once(life)).deleted_again.expect_refusal(403, NO_ACCESS)


@checks("sandboxes.delete.frees-name")
async def a_deleted_sandboxs_name_is_free(run: Run) -> None:
    (await run.once(life)).created_again.expect(201)


@checks("sandboxes.delete.paused")
async def a_paused_sandbox_is_deleted(run: Run) -> None:
    seen = await run.once(life)
    seen.paused.expect(200)
    seen.deleted_paused.expect_fields(success=True)
    seen.shown_at_last.expect_refusal(403, NO_ACCESS)


@checks("sandboxes.delete.others-stay")
async def other_sandboxes_stay(run: Run) -> None:
    kept = await run.ready_box()
    before = (await kept.get()).expect(200)
    (await (await run.new_box()).delete()).expect(200)
    after = await kept.get()
    after.expect_fields(name=kept.name, createdAt=before.fields()["createdAt"])
    require(await run.is_phase(kept, Phase.READY), "a sandbox that is ready still", after, after)


# Paused and resumed -----------------------------------------------------------------------------


async def _scaled(run: Run, *, again: bool) -> tuple[Box, Reply, Reply]:
    """Pause and resume a sandbox, each once or twice; return the last answers."""
    box = await run.ready_box()
    paused = await box.pause()
    if again:
        paused = await box.pause()
    resumed = await box.resume()
    if again:
        resumed = await box.resume()
    return box, paused, resumed


def _expect_scaled(reply: Reply, name: str, done: str, replicas: int) -> None:
    message = f"Sandbox '{name}' {done} successfully"
    reply.expect_fields(success=True, message=message, replicas=replicas)


@checks("sandboxes.pause.reply")
async def a_sandbox_is_paused(run: Run) -> None:
    box, paused, _ = await _scaled(run, again=False)
    _expect_scaled(paused, box.name, "paused", 0)


@checks("sandboxes.pause.again")
async def a_sandbox_is_paused_again(run: Run) -> None:
    box, paused, _ = await _scaled(run, again=True)
    _expect_scaled(paused, box.name, "paused", 0)


@checks("sandboxes.resume.reply")
async def a_sandbox_is_resumed(run: Run) -> None:
    box, _, resumed = await _scaled(run, again=False)
    _expect_scaled(resumed, box.name, "resumed", 1)


@checks("sandboxes.resume.again")
async def a_sandbox_is_resumed_again(run: Run) -> None:
    box, _, resumed = await _scaled(run, again=True)
    _expect_scaled(resumed, box.name, "resumed", 1)


@checks("sandboxes.pause.keeps-files")
async def files_outlast_a_pause(run: Run) -> None:
    box, text = await run.ready_box(), run.name("text")
    file = f"/sandbox/{run.name('file')}"
    await box.succeed("/v1/file/write", {"file": file, "content": text})
    (await box.pause()).expect(200)
    await run.until_phase(box, Phase.PAUSED)
    await run.ready_box()
    content = (await box.succeed("/v1/file/read", {"file": file}))["content"]
    require(content == text, f"the content {text!r}", content)


@checks("sandboxes.pause.others-stay")
async def other_sandboxes_stay_ready(run: Run) -> None:
    kept, box = await run.ready_box(), await run.new_box()
    (await box.pause()).expect(200)
    for _ in range(_LOOKS):
        require(await run.is_phase(kept, Phase.READY), "a sandbox that is ready still", "another")
        await run.target.time.pass_by(A_WHILE)


@checks("sandboxes.pause.ends-work")
async def a_pause_ends_what_runs(run: Run) -> None:
    box = await run.ready_box()
    heart = Heartbeat(run, box)
    await heart.begin()
    require(await heart.beats(), "a loop that runs in the background", "none")
    (await box.pause()).expect(200)
    await run.until_phase(box, Phase.PAUSED)
    await run.ready_box()
    require(not await heart.beats(), "nothing of before the pause that runs", "the loop")


@checks("sandboxes.resume.running")
async def a_running_sandbox_is_resumed(run: Run) -> None:
    box = await run.ready_box()
    session = (await box.run("export CONTRACT=kept"))["session_id"]
    (await box.resume()).expect(200)
    for _ in range(_LOOKS):
        status = await box.get()
        status.expect(200)
        require(phase_of(status.fields()) is Phase.READY, "a sandbox that is ready", status, status)
        await run.target.time.pass_by(A_WHILE)
    output = await box.output("echo $CONTRACT", id=session)
    require(output == "kept", "the session that was there", output)


@checks("sandboxes.resume.ready")
async def a_resumed_sandbox_runs_commands(run: Run) -> None:
    box = await run.ready_box()
    (await box.pause()).expect(200)
    await run.until_phase(box, Phase.PAUSED)
    (await box.resume()).expect(200)
    await run.until_phase(box, Phase.READY)
    output = await box.output("echo awake")
    require(output == "awake", "the output of a command", output)
