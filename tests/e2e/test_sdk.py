"""The runtime's own SDK through `/proxy/<name>`, as two programs that share a sandbox."""

# The SDK's types are inline, and it forgot to say so (py.typed).
# pyright: reportMissingTypeStubs=false

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent_sandbox import Sandbox
from agent_sandbox.core.api_error import ApiError

from tests.integration.programs import DEADLINE, FakeProcess, clean_environment

BOX = "shared"
OCTETS = bytes(range(256)) * 2000  # half a megabyte


@contextlib.contextmanager
def an_sdk(fake: FakeProcess, key: str) -> Generator[Sandbox]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(timeout=DEADLINE, trust_env=False) as http:
        yield Sandbox(base_url=f"{fake.url}/proxy/{BOX}", headers=headers, httpx_client=http)


@pytest.fixture
def key(home: Path) -> str:
    """The key of a user who has made the sandbox from a terminal."""
    subprocess.run(
        [sys.executable, "-m", "sandbox_client", "create", BOX],
        env=clean_environment(home),
        stdout=subprocess.DEVNULL,
        timeout=DEADLINE,
        check=True,
    )
    config = home / ".config" / "gemini-remote-sandbox" / "config.json"
    known: str = json.loads(config.read_text())["apiKey"]
    return known


@pytest.fixture
def one(fake: FakeProcess, key: str) -> Generator[Sandbox]:
    with an_sdk(fake, key) as sdk:
        yield sdk


@pytest.fixture
def other(fake: FakeProcess, key: str) -> Generator[Sandbox]:
    with an_sdk(fake, key) as sdk:
        yield sdk


def there(value: Any) -> Any:
    """Return what the SDK declares optional and a success always has."""
    assert value is not None
    return value


def printed(sdk: Sandbox, command: str) -> str:
    """Return what a command prints that succeeds."""
    result = there(sdk.shell.exec_command(command=command).data)
    assert (result.status, result.exit_code) == ("completed", 0)
    output: str = result.output
    return output


def test_a_session_keeps_its_folder_and_its_variables(one: Sandbox, other: Sandbox) -> None:
    session = there(one.shell.create_session(exec_dir="/sandbox").data).session_id
    one.shell.exec_command(id=session, command="mkdir deep; cd deep; export word=kept")
    result = there(other.shell.exec_command(id=session, command='echo "$PWD $word"').data)
    assert (result.output, result.exit_code) == ("/sandbox/deep kept\n", 0)
    assert session in there(other.shell.list_sessions().data).sessions


def test_a_command_that_one_starts_is_seen_answered_and_awaited_by_another(
    one: Sandbox, other: Sandbox
) -> None:
    one.shell.create_session(id="work")
    asks = "echo 'name?'; touch asked; read name; echo \"hello $name\"; exit 5"
    started = there(one.shell.exec_command(id="work", command=f"({asks})", async_mode=True).data)
    assert (started.status, started.exit_code) == ("running", None)
    printed(other, "until test -e asked; do sleep 0.05; done")
    seen = there(other.shell.view(id="work").data)
    assert seen.status == "running"
    assert "name?\n" in seen.output
    other.shell.write_to_process(id="work", input="Ada", press_enter=True)
    assert there(other.shell.wait_for_process(id="work", seconds=20).data).status == "completed"
    ended = there(one.shell.view(id="work").data)
    assert ended.exit_code == 5
    assert "hello Ada\n" in ended.output


def test_a_command_that_one_starts_is_killed_by_another(one: Sandbox, other: Sandbox) -> None:
    one.shell.create_session(id="endless")
    late = there(one.shell.exec_command(id="endless", command="sleep 1000", timeout=0.1).data)
    assert late.status == "running"
    assert there(other.shell.kill_process(id="endless").data).status == "terminated"
    assert there(one.shell.view(id="endless").data).status == "terminated"
    assert there(one.shell.exec_command(id="endless", command="echo on").data).output == "on\n"


def test_what_a_command_makes_is_listed_read_and_downloaded(one: Sandbox) -> None:
    digest = printed(one, "mkdir made; head -c 300000 /dev/urandom > made/noise; sha256sum made/*")
    printed(one, "printf 'first\\nsecond\\n' > made/lines")
    listed = there(one.file.list_path(path="/sandbox/made").data)
    assert {file.name: file.size for file in listed.files} == {"noise": 300_000, "lines": 13}
    lines = there(one.file.read_file(file="/sandbox/made/lines", start_line=1).data).content
    assert lines.rstrip("\n") == "second"
    noise = b"".join(one.file.download_file(path="/sandbox/made/noise"))
    assert hashlib.sha256(noise).hexdigest() == digest.split()[0]


def test_what_is_written_and_uploaded_is_there_for_commands(one: Sandbox) -> None:
    one.file.write_file(file="/sandbox/run.sh", content="wc -c < octets\n")
    one.file.write_file(file="/sandbox/run.sh", content="sha256sum octets\n", append=True)
    one.file.upload_file(file=OCTETS, path="/sandbox/octets")
    count, digest, name = printed(one, "sh run.sh").split()
    assert int(count) == len(OCTETS)
    assert (digest, name) == (hashlib.sha256(OCTETS).hexdigest(), "octets")


def test_the_sandbox_of_another_user_does_not_exist(fake: FakeProcess, key: str) -> None:
    with an_sdk(fake, fake.new_key()) as stranger, pytest.raises(ApiError) as refused:
        stranger.shell.exec_command(command="true")
    assert refused.value.status_code == 403
