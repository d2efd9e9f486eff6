"""Two clients of the runtime's own SDK share a sandbox through `/proxy/<name>`."""

# The SDK has inline types but no py.typed file.
# pyright: reportMissingTypeStubs=false

import contextlib
import hashlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent_sandbox import Sandbox
from agent_sandbox.core.api_error import ApiError

from tests.integration.programs import DEADLINE, FakeProcess, config_path, run_remote_sandbox

BOX = "shared"
DATA = bytes(range(256)) * 2000  # half a megabyte


@contextlib.contextmanager
def open_sdk(fake: FakeProcess, key: str) -> Generator[Sandbox]:
    """Open an SDK client of the sandbox."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(timeout=DEADLINE, trust_env=False) as http:
        yield Sandbox(base_url=f"{fake.url}/proxy/{BOX}", headers=headers, httpx_client=http)


@pytest.fixture
def key(home: Path) -> str:
    """The API key of a new user, with the sandbox created by `remote-sandbox create`."""
    created = run_remote_sandbox(home, "create", BOX)
    assert created.returncode == 0, created.stderr
    api_key: str = json.loads(config_path(home).read_text())["apiKey"]
    return api_key


@pytest.fixture
def first(fake: FakeProcess, key: str) -> Generator[Sandbox]:
    with open_sdk(fake, key) as sdk:
        yield sdk


@pytest.fixture
def second(fake: FakeProcess, key: str) -> Generator[Sandbox]:
    with open_sdk(fake, key) as sdk:
        yield sdk


def required(value: Any) -> Any:
    """Return a value that the SDK declares optional but every success has."""
    assert value is not None
    return value


def run(sdk: Sandbox, command: str) -> str:
    """Run a command, which has to succeed, and return its output."""
    result = required(sdk.shell.exec_command(command=command, exec_dir="/sandbox").data)
    assert (result.status, result.exit_code) == ("completed", 0)
    output: str = result.output
    return output


def test_a_session_keeps_its_directory_and_variables_for_another_client(
    first: Sandbox, second: Sandbox
) -> None:
    session = required(first.shell.create_session(exec_dir="/sandbox").data).session_id
    first.shell.exec_command(id=session, command="mkdir deep; cd deep; export word=kept")
    result = required(second.shell.exec_command(id=session, command='echo "$PWD $word"').data)
    assert (result.output, result.exit_code) == ("/sandbox/deep kept\n", 0)
    assert session in required(second.shell.list_sessions().data).sessions


def test_another_client_reads_writes_to_and_waits_for_a_command(
    first: Sandbox, second: Sandbox
) -> None:
    first.shell.create_session(id="work", exec_dir="/sandbox")
    asks = "echo 'name?'; touch asked; read name; echo \"hello $name\"; exit 5"
    started = required(
        first.shell.exec_command(id="work", command=f"({asks})", async_mode=True).data
    )
    assert (started.status, started.exit_code) == ("running", None)
    run(second, "until test -e asked; do sleep 0.05; done")
    seen = required(second.shell.view(id="work").data)
    assert seen.status == "running"
    assert "name?\n" in seen.output
    second.shell.write_to_process(id="work", input="Ada", press_enter=True)
    assert required(second.shell.wait_for_process(id="work", seconds=20).data).status == "completed"
    ended = required(first.shell.view(id="work").data)
    assert ended.exit_code == 5
    assert "hello Ada\n" in ended.output


def test_another_client_kills_a_command(first: Sandbox, second: Sandbox) -> None:
    first.shell.create_session(id="endless")
    late = required(first.shell.exec_command(id="endless", command="sleep 1000", timeout=0.1).data)
    assert late.status == "running"
    assert required(second.shell.kill_process(id="endless").data).status == "terminated"
    assert required(first.shell.view(id="endless").data).status == "terminated"
    assert required(first.shell.exec_command(id="endless", command="echo on").data).output == "on\n"


def test_files_of_a_command_are_listed_read_and_downloaded(first: Sandbox) -> None:
    digest = run(first, "mkdir made; head -c 300000 /dev/urandom > made/noise; sha256sum made/*")
    run(first, "printf 'first\\nsecond\\n' > made/lines")
    listed = required(first.file.list_path(path="/sandbox/made").data)
    assert {file.name: file.size for file in listed.files} == {"noise": 300_000, "lines": 13}
    lines = required(first.file.read_file(file="/sandbox/made/lines", start_line=1).data).content
    assert lines.rstrip("\n") == "second"
    noise = b"".join(first.file.download_file(path="/sandbox/made/noise"))
    assert hashlib.sha256(noise).hexdigest() == digest.split()[0]


def test_commands_see_written_and_uploaded_files(first: Sandbox) -> None:
    first.file.write_file(file="/sandbox/run.sh", content="wc -c < data\n")
    first.file.write_file(file="/sandbox/run.sh", content="sha256sum data\n", append=True)
    first.file.upload_file(file=DATA, path="/sandbox/data")
    count, digest, name = run(first, "sh run.sh").split()
    assert int(count) == len(DATA)
    assert (digest, name) == (hashlib.sha256(DATA).hexdigest(), "data")


def test_the_sandbox_of_another_user_is_forbidden(fake: FakeProcess, key: str) -> None:
    with open_sdk(fake, fake.new_key()) as another_user, pytest.raises(ApiError) as refused:
        another_user.shell.exec_command(command="true")
    assert refused.value.status_code == 403
