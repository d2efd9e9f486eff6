"""Prompts against the fake proxy: real commands, and scripted ones that take virtual minutes."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from sandbox_client import Client, Paused, SessionBusy, SessionNotFound
from sandbox_client.agent import agent_command_line
from sandbox_client.api import sandboxes
from sandbox_client.api.runtime import SIGNALS
from sandbox_client.errors import CommandStateUnknown
from sandbox_client.execution import cancellation, payload, remote_command
from sandbox_client.http import Proxy
from sandbox_client.masking import masked
from sandbox_client.text import one_line
from sandbox_fakeproxy import Command, Outcome

from tests.integration.in_process import in_process_fake
from tests.integration.scripted import (
    APIS,
    BOX,
    FOR_EVER,
    HOUR,
    WORK,
    ForwardingTransport,
    OldRuntimeTransport,
    OutputRecorder,
    ResponseLosingTransport,
    ScriptedSandbox,
    TimedTransport,
    scripted_sandbox,
)

if TYPE_CHECKING:
    from sandbox_client import CommandResult

    from tests.integration.in_process import InProcessFake


class PausingTransport(ForwardingTransport):
    """Pause the sandbox after the first look at a command."""

    def __init__(self, sandbox: ScriptedSandbox) -> None:
        super().__init__(sandbox.in_process.transport)
        self._sandbox = sandbox
        self._has_paused = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.proxy.handle_async_request(request)
        is_look = request.url.path.endswith(("/bash/output", "/shell/view"))
        if is_look and not self._has_paused:
            self._has_paused = True
            await self._sandbox.client.proxy.send(sandboxes.pause(BOX))
        return response


with_each_api = pytest.mark.parametrize("api", APIS)


@pytest.fixture
async def ada(in_process: InProcessFake) -> Client:
    client = await in_process.new_client("ada")
    await client.create(BOX, on_progress=in_process.report)
    return client


@pytest.mark.parametrize(
    "options", [{"as_deployed": True}, {"as_deployed": True, "runtime_api": "1.9"}, {}]
)
async def test_a_second_client_collects_the_output_of_an_hour_long_command(
    options: dict[str, Any],
) -> None:
    async with scripted_sandbox(**options) as sandbox:
        recorder = OutputRecorder(sandbox)
        result = await sandbox.client.run(
            BOX,
            HOUR,
            on_session=recorder.on_session,
            on_output=recorder.on_output,
            on_progress=sandbox.in_process.report,
        )
        assert (result.status.state, recorder.text) == ("running", "minute 0\n")
        assert result.seconds == pytest.approx(45, abs=0.1)

        # The second client shares only the configuration, sandbox name and session id.
        second = sandbox.client_over()
        for _ in range(200):
            result = await second.output(
                BOX,
                result.session,
                after=recorder.position,
                on_output=recorder.on_output,
                on_progress=sandbox.in_process.report,
            )
            if result.status.has_ended:
                break

        assert result.status.exit_code == 5
        assert recorder.text == "".join(f"minute {minute}\n" for minute in range(60))
        assert sandbox.texts == [HOUR]


async def test_on_a_terminal_no_request_is_held_open_while_a_command_runs() -> None:
    async with scripted_sandbox(**APIS["terminal"]) as sandbox:
        timed = TimedTransport(sandbox.in_process)
        client = sandbox.client_over(timed)
        result = await client.run(BOX, WORK, wait=None, on_progress=sandbox.in_process.report)

    looks = [each for each in timed.requests if each.path.endswith("/v1/shell/view")]
    assert result.seconds == pytest.approx(300, abs=2)
    assert len(looks) > 100
    assert {each.answered - each.sent for each in looks} == {0.0}


async def test_with_pipes_an_hour_without_output_takes_three_requests_a_minute_at_most() -> None:
    async with scripted_sandbox() as sandbox:
        timed = TimedTransport(sandbox.in_process)
        client = sandbox.client_over(timed)
        await client.run(BOX, FOR_EVER, wait=3600, on_progress=sandbox.in_process.report)

    polls = [each for each in timed.requests if each.path.endswith("/v1/bash/output")]
    minutes = [int(each.sent - polls[0].sent) // 60 for each in polls]
    assert {minutes.count(minute) for minute in range(60)} <= {2, 3}
    assert max(each.answered - each.sent for each in polls) == pytest.approx(25, abs=0.01)


async def test_with_pipes_output_arrives_within_a_tenth_of_a_second() -> None:
    moments = [10.0, 10.01, 10.07, 30.0, 300.04]

    def script(command: Command) -> Outcome:
        return Outcome(prints=[(moment, f"{moment}\n") for moment in moments], seconds=400)

    async with scripted_sandbox(script) as sandbox:
        recorder = OutputRecorder(sandbox)
        start = sandbox.in_process.clock.now().timestamp()
        await sandbox.client.run(
            BOX,
            "work",
            wait=None,
            on_session=recorder.on_session,
            on_output=recorder.on_output,
            on_progress=sandbox.in_process.report,
        )

    received = {float(line): time - start for line, time in recorder.times.items()}
    assert list(received) == moments
    assert all(-0.001 < time - moment < 0.1 for moment, time in received.items()), received


@with_each_api
async def test_a_quick_command_takes_two_requests(api: str) -> None:
    async with scripted_sandbox(**APIS[api]) as sandbox:
        timed = TimedTransport(sandbox.in_process)
        client = sandbox.client_over(timed)
        await client.run(BOX, "echo", on_progress=sandbox.in_process.report)  # finds out the API
        timed.requests.clear()
        result = await client.run(BOX, "echo", on_progress=sandbox.in_process.report)

    assert result.output.text == "done\n"
    assert len(timed.requests) == 2


@pytest.mark.parametrize("how", ["cut", "504"])
@pytest.mark.parametrize(
    ("api", "route"),
    [
        ("pipes", "/bash/sessions/create"),
        ("pipes", "/bash/exec"),
        ("pipes", "/bash/output"),
        ("terminal", "/shell/sessions/create"),
        ("terminal", "/shell/exec"),
        ("terminal", "/shell/view"),
    ],
)
async def test_after_a_lost_response_the_command_runs_once_with_all_its_output(
    api: str, route: str, how: str
) -> None:
    async with scripted_sandbox(**APIS[api]) as sandbox:
        transport = ResponseLosingTransport(sandbox.in_process.transport, route, how)
        recorder = OutputRecorder(sandbox)
        result = await sandbox.client_over(transport).run(
            BOX,
            WORK,
            wait=None,
            on_session=recorder.on_session,
            on_output=recorder.on_output,
            on_progress=sandbox.in_process.report,
        )

    assert transport.lost == 1
    assert (result.api, result.status.exit_code) == (api, 5)
    assert recorder.text == "".join(f"minute {minute}\n" for minute in range(5))
    assert sandbox.texts == [WORK]


@pytest.mark.parametrize(("api", "state"), [("pipes", "killed"), ("terminal", "completed")])
async def test_another_client_cancels_a_command_and_gets_its_output(api: str, state: str) -> None:
    async with scripted_sandbox(**APIS[api]) as sandbox:
        result = await sandbox.client.run(BOX, WORK, on_progress=sandbox.in_process.report)
        sandbox.in_process.clock.advance(100)
        killed = await sandbox.client_over().cancel(
            BOX, result.session, on_progress=sandbox.in_process.report
        )
        again = await sandbox.client.cancel(
            BOX, result.session, on_progress=sandbox.in_process.report
        )

    assert (killed.status.state, killed.status.exit_code) == (state, 130)
    assert killed.output.text == "minute 0\nminute 1\nminute 2\n"
    assert (killed.signals, killed.was_over) == (("SIGINT",), False)
    assert (again.status, again.output.text) == (killed.status, killed.output.text)
    assert (again.signals, again.was_over) == ((), True)


class OutageTransport(ForwardingTransport):
    """Refuse the connection for the second signal to a command."""

    signals = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(("/bash/kill", "/shell/write", "/shell/kill")):
            self.signals += 1
            if self.signals == 2:
                raise httpx.ConnectError("connection refused")
        return await self.proxy.handle_async_request(request)


async def test_a_cancellation_continues_after_a_signal_that_could_not_be_sent(
    in_process: InProcessFake, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancellation, "GRACE", dict.fromkeys(SIGNALS, 0.2))
    result = await ada.run(
        BOX, "trap '' INT; echo begun; sleep 60", wait=0, on_progress=in_process.report
    )
    await ada.output(BOX, result.session, on_progress=in_process.report)  # until it has started
    transport = OutageTransport(in_process.transport)
    other = Client(Proxy(ada.proxy.config, transport=transport, sleep=in_process.sleep))

    killed = await other.cancel(BOX, result.session, on_progress=in_process.report)

    assert killed.status.state == "killed"
    assert killed.signals == ("SIGINT", "SIGKILL")


async def test_any_client_lists_running_and_ended_sessions_of_both_apis() -> None:
    async with scripted_sandbox() as sandbox:
        results: list[CommandResult] = []
        for command, session in (("echo", None), (WORK, "named"), (FOR_EVER, None)):
            results.append(
                await sandbox.client.run(
                    BOX, command, session=session, on_progress=sandbox.in_process.report
                )
            )
            sandbox.in_process.clock.advance(60)
        ended, _, killed = results
        await sandbox.client.cancel(BOX, killed.session, on_progress=sandbox.in_process.report)
        rows = await sandbox.client_over().sessions(BOX)

    states = {row.id: (last.status.state, last.status.command) for row, last in rows if last}
    assert [result.api for result in results] == ["pipes", "terminal", "pipes"]
    assert states == {
        ended.session: ("completed", "echo"),
        "named": ("running", WORK),
        killed.session: ("killed", FOR_EVER),
    }


@pytest.mark.parametrize("is_pipe_session", [True, False])
async def test_only_sessions_with_pipes_end_after_an_idle_hour(is_pipe_session: bool) -> None:
    async with scripted_sandbox() as sandbox:
        result = await sandbox.client.run(
            BOX,
            "echo",
            session=None if is_pipe_session else "mine",
            on_progress=sandbox.in_process.report,
        )
        sandbox.in_process.clock.advance(3599)
        await sandbox.client.output(BOX, result.session, on_progress=sandbox.in_process.report)
        sandbox.in_process.clock.advance(3600)

        if is_pipe_session:
            with pytest.raises(SessionNotFound, match="no such session"):
                await sandbox.client.output(
                    BOX, result.session, on_progress=sandbox.in_process.report
                )
        else:
            result = await sandbox.client.output(
                BOX, result.session, on_progress=sandbox.in_process.report
            )
            assert (result.status.state, result.output.text) == ("completed", "done\n")


async def test_a_session_with_a_command_of_many_hours_does_not_end() -> None:
    async with scripted_sandbox() as sandbox:
        result = await sandbox.client.run(
            BOX, "work for 300 minutes", wait=0, on_progress=sandbox.in_process.report
        )
        sandbox.in_process.clock.advance(5 * 3600 + 3599)
        result = await sandbox.client.output(
            BOX, result.session, on_progress=sandbox.in_process.report
        )

    assert (result.status.state, result.status.exit_code) == ("completed", 5)
    assert result.output.text.count("\n") == 300


@with_each_api
async def test_a_pause_during_a_wait_for_a_command_raises_paused(api: str) -> None:
    async with scripted_sandbox(**APIS[api]) as sandbox:
        pauser = PausingTransport(sandbox)
        with pytest.raises(Paused, match="is paused") as caught:
            await sandbox.client_over(pauser).run(
                BOX, WORK, wait=None, on_progress=sandbox.in_process.report
            )

    assert caught.value.printed == "minute 0\n"
    assert "The pause has ended" in caught.value.advice
    assert sandbox.texts == [WORK]


async def test_after_a_resume_the_pipe_api_is_tried_again() -> None:
    async with scripted_sandbox() as sandbox:
        runtime = OldRuntimeTransport(sandbox.in_process.transport)
        client = sandbox.client_over(runtime)
        old = await client.run(BOX, "echo", on_progress=sandbox.in_process.report)
        runtime.is_old = False
        same = await client.run(BOX, "echo", on_progress=sandbox.in_process.report)
        await client.pause(BOX, on_progress=sandbox.in_process.report)
        sandbox.in_process.clock.advance(1)
        await client.resume(BOX, on_progress=sandbox.in_process.report)
        new = await client.run(BOX, "echo", on_progress=sandbox.in_process.report)
        await client.pause(BOX, on_progress=sandbox.in_process.report)
        sandbox.in_process.clock.advance(1)
        await client.resume(BOX, on_progress=sandbox.in_process.report)
        runtime.is_old = True
        downgraded = await client.run(BOX, "echo", on_progress=sandbox.in_process.report)

    prompts = (old, same, new, downgraded)
    assert [each.api for each in prompts] == ["terminal", "terminal", "pipes", "terminal"]
    assert [each.output.text for each in prompts] == ["done\n"] * 4


async def test_a_named_session_is_a_terminal_that_keeps_its_directory_and_variables(
    in_process: InProcessFake, ada: Client
) -> None:
    async def run(command: str) -> str:
        result = await ada.run(BOX, command, session="mine", on_progress=in_process.report)
        assert (result.api, result.errors) == ("terminal", None)
        return result.output.text

    await run("mkdir -p deep && cd deep && export COLOUR=blue")
    assert await run('echo "$COLOUR in ${PWD##*/}" >&2') == "blue in deep\n"


async def test_each_client_follows_its_own_command_in_a_shared_session(
    in_process: InProcessFake, ada: Client
) -> None:
    other = Client(ada.proxy)
    shared, waiting = "mine", "until test -e go; do :; done; echo mine"
    mine: list[CommandResult] = []

    async def run_mine() -> None:
        mine.append(await ada.run(BOX, waiting, session=shared, on_progress=in_process.report))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_mine)
        await ada.run(BOX, "touch go", on_progress=in_process.report)
    theirs = await other.run(
        BOX, "echo theirs; (exit 7)", session=shared, on_progress=in_process.report
    )

    assert (mine[0].output.text, mine[0].status.exit_code) == ("mine\n", 0)
    assert (theirs.output.text, theirs.status.exit_code) == ("theirs\n", 7)
    assert theirs.status.command == "echo theirs; (exit 7)", "the client's mark is shown"


async def test_commands_in_one_session_never_overlap(
    in_process: InProcessFake, ada: Client
) -> None:
    await ada.run(BOX, "sleep 60", session="mine", wait=0, on_progress=in_process.report)

    with pytest.raises(SessionBusy, match="runs 'sleep 60'"):
        await ada.run(BOX, "touch twice", session="mine", on_progress=in_process.report)

    result = await ada.run(BOX, "ls", on_progress=in_process.report)
    assert "twice" not in result.output.text
    ended = await ada.cancel(BOX, "mine", on_progress=in_process.report)
    assert (ended.status.exit_code, ended.signals) == (130, ("SIGINT",))


async def test_two_calls_at_once_for_one_session_run_one_command(
    in_process: InProcessFake, ada: Client
) -> None:
    refused: list[SessionBusy] = []

    async def send(number: int) -> None:
        try:
            await ada.run(
                BOX,
                f"echo {number} | tee -a ran; sleep 60",
                session="mine",
                wait=0,
                on_progress=in_process.report,
            )
        except SessionBusy as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(send, number)

    assert len(refused) == 4
    # Until the command has started.
    await ada.output(BOX, "mine", on_progress=in_process.report)
    await ada.cancel(BOX, "mine", on_progress=in_process.report)
    result = await ada.run(BOX, "cat ran", on_progress=in_process.report)
    assert len(result.output.text.split()) == 1


async def test_a_pause_ends_a_command_and_its_session(
    in_process: InProcessFake, ada: Client
) -> None:
    result = await ada.run(BOX, "sleep 60", wait=0, on_progress=in_process.report)
    await ada.pause(BOX, on_progress=in_process.report)
    in_process.clock.advance(1)

    with pytest.raises(Paused, match=r"its commands cannot be read|no result"):
        await ada.output(BOX, result.session, on_progress=in_process.report)

    await ada.resume(BOX, on_progress=in_process.report)
    with pytest.raises(SessionNotFound):
        await ada.output(BOX, result.session, on_progress=in_process.report)


async def test_a_time_limit_kills_a_command(in_process: InProcessFake, ada: Client) -> None:
    result = await ada.run(
        BOX, "echo begun; sleep 60", time_limit=0.2, wait=None, on_progress=in_process.report
    )

    assert result.status.state == "timed_out"
    assert result.output.text == "begun\n"


@pytest.fixture
def ada_on_a_terminal(in_process: InProcessFake, ada: Client) -> Client:
    transport = OldRuntimeTransport(in_process.transport)
    return Client(Proxy(ada.proxy.config, transport=transport, sleep=in_process.sleep))


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "], ids=["SIGTERM", "SIGKILL"])
async def test_any_client_reports_that_a_time_limit_on_a_terminal_killed_a_command(
    trap: str,
    in_process: InProcessFake,
    ada: Client,
    ada_on_a_terminal: Client,
    quick_sigkill: None,
) -> None:
    result = await ada_on_a_terminal.run(
        BOX, f"{trap}echo begun; sleep 60", time_limit=0.2, wait=None, on_progress=in_process.report
    )
    again = await ada.output(BOX, result.session, on_progress=in_process.report)

    assert result.api == "terminal"
    assert result.status.state == again.status.state == "timed_out"
    assert result.output.text == again.output.text == "begun\n"


async def test_ctrl_c_reaches_a_command_with_a_time_limit_on_a_terminal(
    ada_on_a_terminal: Client,
) -> None:
    result = await ada_on_a_terminal.run(
        BOX,
        "trap 'echo caught; exit 9' INT; echo begun; sleep 60 & wait",
        time_limit=60,
        wait=0,
    )
    await ada_on_a_terminal.output(BOX, result.session)  # until it has started

    cancelled = await ada_on_a_terminal.cancel(BOX, result.session)

    assert (cancelled.signals, cancelled.status.exit_code) == (("SIGINT",), 9)
    assert cancelled.output.text.startswith("begun\n")
    assert cancelled.output.text.endswith("caught\n")


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [(f": {'x' * 120_000}; cat; echo end", 0), ("--no-such-program", 127)],
    ids=["one that no request can hold", "one that looks like an option"],
)
async def test_a_command_with_input_removes_the_uploaded_files(
    in_process: InProcessFake, ada: Client, command: str, exit_code: int
) -> None:
    given = io.BytesIO(b"given\n")

    async def read(size: int) -> bytes:
        return given.read(size)

    result = await ada.run(BOX, command, stdin=read, on_progress=in_process.report)
    left = await ada.run(BOX, "ls -A ~", on_progress=in_process.report)

    assert result.status.exit_code == exit_code
    assert result.printed.startswith("given\nend\n" if exit_code == 0 else "bash: ")
    assert result.status.command == one_line(command)
    assert "remote-sandbox-" not in left.output.text


async def test_output_of_several_pages_is_read_completely(
    in_process: InProcessFake, ada: Client
) -> None:
    result = await ada.run(BOX, "seq 1 300000", on_progress=in_process.report)

    assert result.status.state == "completed"
    assert len(result.output.text) == sum(len(f"{n}\n") for n in range(1, 300_001))


@pytest.mark.parametrize(
    "prompt",
    [
        'it\'s "quoted" `touch pwned` $(touch pwned) $HOME; touch pwned & # *',
        "two\nlines\tand a tab, and wow!!",
        "'; touch pwned; echo '",
    ],
)
async def test_an_agent_receives_its_prompt_unchanged(
    in_process: InProcessFake, ada: Client, prompt: str
) -> None:
    command = agent_command_line("printf '%s' {prompt} > asked && ls", prompt)
    ran = await ada.run(BOX, command, on_progress=in_process.report)
    asked = await ada.run(BOX, "cat asked", on_progress=in_process.report)

    assert ran.output.text.split() == ["asked"]
    assert asked.output.text == prompt


SHOWS = (
    "cat /proc/[0-9]*/cmdline | tr '\\0\\n' '  ' | rev; echo; printenv MODEL_KEY | rev;"
    " ls -A ~ /dev/shm | grep remote-sandbox; echo; : {prompt}"
)


@with_each_api
@pytest.mark.parametrize("as_deployed", [True, False], ids=["as deployed", "default"])
async def test_an_agent_gets_its_key_through_a_file_that_is_gone_when_it_works(
    api: str, as_deployed: bool
) -> None:
    secret = "sesame-open-0123"
    async with in_process_fake(as_deployed=as_deployed, **APIS[api]) as in_process:
        made = await in_process.new_key(await in_process.new_user("ada"))
        client = in_process.client(
            made["api_key"],
            agent_command=SHOWS,
            agent_environment=("MODEL_KEY",),
            agent_values={"MODEL_KEY": secret},
        )
        await client.create(BOX, on_progress=in_process.report)

        agent = await client.run_agent(BOX, "fix it", wait=None)
        later = await client.run(BOX, f"printenv MODEL_KEY; echo {secret}")

        processes, _, shown = agent.stdout.partition("\n")
        assert "hsab" in processes, "no command line is shown"
        assert secret[::-1] not in processes  # reversed, since output is masked
        assert shown.split() == [secret[::-1]], "neither a file nor a directory is left"
        assert later.stdout == f"{masked(secret, secret)}\n"
        assert secret not in repr(await client.sessions(BOX))


class UndeliveredAgentTransport(ForwardingTransport):
    """Break the connection instead of delivering the command of an agent."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/exec") and b"  # agent" in request.content:
            raise httpx.ReadError("reset by peer")
        return await self.proxy.handle_async_request(request)


@with_each_api
async def test_a_key_goes_away_in_the_sandbox_if_the_agent_never_reads_it(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "SECRET_LIFETIME", 4)
    monkeypatch.setattr(remote_command, "START_DEADLINE", 0.1)
    async with in_process_fake(**APIS[api]) as in_process:
        client = await in_process.new_client()
        await client.create(BOX, on_progress=in_process.report)
        config = replace(
            client.proxy.config,
            agent_command="agent {prompt}",
            agent_environment=("MODEL_KEY",),
            agent_values={"MODEL_KEY": "sesame-open-0123"},
        )
        transport = UndeliveredAgentTransport(in_process.transport)

        with pytest.raises(CommandStateUnknown):
            await Client(Proxy(config, transport=transport)).run_agent(BOX, "fix it")

        # Nothing of the client runs any more that could remove it.
        left = "ls -A ~ /dev/shm | grep -q remote-sandbox-"
        assert (await client.run(BOX, left)).exit_code == 0
        gone = await client.run(BOX, f"while {left}; do sleep 0.1; done", time_limit=20)
        assert gone.exit_code == 0
