"""The SDK of the runtime, sync and async, through the proxy: each shell and bash method."""

# The SDK's types are inline, and it forgot to say so (py.typed).
# pyright: reportMissingTypeStubs=false

from collections.abc import AsyncGenerator, Generator

import httpx
import pytest
from agent_sandbox import AsyncSandbox, Sandbox
from agent_sandbox.core.api_error import ApiError
from agent_sandbox.errors.unprocessable_entity_error import UnprocessableEntityError
from sandbox_fakeproxy import FakeProxyServer

from tests.fakeproxy.processes import TIMEOUT


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeProxyServer]:
    with FakeProxyServer(tmp_path_factory.mktemp("sandboxes"), ready_after=0) as running:
        yield running


@pytest.fixture
def key(fake: FakeProxyServer, request: pytest.FixtureRequest) -> str:
    """Return a key of a user with a sandbox `box` that is ready."""
    made = fake.user(request.node.name.replace("_", "-")[-50:].strip("-"))
    fake.client(made).post("/api/sandboxes", json={"name": "box"})
    return made


@pytest.fixture
def sandbox(fake: FakeProxyServer, key: str) -> Generator[Sandbox]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(trust_env=False, timeout=TIMEOUT) as http:
        yield Sandbox(base_url=f"{fake.url}/proxy/box", headers=headers, httpx_client=http)


@pytest.fixture
async def asynchronous(fake: FakeProxyServer, key: str) -> AsyncGenerator[AsyncSandbox]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as http:
        yield AsyncSandbox(base_url=f"{fake.url}/proxy/box", headers=headers, httpx_client=http)


def test_each_method_of_the_sync_client(sandbox: Sandbox) -> None:
    shell = sandbox.shell
    created = shell.create_session(id="one", exec_dir="/sandbox", no_change_timeout=60).data
    assert created is not None
    assert (created.session_id, created.working_dir) == ("one", "/sandbox")

    result = shell.exec_command(
        command="cd /usr; export x=1; exit 3", id="one", strict=True, hard_timeout=60, truncate=True
    ).data
    assert result is not None
    assert (result.status, result.exit_code, result.output) == ("completed", 3, "")

    result = shell.exec_command(command="read line; echo $x $line", id="one", timeout=0.1).data
    assert result is not None
    assert (result.status, result.exit_code) == ("running", None)
    written = shell.write_to_process(id="one", input="typed", press_enter=True).data
    assert written is not None
    waited = shell.wait_for_process(id="one", seconds=10).data
    assert waited is not None
    assert waited.status == "completed"
    viewed = shell.view(id="one").data
    assert viewed is not None
    assert (viewed.session_id, viewed.status, viewed.exit_code) == ("one", "completed", 0)
    assert viewed.command == "read line; echo $x $line"
    assert viewed.console is not None
    assert (viewed.console[-1].ps_1, viewed.console[-1].output) == (
        "gem@sandbox:/usr$ ",
        "1 typed\n",
    )

    shell.exec_command(command="sleep 1000", id="one", async_mode=True)
    listed = shell.list_sessions().data
    assert listed is not None
    assert listed.sessions["one"].status == "running"
    assert listed.sessions["one"].current_command == "sleep 1000"
    killed = shell.kill_process(id="one").data
    assert killed is not None
    assert (killed.status, killed.exit_code, killed.returncode) == ("terminated", None, None)

    assert shell.cleanup_session("one").success
    with pytest.raises(ApiError) as caught:
        shell.view(id="one")
    assert caught.value.status_code == 404
    with pytest.raises(UnprocessableEntityError):
        shell.exec_command(command="pwd", exec_dir="relative")


async def test_each_method_of_the_async_client(asynchronous: AsyncSandbox) -> None:
    shell = asynchronous.shell
    created = (await shell.create_session()).data
    assert created is not None
    one = created.session_id

    result = (await shell.exec_command(command="cd /usr; false", id=one)).data
    assert result is not None
    assert (result.status, result.exit_code) == ("completed", 1)
    result = (await shell.exec_command(command="cat", id=one, no_change_timeout=1)).data
    assert result is not None
    assert (result.status, result.exit_code) == ("no_change_timeout", None)
    await shell.write_to_process(id=one, input="typed\n\x04", press_enter=False)
    waited = (await shell.wait_for_process(id=one)).data
    assert waited is not None
    assert waited.status == "completed"
    viewed = (await shell.view(id=one)).data
    assert viewed is not None
    assert viewed.output == "gem@sandbox:~$ cd /usr; false\ngem@sandbox:/usr$ cat\ntyped\n"

    result = (await shell.exec_command(command="sleep 1000", id=one, hard_timeout=0.2)).data
    assert result is not None
    assert (result.status, result.exit_code) == ("hard_timeout", None)
    killed = (await shell.kill_process(id=one)).data
    assert killed is not None
    assert (killed.status, killed.exit_code) == ("hard_timeout", None)

    listed = (await shell.list_sessions()).data
    assert listed is not None
    assert listed.sessions[one].working_dir == "/usr"
    assert (await shell.cleanup_session(one)).success
    listed = (await shell.list_sessions()).data
    assert listed is not None
    assert one not in listed.sessions


# The pipe API -------------------------------------------------------------------------------------


@pytest.mark.check
def test_each_method_of_the_sync_clients_pipe_api(sandbox: Sandbox) -> None:
    bash = sandbox.bash
    made = bash.create_session(session_id="one", exec_dir="/sandbox").data
    assert made is not None
    assert (made.session_id, made.status, made.working_dir) == ("one", "ready", "/sandbox")

    done = bash.exec(command="echo $A; pwd >&2; exit 3", session_id="one", env={"A": "é"}).data
    assert done is not None
    assert (done.status, done.exit_code) == ("completed", 3)
    assert (done.stdout, done.offset, done.stderr_offset) == ("é\n", 3, len(done.stderr or ""))
    late = bash.exec(command="cat", session_id="one", timeout=0.1).data
    assert late is not None
    assert (late.status, late.exit_code) == ("running", None)

    bash.write(session_id="one", command_id=late.command_id, input="typed")
    read = bash.output(
        session_id="one", command_id=late.command_id, wait=True, wait_timeout=10
    ).data
    assert read is not None
    assert (read.stdout, read.offset, read.stderr) == ("typed", 5, "")
    (row,) = bash.sessions().data or []
    assert (row.current_command, row.command_count) == ("cat", 2)
    bash.kill(session_id="one", signal="SIGKILL")
    read = bash.output(session_id="one", offset=5, wait=True).data
    assert read is not None
    assert read.command is not None
    assert (read.command.status, read.command.exit_code) == ("killed", -9)

    limited = bash.exec(command="sleep 1000", session_id="one", hard_timeout=0.1).data
    assert limited is not None
    assert (limited.status, limited.exit_code) == ("timed_out", -1)
    assert bash.close_session("one").success
    with pytest.raises(ApiError) as caught:
        bash.output(session_id="one")
    assert caught.value.status_code == 404
    with pytest.raises(UnprocessableEntityError):
        bash.kill(session_id="one", signal="SIGHUP")


@pytest.mark.check
async def test_each_method_of_the_async_clients_pipe_api(asynchronous: AsyncSandbox) -> None:
    bash = asynchronous.bash
    started = (await bash.exec(command="read x; echo $x; exit 1", async_mode=True)).data
    assert started is not None
    assert (started.status, started.stdout, started.offset) == ("running", "", 0)
    one = started.session_id
    await bash.write(session_id=one, input="typed\n")
    stdout = ""
    while True:
        read = (await bash.output(session_id=one, offset=len(stdout), wait=True)).data
        assert read is not None
        assert read.command is not None
        stdout += read.stdout or ""
        if read.command.status != "running":
            break
    assert (stdout, read.command.status, read.command.exit_code) == ("typed\n", "completed", 1)

    cut = (await bash.exec(command="printf %100s", session_id=one, max_output_length=10)).data
    assert cut is not None
    assert cut.stdout is not None
    assert len(cut.stdout) < 100 == cut.offset
    await bash.exec(command="sleep 1000", session_id=one, async_mode=True)
    await bash.kill(session_id=one)
    made = (await bash.create_session()).data
    assert made is not None
    assert {row.session_id for row in (await bash.sessions()).data or []} == {one, made.session_id}
    assert (await bash.close_session(made.session_id)).success
    assert [row.session_id for row in (await bash.sessions()).data or []] == [one]
