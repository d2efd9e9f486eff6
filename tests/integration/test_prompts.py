"""Prompts against the fake proxy: real commands, and scripted ones that take virtual minutes."""

from __future__ import annotations

import json
import math
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import _agent, _prompts
from sandbox_client._client import over
from sandbox_client._errors import Paused, SessionBusy, SessionGone
from sandbox_client._proxy import Proxy
from sandbox_client._watch import Audience
from sandbox_fakeproxy import ManualClock, Outcome, ScriptedRuntime

from tests.integration.in_process import InProcessFake, in_process_fake

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sandbox_client._client import Client
    from sandbox_client._prompts import Prompt
    from sandbox_fakeproxy import Command

BOX = "my-sandbox"
HOUR = "work for 60 minutes"
WORK = "work for 5 minutes"


@pytest.fixture
async def ada(in_process: InProcessFake) -> Client:
    client = await in_process.new_client("ada")
    await client.sandboxes.create(BOX, image=None, port=None, report=in_process.report)
    return client


def script(command: Command) -> Outcome:
    """Return a line per minute and exit code 5 for `work for N minutes`.

    The command `for ever` never ends, any other ends at once.
    """
    text = re.sub(r"^: run-\w+; ", "", command.text)  # without the client's mark
    if text.startswith("work for "):
        minutes = int(text.split()[2])
        prints = [(60.0 * minute, f"minute {minute}\n") for minute in range(minutes)]
        return Outcome(prints=prints, seconds=60.0 * minutes, exit_code=5)
    return Outcome(seconds=math.inf) if text == "for ever" else Outcome("done\n")


@asynccontextmanager
async def scripted(
    **options: bool | str,
) -> AsyncGenerator[tuple[InProcessFake, Client, ScriptedRuntime]]:
    """Create a fake proxy with a scripted runtime, and a client with a ready sandbox."""
    made: list[ScriptedRuntime] = []

    def runtime(clock: ManualClock) -> ScriptedRuntime:
        made.append(ScriptedRuntime(script, clock=clock))
        return made[0]

    async with in_process_fake(runtime, **options) as in_process:
        client = await in_process.new_client(is_scripted=True)
        await client.sandboxes.create(BOX, image=None, port=None, report=in_process.report)
        yield in_process, client, made[0]


class ForwardingTransport(httpx.AsyncBaseTransport):
    """Forward each request to the fake proxy; subclasses change requests or responses."""

    def __init__(self, proxy: httpx.AsyncBaseTransport) -> None:
        self.proxy = proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.proxy.handle_async_request(request)


class ResponseLosingTransport(ForwardingTransport):
    """Deliver the first request to a route, but lose its response."""

    def __init__(self, proxy: httpx.AsyncBaseTransport, route: str, how: str) -> None:
        super().__init__(proxy)
        self._route, self._how = route, how
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.proxy.handle_async_request(request)
        if self.lost or not request.url.path.endswith(self._route):
            return response
        self.lost += 1
        if self._how == "cut":
            raise httpx.ReadError("reset by peer")
        return httpx.Response(504, html="<html><h1>Gateway Time-out</h1></html>")


class OldRuntimeTransport(ForwardingTransport):
    """Imitate a runtime without `async_mode` and `timeout`: it responds when the command ends."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/exec"):
            fields = json.loads(request.content)
            fields = {k: v for k, v in fields.items() if k not in {"async_mode", "timeout"}}
            headers = {k: v for k, v in request.headers.items() if k != "content-length"}
            request = httpx.Request(request.method, request.url, headers=headers, json=fields)
        return await self.proxy.handle_async_request(request)


def client_over(
    transport: httpx.AsyncBaseTransport, client: Client, in_process: InProcessFake
) -> Client:
    """Return a client with the configuration of `client` and another transport."""
    time = client.prompts.timing
    return over(Proxy(client.proxy.config, transport=transport, sleep=in_process.sleep), time)


async def test_a_second_client_collects_the_output_of_an_hour_long_command() -> None:
    async with scripted(as_deployed=True) as (in_process, client, runtime):
        prompt = await client.prompts.send(BOX, HOUR, audience=Audience(in_process.report))
        assert (prompt.seen.state, prompt.seen.output) == ("running", "minute 0\n")
        assert prompt.seconds == pytest.approx(45)

        # The second client shares only the configuration, sandbox name and session id.
        second = over(
            Proxy(client.proxy.config, transport=in_process.transport, sleep=in_process.sleep),
            client.prompts.timing,
        )
        collected = prompt.seen.output
        calls = 0
        while prompt.seen.state == "running":
            prompt = await second.prompts.output(
                BOX, prompt.session, after=len(collected), audience=Audience(in_process.report)
            )
            collected += prompt.seen.output[len(collected) :]
            calls += 1
            assert calls < 200

        assert prompt.seen.exit_code == 5
        assert collected == "".join(f"minute {minute}\n" for minute in range(60))
        assert [command.text for command in runtime.commands] == [HOUR]


async def test_no_request_is_held_open_while_a_command_runs() -> None:
    async with scripted() as (in_process, client, _):
        durations: list[float] = []

        class TimedTransport(ForwardingTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                start = in_process.clock.now()
                response = await self.proxy.handle_async_request(request)
                durations.append((in_process.clock.now() - start).total_seconds())
                return response

        timed = client_over(TimedTransport(in_process.transport), client, in_process)
        prompt = await timed.prompts.send(
            BOX, WORK, wait_seconds=None, audience=Audience(in_process.report)
        )

    assert prompt.seconds == pytest.approx(300, abs=2)
    assert len(durations) > 100
    assert set(durations) == {0.0}


@pytest.mark.parametrize("how", ["cut", "504"])
@pytest.mark.parametrize("route", ["/sessions/create", "/exec", "/view"])
async def test_after_a_lost_response_the_command_runs_once_with_all_its_output(
    route: str, how: str
) -> None:
    async with scripted() as (in_process, client, runtime):
        transport = ResponseLosingTransport(in_process.transport, route, how)
        prompt = await client_over(transport, client, in_process).prompts.send(
            BOX, WORK, wait_seconds=None, audience=Audience(in_process.report)
        )

    assert transport.lost == 1
    assert prompt.seen.exit_code == 5
    assert prompt.seen.output.count("minute") == 5
    assert [command.text for command in runtime.commands] == [WORK]


async def test_a_runtime_without_async_mode_still_gives_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_prompts, "ACCEPT_DEADLINE", 0.2)  # real seconds
    async with scripted() as (in_process, client, runtime):
        old = client_over(OldRuntimeTransport(in_process.transport), client, in_process)
        prompt = await old.prompts.send(BOX, WORK, audience=Audience(in_process.report))
        assert prompt.seen.state == "running"
        quick = await old.prompts.send(BOX, "echo", audience=Audience(in_process.report))
        in_process.clock.advance(600)
        prompt = await old.prompts.output(BOX, prompt.session, audience=Audience(in_process.report))

    assert (prompt.seen.state, prompt.seen.exit_code) == ("completed", 5)
    assert (quick.seen.state, quick.seen.output) == ("completed", "done\n")
    assert [command.text for command in runtime.commands] == [WORK, "echo"]


async def test_another_client_cancels_a_command_and_gets_its_output() -> None:
    async with scripted() as (in_process, client, _):
        prompt = await client.prompts.send(BOX, WORK, audience=Audience(in_process.report))
        in_process.clock.advance(100)
        second = client_over(ForwardingTransport(in_process.transport), client, in_process)
        killed = await second.prompts.cancel(BOX, prompt.session, report=in_process.report)
        again = await client.prompts.cancel(BOX, prompt.session, report=in_process.report)

    assert (killed.seen.state, killed.seen.output) == ("killed", "minute 0\nminute 1\nminute 2\n")
    assert again.seen == killed.seen


async def test_any_client_lists_running_and_ended_sessions() -> None:
    async with scripted() as (in_process, client, _):
        for command in ("echo", WORK, "for ever"):
            await client.prompts.send(
                BOX,
                command,
                session=command.replace(" ", "-"),
                audience=Audience(in_process.report),
            )
            in_process.clock.advance(60)
        await client.prompts.cancel(BOX, "for-ever", report=in_process.report)
        rows = await client_over(
            ForwardingTransport(in_process.transport), client, in_process
        ).prompts.sessions(BOX)

    states = {row.id: (seen.state, seen.command) for row, seen in rows if seen is not None}
    assert states == {
        "echo": ("completed", "echo"),
        "work-for-5-minutes": ("running", WORK),
        "for-ever": ("killed", "for ever"),
    }


async def test_a_named_session_keeps_its_directory_and_variables(
    in_process: InProcessFake, ada: Client
) -> None:
    async def run(command: str) -> str:
        audience = Audience(in_process.report)
        prompt = await ada.prompts.send(BOX, command, session="mine", audience=audience)
        return prompt.seen.output

    await run("mkdir -p deep && cd deep && export COLOUR=blue")
    assert await run('echo "$COLOUR in ${PWD##*/}"') == "blue in deep\n"


async def test_each_client_follows_its_own_command_in_a_shared_session(
    in_process: InProcessFake, ada: Client
) -> None:
    other = over(ada.proxy)
    audience = Audience(in_process.report)
    shared, waiting = "mine", "until test -e go; do :; done; echo mine"
    mine: list[Prompt] = []

    async def run_mine() -> None:
        mine.append(await ada.prompts.send(BOX, waiting, session=shared, audience=audience))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_mine)
        await ada.prompts.send(BOX, "touch go", audience=audience)
    theirs = await other.prompts.send(
        BOX, "echo theirs; (exit 7)", session=shared, audience=audience
    )

    assert (mine[0].seen.output, mine[0].seen.exit_code) == ("mine\n", 0)
    assert (theirs.seen.output, theirs.seen.exit_code) == ("theirs\n", 7)
    assert theirs.seen.command == "echo theirs; (exit 7)", "the client's mark is shown"


async def test_commands_in_one_session_never_overlap(
    in_process: InProcessFake, ada: Client
) -> None:
    audience = Audience(in_process.report)
    await ada.prompts.send(BOX, "sleep 60", session="mine", wait_seconds=0, audience=audience)

    with pytest.raises(SessionBusy, match="runs 'sleep 60'"):
        await ada.prompts.send(BOX, "touch twice", session="mine", audience=audience)

    seen = await ada.prompts.send(BOX, "ls", audience=audience)
    assert "twice" not in seen.seen.output
    killed = await ada.prompts.cancel(BOX, "mine", report=in_process.report)
    assert killed.seen.state == "killed"


async def test_two_calls_at_once_for_one_session_run_one_command(
    in_process: InProcessFake, ada: Client
) -> None:
    refused: list[SessionBusy] = []

    async def send(number: int) -> None:
        try:
            await ada.prompts.send(
                BOX,
                f"echo {number} | tee -a ran; sleep 60",
                session="mine",
                wait_seconds=0,
                audience=Audience(in_process.report),
            )
        except SessionBusy as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(send, number)

    assert len(refused) == 4
    # Until the command has started.
    await ada.prompts.output(BOX, "mine", audience=Audience(in_process.report))
    await ada.prompts.cancel(BOX, "mine", report=in_process.report)
    seen = await ada.prompts.send(BOX, "cat ran", audience=Audience(in_process.report))
    assert len(seen.seen.output.split()) == 1


async def test_a_pause_ends_a_command_and_its_session(
    in_process: InProcessFake, ada: Client
) -> None:
    audience = Audience(in_process.report)
    prompt = await ada.prompts.send(BOX, "sleep 60", wait_seconds=0, audience=audience)
    await ada.sandboxes.pause(BOX, report=in_process.report)
    in_process.clock.advance(1)

    with pytest.raises(Paused, match=r"nothing can be looked at|no result"):
        await ada.prompts.output(BOX, prompt.session, audience=audience)

    await ada.sandboxes.resume(BOX, report=in_process.report)
    with pytest.raises(SessionGone):
        await ada.prompts.output(BOX, prompt.session, audience=audience)


async def test_an_output_of_several_pages_is_read_whole(
    in_process: InProcessFake, ada: Client
) -> None:
    prompt = await ada.prompts.send(BOX, "seq 1 300000", audience=Audience(in_process.report))

    assert prompt.seen.state == "completed"
    assert len(prompt.seen.output) == sum(len(f"{n}\n") for n in range(1, 300_001))


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
    command = _agent.command_line("printf '%s' {prompt} > asked && ls", prompt)
    ran = await ada.prompts.send(BOX, command, audience=Audience(in_process.report))
    asked = await ada.prompts.send(BOX, "cat asked", audience=Audience(in_process.report))

    assert ran.seen.output.split() == ["asked"]
    assert asked.seen.output == prompt
