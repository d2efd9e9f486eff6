"""Deletion, pause and resume of sandboxes."""

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import NO_ACCESS
from sandbox_contract.harness.clock import A_WHILE
from sandbox_contract.harness.readiness import Phase, phase_of
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply, require
from sandbox_contract.target import Need

from .lifetime import Heartbeat, observe_lifetime

_CHECKS = 3


@clause(
    "sandboxes.delete.reply",
    "Deleting a sandbox is 200.",
    source="delete-a-sandbox",
    needs=Need.USER,
)
async def a_sandbox_is_deleted(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    message = f"Sandbox '{seen.box.name}' deleted successfully"
    seen.deleted.expect_fields(success=True, message=message)


@clause(
    "sandboxes.delete.gone",
    "A deleted sandbox is 403 and not listed.",
    source="delete-a-sandbox",
    needs=Need.USER,
)
async def a_deleted_sandbox_is_gone(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    seen.get_after_delete.expect_refusal(403, NO_ACCESS)
    rows = seen.listing_after_delete.expect_fields()["sandboxes"]
    names = [each["name"] for each in rows]
    require(seen.box.name not in names, f"a list without {seen.box.name}", names)


@clause(
    "sandboxes.delete.again",
    "Deleting a sandbox again is 403.",
    source="delete-a-sandbox",
    needs=Need.USER,
)
async def a_sandbox_is_deleted_again(run: Run) -> None:
    (await run.once(observe_lifetime)).deleted_again.expect_refusal(403, NO_ACCESS)


@clause(
    "sandboxes.delete.frees-name",
    "The name of a deleted sandbox is free again.",
    source="delete-a-sandbox",
    needs=Need.USER,
)
async def a_deleted_sandboxs_name_is_reusable(run: Run) -> None:
    (await run.once(observe_lifetime)).created_again.expect(201)


@clause(
    "sandboxes.delete.paused",
    "A paused sandbox can be deleted.",
    source="delete-a-sandbox",
    needs=(Need.USER, Need.WAITING),
)
async def a_paused_sandbox_is_deleted(run: Run) -> None:
    box = await run.sandboxes.new()
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    message = f"Sandbox '{box.name}' deleted successfully"
    (await box.delete()).expect_fields(success=True, message=message)
    (await box.get()).expect_refusal(403, NO_ACCESS)


@clause(
    "sandboxes.delete.others-stay",
    "Deleting a sandbox does not affect the user's other sandboxes.",
    source="delete-a-sandbox",
    needs=(Need.USER, Need.WAITING),
)
async def a_delete_leaves_other_sandboxes(run: Run) -> None:
    other = await run.sandboxes.ready()
    before = (await other.get()).expect(200)
    (await (await run.sandboxes.new()).delete()).expect(200)
    after = await other.get()
    after.expect_fields(name=other.name, createdAt=before.fields()["createdAt"])
    require(
        await run.clock.is_phase(other, Phase.READY), "a sandbox that is still ready", after, after
    )


# Pause and resume -------------------------------------------------------------------------------


async def _pause_and_resume(run: Run, *, is_repeated: bool) -> tuple[SandboxHandle, Reply, Reply]:
    """Pause and resume a sandbox, each once or twice, and return the last response to each."""
    box = await run.sandboxes.ready()
    paused = await box.pause()
    if is_repeated:
        paused = await box.pause()
    resumed = await box.resume()
    if is_repeated:
        resumed = await box.resume()
    return box, paused, resumed


def _expect_scaled(reply: Reply, name: str, action: str, replicas: int) -> None:
    message = f"Sandbox '{name}' {action} successfully"
    reply.expect_fields(success=True, message=message, replicas=replicas)


@clause(
    "sandboxes.pause.reply",
    "Pausing a sandbox is 200 with 0 replicas.",
    source="pause",
    needs=Need.USER,
)
async def a_sandbox_is_paused(run: Run) -> None:
    box, paused, _ = await _pause_and_resume(run, is_repeated=False)
    _expect_scaled(paused, box.name, "paused", 0)


@clause(
    "sandboxes.pause.again",
    "Pausing a sandbox again is 200 with 0 replicas.",
    source="pause",
    needs=Need.USER,
)
async def a_sandbox_is_paused_again(run: Run) -> None:
    box, paused, _ = await _pause_and_resume(run, is_repeated=True)
    _expect_scaled(paused, box.name, "paused", 0)


@clause(
    "sandboxes.resume.reply",
    "Resuming a sandbox is 200 with 1 replica.",
    source="resume",
    needs=Need.USER,
)
async def a_sandbox_is_resumed(run: Run) -> None:
    box, _, resumed = await _pause_and_resume(run, is_repeated=False)
    _expect_scaled(resumed, box.name, "resumed", 1)


@clause(
    "sandboxes.resume.again",
    "Resuming a sandbox again is 200 with 1 replica.",
    source="resume",
    needs=Need.USER,
)
async def a_sandbox_is_resumed_again(run: Run) -> None:
    box, _, resumed = await _pause_and_resume(run, is_repeated=True)
    _expect_scaled(resumed, box.name, "resumed", 1)


@clause(
    "sandboxes.pause.others-stay",
    "Pausing a sandbox does not affect the user's other sandboxes.",
    source="pause",
    needs=(Need.USER, Need.WAITING),
)
async def a_pause_leaves_other_sandboxes(run: Run) -> None:
    other, box = await run.sandboxes.ready(), await run.sandboxes.new()
    (await box.pause()).expect(200)
    for _ in range(_CHECKS):
        require(
            await run.clock.is_phase(other, Phase.READY), "a sandbox that is still ready", "another"
        )
        await run.clock.advance(A_WHILE)


@clause(
    "sandboxes.pause.ends-work",
    "A pause ends all processes in the sandbox, including background ones.",
    source="pause",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_pause_ends_all_processes(run: Run) -> None:
    box = await run.sandboxes.ready()
    heartbeat = Heartbeat(run, box)
    await heartbeat.start()
    require(await heartbeat.is_running(), "a loop that runs in the background", "none")
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    await run.sandboxes.ready()
    require(not await heartbeat.is_running(), "no process from before the pause", "the loop")


@clause(
    "sandboxes.resume.running",
    "Resuming a running sandbox leaves it ready, and its sessions continue.",
    source="resume",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def resuming_a_running_sandbox_changes_nothing(run: Run) -> None:
    box = await run.sandboxes.ready()
    session = (await box.run("export CONTRACT=kept"))["session_id"]
    (await box.resume()).expect(200)
    for _ in range(_CHECKS):
        status = await box.get()
        status.expect(200)
        require(phase_of(status.fields()) is Phase.READY, "a sandbox that is ready", status, status)
        await run.clock.advance(A_WHILE)
    output = await box.output("echo $CONTRACT", id=session)
    require(output == "kept", "the session that was there", output)


@clause(
    "sandboxes.resume.ready",
    "A resumed sandbox becomes ready and runs commands again.",
    source="resume",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_resumed_sandbox_runs_commands(run: Run) -> None:
    box = await run.sandboxes.ready()
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    (await box.resume()).expect(200)
    await run.clock.until_phase(box, Phase.READY)
    await run.sandboxes.until_it_answers(box)
    output = await box.output("echo awake")
    require(output == "awake", "the output of a command", output)
