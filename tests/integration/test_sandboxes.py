"""Sandboxes and prompts against a fake proxy in this process, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_client import (
    AlreadyExists,
    KeyRejected,
    NotReady,
    Paused,
    QuotaReached,
    SandboxError,
    SandboxNotFound,
    State,
    polling,
)
from sandbox_client.api import sandboxes
from sandbox_client.errors import SandboxDeleted

from tests.integration.in_process import InProcessFake, in_process_fake

if TYPE_CHECKING:
    from sandbox_client import Client, OutputChunk

BOX = "my-sandbox"


@pytest.fixture
async def ada(in_process: InProcessFake) -> Client:
    return await in_process.new_client("ada")


async def create(client: Client, in_process: InProcessFake, name: str = BOX) -> None:
    outcome = await client.create(name, on_progress=in_process.report)
    assert outcome.reached


async def run(client: Client, in_process: InProcessFake, command: str) -> tuple[str, int | None]:
    result = await client.run(BOX, command, on_progress=in_process.report)
    return result.printed, result.status.exit_code


async def test_create_waits_until_ready_and_reports_each_reason(
    in_process: InProcessFake, ada: Client
) -> None:
    outcome = await ada.create(BOX, image="an/image:1", port=None, on_progress=in_process.report)
    assert outcome.image == "an/image:1"
    assert outcome.reached
    assert 2.0 <= outcome.waited < 4.0
    assert [reason.partition(":")[0] for reason in dict.fromkeys(in_process.reported_reasons)] == [
        "pending",  # before the controller has seen the sandbox
        "pending",
        "starting",
    ]


async def test_create_gives_up_after_60_seconds_and_returns_the_reason() -> None:
    async with in_process_fake(ready_after=3600) as in_process:
        ada = await in_process.new_client()
        outcome = await ada.create(BOX, on_progress=in_process.report)
        assert not outcome.reached
        assert outcome.waited == pytest.approx(60, abs=0.1)
        assert outcome.reason == "pending: Pod exists with phase: Pending; Service Exists"


@pytest.mark.parametrize("as_deployed", [False, True])
async def test_a_new_and_a_resumed_sandbox_run_the_next_command(*, as_deployed: bool) -> None:
    # The pod is ready twelve seconds before the runtime in it answers.
    async with in_process_fake(listen_after=12, as_deployed=as_deployed) as in_process:
        ada = await in_process.new_client()
        await create(ada, in_process)
        assert await run(ada, in_process, "echo 1") == ("1\n", 0)
        await ada.pause(BOX, on_progress=in_process.report)
        outcome = await ada.resume(BOX, on_progress=in_process.report)
        assert 12 <= outcome.waited < 17
        assert await run(ada, in_process, "echo 2") == ("2\n", 0)
    assert any("its runtime does not answer yet" in each for each in in_process.reported_reasons)


async def test_the_default_image_of_the_configuration_is_used(in_process: InProcessFake) -> None:
    made = await in_process.new_key(await in_process.new_user("ada"))
    ada = in_process.client(made["api_key"], default_image="a/default:2")
    outcome = await ada.create(BOX, on_progress=in_process.report)
    assert outcome.image == "a/default:2"


async def test_a_prompt_returns_output_and_exit_code(
    in_process: InProcessFake, ada: Client
) -> None:
    await create(ada, in_process)
    assert await run(ada, in_process, "echo out; echo err >&2; exit 3") == ("out\nerr\n", 3)


async def test_a_command_may_begin_with_a_hyphen(in_process: InProcessFake, ada: Client) -> None:
    await create(ada, in_process)
    output, exit_code = await run(ada, in_process, "--json ls")
    assert "--json" in output
    assert exit_code == 127


async def test_a_long_output_is_complete(in_process: InProcessFake, ada: Client) -> None:
    await create(ada, in_process)
    output, exit_code = await run(ada, in_process, "seq 1 20000")
    assert output.splitlines() == [str(number) for number in range(1, 20001)]
    assert exit_code == 0


async def test_files_survive_a_pause(in_process: InProcessFake, ada: Client) -> None:
    await create(ada, in_process)
    await run(ada, in_process, "echo kept > note")
    await ada.pause(BOX, on_progress=in_process.report)
    outcome = await ada.resume(BOX, on_progress=in_process.report)
    assert (outcome.was_ready, outcome.reached) == (False, True)
    assert await run(ada, in_process, "cat note") == ("kept\n", 0)


async def test_a_prompt_right_after_a_pause_raises_paused(
    in_process: InProcessFake, ada: Client
) -> None:
    await create(ada, in_process)
    await ada.proxy.send(sandboxes.pause(BOX))  # the status does not show the pause yet
    # The 500 of the deployed proxy does not show whether the command was started.
    with pytest.raises(Paused, match=r"is paused; (the command was not run|no result: .*failed)"):
        await run(ada, in_process, "true")


async def test_pause_returns_when_the_status_is_paused(
    in_process: InProcessFake, ada: Client
) -> None:
    await create(ada, in_process)

    outcome = await ada.pause(BOX, on_progress=in_process.report)

    assert outcome.reached
    assert (await ada.status(BOX)).state is State.PAUSED


async def test_resume_of_a_ready_sandbox_returns_that_it_was_ready(
    in_process: InProcessFake, ada: Client
) -> None:
    await create(ada, in_process)

    outcome = await ada.resume(BOX, on_progress=in_process.report)

    assert (outcome.was_ready, outcome.reached) == (True, True)


async def test_a_prompt_to_a_starting_sandbox_raises_not_ready_with_the_usual_wait(
    in_process: InProcessFake, ada: Client
) -> None:
    await create(ada, in_process)
    await ada.pause(BOX, on_progress=in_process.report)
    in_process.clock.advance(1)
    await ada.proxy.send(sandboxes.resume(BOX))
    in_process.clock.advance(0.5)
    with pytest.raises(NotReady, match="pending: Pod exists") as caught:
        await run(ada, in_process, "true")
    assert not isinstance(caught.value, Paused)
    assert "10 to 30 s" in caught.value.advice


async def test_list_shows_which_sandbox_is_paused_and_which_is_ready(
    in_process: InProcessFake, ada: Client
) -> None:
    await create(ada, in_process, "one")
    await create(ada, in_process, "two")
    await ada.pause("one", on_progress=in_process.report)
    in_process.clock.advance(1)
    rows = [(row.sandbox.name, row.state) for row in await ada.list()]
    assert rows == [("two", State.READY), ("one", State.PAUSED)]


@pytest.mark.parametrize("verb", ["status", "prompt", "pause", "resume", "delete"])
async def test_another_users_sandbox_and_a_missing_one_give_the_same_error(
    in_process: InProcessFake, verb: str
) -> None:
    await create(await in_process.new_client("ada"), in_process)
    eve = await in_process.new_client("eve")
    for name in (BOX, "no-such-box"):
        with pytest.raises(SandboxNotFound, match=f"No sandbox '{name}' of yours"):
            await call_verb(eve, in_process, verb, name)


async def call_verb(client: Client, in_process: InProcessFake, verb: str, name: str) -> None:
    match verb:
        case "status":
            await client.status(name)
        case "prompt":
            await client.run(name, "true", on_progress=in_process.report)
        case "pause":
            await client.pause(name, on_progress=in_process.report)
        case "resume":
            await client.resume(name, on_progress=in_process.report)
        case _:
            await client.delete(name)


async def test_a_name_is_unique_per_user(in_process: InProcessFake, ada: Client) -> None:
    await create(ada, in_process)
    with pytest.raises(AlreadyExists):
        await create(ada, in_process)
    await create(await in_process.new_client("bob"), in_process)


async def test_the_eleventh_sandbox_exceeds_the_quota(
    in_process: InProcessFake, ada: Client
) -> None:
    for number in range(10):
        await create(ada, in_process, f"box-{number}")
    with pytest.raises(QuotaReached, match="10"):
        await create(ada, in_process, "box-10")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown", "does not know the API key"),
        ("revoked", "was revoked"),
        ("expired", "has expired"),
        ("inactive", "user is not active"),
    ],
)
async def test_a_rejected_key_gives_its_reason(
    in_process: InProcessFake, case: str, words: str
) -> None:
    user_id = await in_process.new_user("ada")
    made = await in_process.new_key(
        user_id, **({"expires_at": "2020-01-01"} if case == "expired" else {})
    )
    key = made["api_key"]
    if case == "unknown":
        key = "sk_live_" + "x" * 32
    elif case == "revoked":
        await in_process.request_as_admin("DELETE", f"/api/admin/apikeys/{made['key_info']['id']}")
    elif case == "inactive":
        await in_process.request_as_admin(
            "PUT", f"/api/admin/users/{user_id}", {"is_active": False}
        )
    with pytest.raises(KeyRejected, match=words) as caught:
        await in_process.client(key).sandboxes.list()
    assert key not in str(caught.value)


async def test_deleting_a_starting_sandbox_ends_the_wait_for_it(
    in_process: InProcessFake, ada: Client
) -> None:
    async def delete_sandbox(elapsed: float, limit: float | None, reason: str) -> None:
        if elapsed > 1:
            await ada.delete(BOX)

    with pytest.raises(SandboxDeleted, match="deleted while it was to become ready"):
        await ada.create(BOX, on_progress=delete_sandbox)


async def test_a_command_killed_by_a_pause_raises_paused(
    in_process: InProcessFake, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "REPORT_INTERVAL", 0.01)
    await create(ada, in_process)
    output: list[OutputChunk] = []

    async def pause(elapsed: float, limit: float | None, reason: str) -> None:
        if output:  # the command is running
            await ada.proxy.send(sandboxes.pause(BOX))

    with pytest.raises(SandboxError, match="no result") as caught:
        await ada.run(BOX, "echo started; sleep 60", on_progress=pause, on_output=output.append)
    assert isinstance(caught.value, Paused)
    assert "The pause has ended the command" in caught.value.advice
