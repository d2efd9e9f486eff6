"""The payload of a command: input, variables, and commands that are too long for a request."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from sandbox_client import FileRefused, ProxyFailed, SandboxError, SessionBusy
from sandbox_client.api import files
from sandbox_client.api.files import HOME
from sandbox_client.api.runtime import Task
from sandbox_client.errors import InputUnreadable
from sandbox_client.execution import payload as payloads
from sandbox_client.execution.follower import OutputFollower, OutputListener
from sandbox_client.execution.payload import export_command, upload
from sandbox_client.polling import Timing

from tests.client.file_stub import file_error, file_reply
from tests.client.runtime_stub import RuntimeStub
from tests.client.secrecy import shown_text
from tests.client.stubs import (
    COMMAND,
    CONFIG,
    RecordedProgress,
    client_over,
    error_reply,
    executed,
    piped,
    proxy_over,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client import CommandResult
    from sandbox_client.api.runtime import Payload
    from sandbox_client.execution.payload import Read

MEMORY = "/dev/shm"  # noqa: S108  # in a sandbox
PIECE = files.piece_size(f"{HOME}/.remote-sandbox-01234567/run.00000000")

# The removal of directories that killed clients left more than a day ago.
SWEEP = 'find "$HOME"/.remote-sandbox-* -maxdepth 0 -mmin +1440 -exec rm -rf {} + 2>/dev/null'


def without_sweep(command: str) -> str:
    """Return a command without SWEEP."""
    return command.removeprefix(f"{SWEEP}; ")


def read_of(data: bytes) -> Read:
    left = [data]

    async def read(size: int) -> bytes:
        piece, left[0] = left[0][:size], left[0][size:]
        return piece

    return read


@dataclass
class Sandbox:
    """Record files and internal commands in `log`; the one that `fails` names fails.

    The file API sees /dev/shm if the sandbox `has_memory`.
    """

    fails: str = ""
    has_memory: bool = False
    log: list[str] = field(default_factory=list[str])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path.endswith("/list"):
            is_seen = self.has_memory or not body["path"].startswith(f"{MEMORY}/")
            if self.fails == "home" or not is_seen:
                return file_error("not_found", body["path"], "no such directory")
            return file_reply({"files": []})
        file = body["file"].rpartition("/")[2]
        place = MEMORY if self.has_memory else HOME
        assert body["file"].startswith(f"{place}/.remote-sandbox-")
        self.log.append(f"write {file}")
        if self.fails == "an echo":
            detail = [{"msg": "too long", "input": body["content"]}]
            return httpx.Response(422, json={"detail": detail})
        if file == self.fails:
            return file_error("no_space_left", body["file"], "no space")
        self.files[file] = base64.b64decode(body["content"])
        return file_reply({"bytes_written": len(self.files[file])})

    async def run(self, command: str) -> None:
        self.log.append(command)
        if self.fails and f"; {self.fails}" in command:
            raise ProxyFailed("no shell")

    async def send(
        self, task: Task, *, stdin: bytes | None = None, exports: bool = False
    ) -> Payload:
        follower = OutputFollower(Timing(), None, OutputListener(RecordedProgress()))
        async with proxy_over(self) as proxy:
            return await upload(
                proxy,
                "box",
                task,
                stdin=None if stdin is None else read_of(stdin),
                exports=exports,
                run=self.run,
                follower=follower,
            )


async def test_a_small_command_and_its_input_go_into_a_private_directory() -> None:
    sandbox = Sandbox()

    payload = await sandbox.send(Task("make"), stdin=b"\x00\xff")

    assert sandbox.log == [f"{SWEEP}; mkdir -m 700 {payload.directory}", "write run", "write in"]
    assert sandbox.files == {"run": b"make", "in": b"\x00\xff"}
    assert payload.input == f"{payload.directory}/in"


@pytest.mark.parametrize(
    ("size", "count"), [(0, 0), (PIECE - 1, 0), (PIECE, 1), (PIECE + 1, 2), (2 * PIECE, 2)]
)
async def test_the_pieces_of_an_input_are_joined_in_the_sandbox(size: int, count: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    sandbox = Sandbox()

    payload = await sandbox.send(Task("make"), stdin=data[:size])

    pieces = [f"in.{number:08}" for number in range(count)] or ["in"]
    assert sandbox.log[2:] == [
        *[f"write {piece}" for piece in pieces],
        *([f"cd {payload.directory} && cat in.* >in && rm ./*.*"] if count else []),
    ]
    assert b"".join(sandbox.files[piece] for piece in pieces) == data[:size]


async def test_a_long_command_and_a_long_input_are_joined_together() -> None:
    sandbox = Sandbox()

    await sandbox.send(Task("é" * PIECE), stdin=b"x" * PIECE)

    assert sandbox.log[-1].endswith("&& cat run.* >run && cat in.* >in && rm ./*.*")
    assert b"".join(sandbox.files[f"run.{n:08}"] for n in range(2)).decode() == "é" * PIECE


async def test_a_command_that_begins_with_a_hyphen_is_not_an_option() -> None:
    sandbox = Sandbox()

    await sandbox.send(Task("-x"))

    assert sandbox.files == {"run": b" -x"}


def test_the_files_of_a_killed_client_are_removed_after_a_day(tmp_path: Path) -> None:
    for name, days in ((".remote-sandbox-old", 1.1), (".remote-sandbox-new", 0.9), ("mine", 9)):
        directory = tmp_path / name
        directory.mkdir()
        at = time.time() - days * 24 * 60 * 60
        os.utime(directory, (at, at))

    subprocess.run(["bash", "-c", SWEEP], env=os.environ | {"HOME": str(tmp_path)}, check=True)

    assert sorted(each.name for each in tmp_path.iterdir()) == [".remote-sandbox-new", "mine"]


async def test_variables_are_set_in_the_file_of_the_command() -> None:
    sandbox = Sandbox()

    await sandbox.send(Task("make", env={"A": "it's\n"}), exports=True)

    assert sandbox.files["run"].decode() == export_command({"A": "it's\n"}) + "make"
    assert export_command({"A": "it's\n", "B": ""}) == r"export A=$'it\'s\012' B=''; "
    assert export_command({}) == ""


@pytest.mark.parametrize(
    ("fails", "kind"),
    [
        ("mkdir", ProxyFailed),
        ("home", FileRefused),
        ("run", FileRefused),
        ("in.00000001", FileRefused),
    ],
)
async def test_a_payload_that_cannot_be_sent_is_removed_and_the_command_is_not_run(
    fails: str, kind: type[SandboxError]
) -> None:
    sandbox = Sandbox(fails)

    with pytest.raises(kind) as caught:
        await sandbox.send(Task("make"), stdin=b"x" * 2 * PIECE)

    assert caught.value.not_done == "The command was not run."
    assert sandbox.log[-1] == without_sweep(sandbox.log[0]).replace("mkdir -m 700", "rm -rf")


async def send(
    runtime: RuntimeStub, command: str, *, env: dict[str, str], stdin: bytes | None = None
) -> CommandResult:
    async with client_over(runtime, pipes=runtime.has_pipes) as client:
        return await client.run(
            "box", command, env=env, stdin=None if stdin is None else read_of(stdin)
        )


async def test_variables_are_not_on_the_command_line_of_a_terminal() -> None:
    runtime = RuntimeStub(executed("done\n"), has_pipes=False)

    result = await send(runtime, "make", env={"TOKEN": "secret"})

    assert result.output.text == "done\n"
    assert runtime.files == {"run": b"export TOKEN=secret; make"}
    assert "secret" not in json.dumps(runtime.bodies)
    assert runtime.commands[-1].endswith("</dev/null  # make")
    assert "eval" in runtime.commands[-1], "else a list of processes would show the variable"


async def test_variables_are_sent_with_a_command_of_the_pipe_api() -> None:
    runtime = RuntimeStub(piped("done\n"))

    await send(runtime, "make", env={"TOKEN": "secret"})

    (body,) = runtime.bodies
    assert isinstance(body["env"], dict)
    assert body["env"]["TOKEN"] == "secret"
    assert runtime.files == {}


@pytest.mark.parametrize("pipes", [False, True], ids=["terminal", "pipes"])
@pytest.mark.parametrize(
    ("command", "value"),
    [("echo " + "x" * 120_000, "1"), ("ls", "1" * 120_000)],
    ids=lambda text: str(text)[:4],
)
async def test_a_command_too_long_for_the_deployed_proxy_is_uploaded(
    command: str, value: str, pipes: bool
) -> None:
    runtime = RuntimeStub(piped() if pipes else executed(), has_pipes=pipes)

    result = await send(runtime, command, env={"A": value})

    assert all(len(json.dumps(body)) < 100_000 for body in runtime.bodies)
    sent = b"".join(runtime.files[name] for name in sorted(runtime.files)).decode()
    assert sent == f"export A={value}; {command}"
    assert result.status.exit_code == 0


async def test_an_input_is_uploaded_before_a_command_of_the_pipe_api() -> None:
    runtime = RuntimeStub(piped("done\n"))

    await send(runtime, "sort", env={}, stdin=b"b\na\n")

    assert runtime.files == {"run": b"sort", "in": b"b\na\n"}
    assert '; { exec -a bash "$BASH" -c -- "$(cat ' in runtime.commands[-1]
    assert runtime.commands[-1].endswith("/in  # sort")


async def test_variables_are_uploaded_with_an_input_and_do_not_change_the_outer_shell() -> None:
    runtime = RuntimeStub(piped("done\n"))

    await send(runtime, "sort", env={"HOME": "/x"}, stdin=b"")

    assert runtime.files == {"run": b"export HOME=/x; sort", "in": b""}
    env = runtime.bodies[-1]["env"]
    assert isinstance(env, dict)
    assert "HOME" not in env


async def test_a_session_is_ended_if_its_command_could_not_be_uploaded() -> None:
    async def read(size: int) -> bytes:
        raise InputUnreadable("closed")

    runtime = RuntimeStub(piped())
    async with client_over(runtime, pipes=True) as client:
        with pytest.raises(InputUnreadable, match="closed"):
            await client.run("box", "x", stdin=read)

    assert runtime.closed[-1] == COMMAND


async def test_a_command_is_not_run_if_the_sandbox_has_no_room_for_its_files() -> None:
    runtime = RuntimeStub(
        piped(), own=piped(stderr="mkdir: No space left on device\n", exit_code=1)
    )

    with pytest.raises(FileRefused, match="no place for the command's files: mkdir: No space"):
        await send(runtime, "sort", env={}, stdin=b"x")

    assert runtime.files == {}


async def test_the_files_of_a_refused_command_are_removed() -> None:
    runtime = RuntimeStub(error_reply(409, "Session s1 still runs a command"))

    with pytest.raises(SessionBusy):
        await send(runtime, "sort", env={}, stdin=b"x")

    assert runtime.commands[-1] == without_sweep(runtime.commands[0]).replace(
        "mkdir -m 700", "rm -rf"
    )


SECRET = Task("agent", env={"MODEL_KEY": "a secret value"}, has_secrets=True)


def in_memory(command: str) -> str:
    """Return a command without the removal of what killed clients have left."""
    return command.rpartition(" 2>/dev/null; ")[2]


async def test_secrets_go_last_and_into_memory_where_there_is_some() -> None:
    sandbox = Sandbox(has_memory=True)

    payload = await sandbox.send(SECRET, stdin=b"x", exports=True)

    assert payload.directory.startswith(f"{MEMORY}/.remote-sandbox-agent-")
    made, *rest = sandbox.log
    assert in_memory(made) == f"mkdir -m 700 {payload.directory}"
    assert [each.partition(" ")[0] for each in rest] == ["write", "(umask", "write"]
    assert [rest[0], rest[2]] == ["write in", "write run"]
    assert sandbox.files["run"] == b"export MODEL_KEY='a secret value'; agent"
    assert payload.by_eval, "else a list of processes would show the variable"


@pytest.mark.parametrize("fails", ["", f"mkdir -m 700 {MEMORY}"], ids=["not seen", "not there"])
async def test_secrets_go_to_the_home_directory_without_memory(fails: str) -> None:
    class WithoutMemory(Sandbox):
        async def run(self, command: str) -> None:
            await super().run(command)
            if fails and fails in command:
                raise FileRefused("no such directory")

    sandbox = WithoutMemory()

    payload = await sandbox.send(SECRET, exports=True)

    assert payload.directory.startswith('"$HOME"/.remote-sandbox-agent-')
    tried, removed, made, *_ = sandbox.log
    assert removed == in_memory(tried).replace("mkdir -m 700", "rm -rf")
    assert without_sweep(made) == f"mkdir -m 700 {payload.directory}"


@pytest.mark.parametrize("fails", ["run", "an echo"])
async def test_secrets_that_cannot_be_sent_are_removed_and_in_no_error(fails: str) -> None:
    sandbox = Sandbox(fails, has_memory=True)

    with pytest.raises(SandboxError) as caught:
        await sandbox.send(SECRET, exports=True)

    assert sandbox.log[-1] == in_memory(sandbox.log[0]).replace("mkdir -m 700", "rm -rf")
    encoded = base64.b64encode(b"export MODEL_KEY='a secret value'; agent").decode()
    assert encoded[:24] not in shown_text(caught.value)


async def guard_in(home: Path, monkeypatch: pytest.MonkeyPatch, lifetime: int) -> tuple[str, Path]:
    """Return the script that prepares the file for secrets, and the file."""
    monkeypatch.setattr(payloads, "SECRET_LIFETIME", lifetime)
    sandbox = Sandbox()
    payload = await sandbox.send(SECRET, exports=True)
    directory = home / payload.directory.rpartition("/")[2]
    directory.mkdir(mode=0o700)
    return sandbox.log[-2], directory / "run"


def in_bash(script: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    env = os.environ | {"HOME": str(home)}
    return subprocess.run(["bash", "-c", script], env=env, check=True, timeout=20)


async def test_the_file_of_secrets_is_private_and_its_guard_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, file = await guard_in(tmp_path, monkeypatch, lifetime=600)

    in_bash(script, tmp_path)

    assert file.stat().st_mode & 0o777 == 0o600
    guards = [each for each in psutil.process_iter() if str(file.parent.name) in guard_of(each)]
    assert guards
    file.unlink()
    file.parent.rmdir()
    assert psutil.wait_procs(guards, timeout=20)[1] == []


async def test_the_file_of_secrets_goes_away_after_the_client_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, file = await guard_in(tmp_path, monkeypatch, lifetime=1)

    in_bash(script, tmp_path)
    guards = [each for each in psutil.process_iter() if str(file.parent.name) in guard_of(each)]
    psutil.wait_procs(guards, timeout=20)

    assert not file.parent.exists()


def guard_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@pytest.mark.parametrize("pipes", [False, True], ids=["terminal", "pipes"])
async def test_the_secrets_of_an_agent_are_in_no_request_but_the_one_for_their_file(
    pipes: bool,
) -> None:
    runtime = RuntimeStub(piped("done\n") if pipes else executed("done\n"), has_pipes=pipes)
    values = {"MODEL_KEY": "a secret value"}
    config = replace(CONFIG, agent_environment=("MODEL_KEY",), agent_values=values)

    async with client_over(runtime, config=config, pipes=pipes) as client:
        await client.run_agent("box", "fix it", env={"DEBUG": "1"}, wait=None)

    assert runtime.files["run"].decode().startswith("export MODEL_KEY='a secret value' DEBUG=1; ")
    assert "a secret value" not in json.dumps(runtime.bodies)
    assert runtime.commands[-1].endswith("# cd /sandbox && gemini -y -p 'fix it'")
    assert "eval" in runtime.commands[-1]
