"""What runs in all sandboxes, and which are idle, against the fake proxy with real commands."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sandbox_client import Client, Config, activity
from sandbox_client.api.ends import ENDS
from sandbox_fakeproxy import FakeProxyServer, SystemClock

from tests.integration.in_process import in_process_fake
from tests.integration.programs import DEADLINE, run_remote_sandbox
from tests.integration.scripted import APIS
from tests.integration.terminal import open_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client import SandboxCommand, SandboxCommands

    from tests.integration.in_process import InProcessFake

TWO_HOURS = timedelta(hours=2)
# The directory is made here, as it would change the home directory later.
LONG_AGO = (
    f"mkdir -p ~/{ENDS}; touch -d '3 hours ago' ~; find . -exec touch -d '3 hours ago' {{}} +"
)


async def sandboxes_of(in_process: InProcessFake, *names: str) -> Client:
    client = await in_process.new_client()
    for name in names:
        await client.create(name, on_progress=in_process.report)
    return client


def by_name(found: list[SandboxCommands]) -> dict[str, list[SandboxCommand]]:
    return {each.row.sandbox.name: list(each.commands) for each in found}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("as_deployed", [True, False], ids=["as deployed", "default"])
async def test_the_commands_of_all_sandboxes_are_listed(api: str, as_deployed: bool) -> None:
    async with in_process_fake(as_deployed=as_deployed, **APIS[api]) as in_process:
        client = await sandboxes_of(in_process, "off", "empty", "box")
        await client.run("box", "echo so far; exec sleep 1000", wait=0.5)
        await client.run("box", "echo bad >&2; exit 3")
        await client.run("box", "true", session="mine")
        await client.write_file("box", "file", "with a script of the client's own")
        await client.pause("off", on_progress=in_process.report)

        found = by_name(await client.commands())

        assert (found["off"], found["empty"]) == ([], [])
        running, *ended = found["box"]
        assert (running.state, running.last_line) == ("running", "so far")
        assert running.started_at
        assert {(each.state, each.exit_code, each.last_line) for each in ended} == {
            ("completed", 3, "bad"),
            ("completed", 0, ""),
        }


@pytest.mark.parametrize("api", APIS)
async def test_it_is_known_how_long_a_command_has_run_however_it_has_ended(
    api: str, tmp_path: Path
) -> None:
    options = {"clock": SystemClock, "ready_after": 0, "reconcile_delay": 0}
    user: dict[str, Any] = {"username": "ada", "keys": [{}], "sandboxes": [{"name": "box"}]}
    with FakeProxyServer(tmp_path, **options, **APIS[api]) as server:
        key = server.seed({"users": [user]})["users"][0]["keys"][0]["api_key"]
        async with Client.connect(Config(proxy_url=server.url, api_key=key)) as client:
            ended = await client.run("box", "trap '' HUP; sleep 1.1 & wait; exit 3")
            limited = await client.run("box", "exec sleep 1000", time_limit=0.5)
            killed = await client.run("box", "exec sleep 1000", wait=0)
            await client.cancel("box", killed.session)
            await client.run("box", "true", session="mine")
            await client.run("box", "ls -A", env={"HOME": "/sandbox"})

            with anyio.fail_after(DEADLINE):
                ran: dict[str, timedelta] = {}
                while not ran.keys() >= {ended.session, limited.session, killed.session}:
                    (found,) = await client.commands()
                    ran = {each.session: each.ran for each in found.commands if each.ran}
            listed = await client.run("box", "ls -A")

    assert timedelta(seconds=1) <= ran[ended.session] < timedelta(seconds=DEADLINE)
    assert "mine" not in ran
    assert listed.stdout == "", "a note is in the home directory of the sandbox alone"


@pytest.mark.parametrize(
    "options", [{"as_deployed": True, "runtime_api": "1.9"}, {}], ids=["as deployed", "default"]
)
async def test_a_sandbox_is_idle_two_hours_after_its_last_command_and_its_start(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The file of this machine says nothing about a sandbox's start.
    monkeypatch.setattr(activity, "START_MARKS", ('"$HOME"',))
    async with in_process_fake(**options) as in_process:
        client = await sandboxes_of(in_process, "busy", "changed", "resumed", "box")
        await client.run("busy", "sleep 1000", wait=0)
        for name in ("changed", "resumed", "box"):
            await client.run(name, LONG_AGO, directory="/sandbox")
        await client.pause("resumed", on_progress=in_process.report)
        in_process.clock.advance(3 * 3600)
        await client.resume("resumed", on_progress=in_process.report)
        await client.write_file("changed", "file", "a copy leaves no session")

        found = await client.idle(TWO_HOURS)

        reasons = {each.row.sandbox.name: each.reason for each in found}
        assert reasons.pop("box") == ""
        assert reasons.pop("busy").startswith("a command runs there: ")
        assert reasons.pop("changed") == "files in /sandbox were changed within the last 120 min"
        assert reasons.pop("resumed") == "it was started, or its home was changed, < 1 min ago"
        assert reasons == {}


def test_a_person_in_a_terminal_sees_what_would_be_paused_and_agrees(home: Path) -> None:
    for words in (["create", "my-sandbox"], ["ps"]):
        with open_terminal(home, *words) as terminal:
            assert terminal.finish() == 0
    assert [line.split() for line in terminal.screen.splitlines()][:2] == [
        ["SANDBOX", "SESSION", "STATE", "AGE", "TIME", "COMMAND"],
        ["my-sandbox", "-", "idle", "<", "1", "min", "-"],
    ]

    with open_terminal(home, "pause", "--idle", "0") as terminal:
        terminal.wait_for("my-sandbox is to be paused: it was ")
        terminal.answer("Pause my-sandbox?", "n")
        assert terminal.finish() == 0
        assert "No sandbox was paused." in terminal.screen
    with open_terminal(home, "pause", "--idle", "0") as terminal:
        terminal.answer("Pause my-sandbox?", "\x03")
        assert terminal.finish() == 130
        assert "interrupted: no sandbox was paused" in terminal.screen
    with open_terminal(home, "pause", "--idle", "0") as terminal:
        terminal.answer("Pause my-sandbox?", "y")
        assert terminal.finish() == 0
        assert "Paused: my-sandbox." in terminal.screen


def test_ctrl_c_while_the_command_of_notify_runs_ends_it(home: Path) -> None:
    run_remote_sandbox(home, "create", "my-sandbox")
    words = ("prompt", "--notify", "echo begun; exec sleep 1000", "my-sandbox", "exit 3")

    with open_terminal(home, *words, columns=120) as terminal:
        terminal.wait_for("begun")
        terminal.type("\x03")

        assert terminal.finish() == 130
        assert "the command in the sandbox has ended, and --notify was stopped" in terminal.screen
        assert "may keep running" not in terminal.screen
