"""Commands by the pipe API: followed with long polls, looked up, cancelled, found again."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import (
    Output,
    OutputChunk,
    ProxyFailed,
    ProxyUnreachable,
    SandboxError,
    SessionNotFound,
)
from sandbox_client.api.pipes import PAST_THE_END
from sandbox_client.api.runtime import SIGNALS
from sandbox_client.errors import CommandStateUnknown, InvalidResponse, NoSuchPosition, SessionLost
from sandbox_client.execution import cancellation, pipes
from sandbox_client.execution.pipes import AFTER_OUTPUT
from sandbox_client.failures import DIAGNOSIS_DEADLINE
from sandbox_client.masking import masked
from sandbox_client.output import Part
from sandbox_client.polling import LongPolls
from sandbox_client.presentation.commands import describe_ending, describe_unreachable

from tests.client.statuses import ALPHA_PAUSED, ALPHA_READY, ALPHA_STARTING
from tests.client.stubs import (
    COMMAND,
    EXEC,
    KEY,
    MARK,
    OPEN,
    PIPE_EXEC,
    PIPE_KILL,
    PIPE_OPEN,
    PIPE_OUTPUT,
    PIPE_SESSIONS,
    SESSION,
    SESSIONS,
    VIEW,
    Answer,
    Answers,
    FakeClock,
    RecordedProgress,
    RouteStub,
    client_over,
    created,
    error_reply,
    executed,
    html_page,
    piped,
    piped_output,
    session_list,
    session_opened,
    succeeded,
    typed_on,
    unused_session,
    view_of,
)

if TYPE_CHECKING:
    from sandbox_client import Client, CommandResult

GET = "GET /api/sandboxes/box"
NO_API = error_reply(404, "Not Found")
NO_SESSION = error_reply(404, f"Session {COMMAND} not found")
RUNNING = piped(exit_code=None, status="running")
ENDED = piped_output(status="completed", exit_code=0)


async def send(
    proxy: RouteStub, clock: FakeClock | None = None, *, session: str | None = None
) -> CommandResult:
    async with client_over(proxy, clock, pipes=True) as client:
        return await client.run("box", "make", session=session)


async def output(
    client: Client, session: str, *, after: int = 0, stderr_after: int = 0
) -> CommandResult:
    return await client.output("box", session, after=after, stderr_after=stderr_after, wait=0)


async def test_a_quick_command_takes_two_requests(clock: FakeClock) -> None:
    proxy = RouteStub({PIPE_EXEC: piped("out\n", "err\n", 3)})

    result = await send(proxy, clock)

    assert proxy.asked == [PIPE_OPEN, PIPE_EXEC]
    assert (result.session, result.api, result.status.exit_code) == (COMMAND, "pipes", 3)
    assert result.errors is not None
    assert (result.output.text, result.errors.text) == ("out\n", "err\n")
    assert clock.slept == []


async def test_a_named_session_stays_on_the_terminal() -> None:
    proxy = RouteStub({VIEW: unused_session(), EXEC: executed("a\n")})

    result = await send(proxy, session="s1")

    assert proxy.asked == [OPEN, VIEW, EXEC]
    assert (result.session, result.api, result.errors) == ("s1", "terminal", None)
    assert proxy.sent(EXEC)[0]["command"] == f": {MARK}; {typed_on('make')}"


async def test_a_quiet_command_is_followed_with_long_polls(clock: FakeClock) -> None:
    waits: list[float] = []

    def quiet(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/output"):
            waits.append(json.loads(request.content)["wait_timeout"])
            clock.now += waits[-1]
        return RouteStub({PIPE_EXEC: RUNNING, PIPE_OUTPUT: piped_output()})(request)

    async with client_over(quiet, clock, pipes=True) as client:
        result = await client.run("box", "x", wait=60)

    assert waits == [25.0, 25.0, 10.0], "no longer than load balancers and the caller allow"
    assert result.status.state == "running"
    assert result.seconds == pytest.approx(60)
    assert clock.slept == []


async def test_a_long_poll_with_an_immediate_reply_is_not_repeated_at_once(
    clock: FakeClock,
) -> None:
    proxy = RouteStub({PIPE_EXEC: RUNNING, PIPE_OUTPUT: piped_output()})

    async with client_over(proxy, clock, pipes=True) as client:
        await client.run("box", "x", wait=10)

    assert clock.slept[:3] == [0.02, 0.04, 0.08]
    assert proxy.asked.count(PIPE_OUTPUT) < 20


async def test_a_wait_without_a_turn_in_time_sends_no_request(clock: FakeClock) -> None:
    polls: list[object] = []

    async def proxy(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("wait"):
            polls.append(request)
            await anyio.wait_all_tasks_blocked()
            clock.now += 10
        return piped_output()

    async def wait() -> None:
        result = await client.output("box", COMMAND, wait=5, to_end=True)
        assert result.status.state == "running"

    async with client_over(proxy, clock, pipes=True) as client:
        client.proxy.long_polls = LongPolls(at_once=1)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)

    assert len(polls) == 1


async def test_output_is_requested_from_the_offsets_of_both_streams(clock: FakeClock) -> None:
    received: list[OutputChunk] = []
    pieces = [
        piped_output("é", 2, stderr="oh", stderr_end=2),
        piped_output("b", 3, stderr_end=2),
        piped_output("", 3, stderr_end=2, status="completed", exit_code=0),
    ]
    proxy = RouteStub({PIPE_EXEC: RUNNING, PIPE_OUTPUT: pieces})

    async with client_over(proxy, clock, pipes=True) as client:
        await client.run("box", "x", on_output=received.append)

    offsets = [(body["offset"], body["stderr_offset"]) for body in proxy.sent(PIPE_OUTPUT)]
    assert offsets == [(0, 0), (2, 2), (3, 2)]
    assert [chunk.text for chunk in received] == ["é", "oh", "b"]
    assert clock.slept == [AFTER_OUTPUT] * 2, "each line by itself would cost a request"


async def test_a_gap_in_the_output_is_reported_and_counts_in_the_positions() -> None:
    received: list[OutputChunk] = []
    pieces = [piped_output("a", 1), piped_output("z", 101, status="completed", exit_code=0)]

    async with client_over(
        RouteStub({PIPE_EXEC: RUNNING, PIPE_OUTPUT: pieces}), pipes=True
    ) as client:
        result = await client.run("box", "x", on_output=received.append)

    assert [chunk.gone for chunk in received] == [0, 99]
    assert result.output == Output(0, (Part(0, "a", 1), Part(100, "z", 101)), 99, "bytes")


async def test_a_long_reply_is_read_again_from_the_beginning() -> None:
    whole = "x" * 45_000
    answers: Answers = {
        PIPE_EXEC: piped(whole),
        PIPE_OUTPUT: piped_output(whole, 45_000, status="completed", exit_code=0),
    }

    result = await send(RouteStub(answers))

    assert (result.output.text, result.status.exit_code) == (whole, 0)


@pytest.mark.parametrize(
    "lost",
    [html_page(504), error_reply(500, "fetch failed"), httpx.ReadError("reset")],
    ids=["504", "500 as deployed", "reset"],
)
async def test_a_command_with_a_lost_response_is_looked_up_and_never_sent_twice(
    lost: httpx.Response | Exception,
) -> None:
    looks = [piped_output(status=""), piped_output(end=2, status="completed", exit_code=4)]
    whole = piped_output("a\n", 2, status="completed", exit_code=4)
    proxy = RouteStub({PIPE_EXEC: lost, PIPE_OUTPUT: [*looks, whole]})

    result = await send(proxy)

    assert proxy.asked == [PIPE_OPEN, PIPE_EXEC, *[PIPE_OUTPUT] * 3]
    assert (result.output.text, result.status.exit_code) == ("a\n", 4)


async def test_a_command_that_does_not_start_is_an_error(clock: FakeClock) -> None:
    proxy = RouteStub({PIPE_EXEC: html_page(504), PIPE_OUTPUT: piped_output(status="")})

    with pytest.raises(CommandStateUnknown, match=f"session '{COMMAND}' does not show it"):
        await send(proxy, clock)

    assert proxy.asked.count(PIPE_EXEC) == 1


@pytest.mark.parametrize("verb", ["resume", "create"])
async def test_a_runtime_without_the_pipe_api_is_asked_once_per_pod(
    verb: str,
) -> None:
    answers: Answers = {
        PIPE_OPEN: NO_API,
        EXEC: executed("a\n"),
        "POST /api/sandboxes/box/resume": succeeded(),
        "POST /api/sandboxes": created(),
        GET: ALPHA_READY.response(),
    }
    proxy = RouteStub(answers)

    async with client_over(proxy, pipes=True) as client:
        first = await client.run("box", "x")
        await client.run("box", "x")
        assert proxy.asked == [PIPE_OPEN, OPEN, EXEC, OPEN, EXEC]
        if verb == "resume":
            await client.resume("box", on_progress=RecordedProgress())
        else:
            await client.create("box", on_progress=RecordedProgress())
        await client.run("box", "x")

    assert (first.session, first.api, first.output.text) == (SESSION, "terminal", "a\n")
    assert proxy.asked[-3:] == [PIPE_OPEN, OPEN, EXEC]


async def test_another_error_on_opening_does_not_mean_a_missing_pipe_api() -> None:
    proxy = RouteStub(
        {PIPE_OPEN: error_reply(503, "Sandbox not ready"), GET: ALPHA_PAUSED.response()}
    )

    with pytest.raises(Exception, match="is paused; the command was not run"):
        await send(proxy)

    assert OPEN not in proxy.asked


async def test_a_command_whose_session_disappears_has_ended() -> None:
    proxy = RouteStub({PIPE_EXEC: RUNNING, PIPE_OUTPUT: [piped_output("a", 1), NO_SESSION]})

    with pytest.raises(SessionLost, match=f"lost the session of the command .{COMMAND}.") as caught:
        await send(proxy)

    assert (caught.value.session, caught.value.printed) == ("", "a")


@pytest.mark.parametrize("start", [RUNNING, html_page(504)], ids=["lost later", "answer lost"])
async def test_an_error_of_an_internal_command_names_no_session(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, start: Answer
) -> None:
    def token(_: int) -> str:
        return "0a1b2c3d"

    monkeypatch.setattr(secrets, "token_hex", token)
    close = "POST /proxy/box/v1/bash/sessions/files-0a1b2c3d/close"
    unused = [NO_SESSION] if start is RUNNING else piped_output(status="")
    proxy = RouteStub({PIPE_EXEC: start, PIPE_OUTPUT: unused, close: succeeded()})

    async with client_over(proxy, clock, pipes=True) as client:
        with pytest.raises(SandboxError) as caught:
            await client.prompts.run_internal("box", "x")

    assert caught.value.session == ""
    assert "files-" not in caught.value.message
    assert "{output}" not in caught.value.advice


async def test_a_failed_poll_delays_the_output_and_loses_nothing(clock: FakeClock) -> None:
    pieces: list[Answer] = [
        piped_output("a", 1),
        *[httpx.ReadError("reset")] * 4,
        piped_output("b", 2, status="completed", exit_code=0),
    ]
    proxy = RouteStub({PIPE_EXEC: RUNNING, PIPE_OUTPUT: pieces})

    result = await send(proxy, clock)

    assert (result.output.text, result.read_error) == ("ab", "")


async def test_an_unreachable_command_returns_its_session(clock: FakeClock) -> None:
    failed = error_reply(500, "fetch failed")
    proxy = RouteStub({PIPE_EXEC: RUNNING, PIPE_OUTPUT: failed, GET: ALPHA_STARTING.response()})

    result = await send(proxy, clock)

    assert (result.status.state, result.session) == ("running", COMMAND)
    assert "fetch failed" in result.read_error
    assert proxy.asked.count(PIPE_OUTPUT) < 60, "a poll that fails at once is not sent in a row"


async def test_a_session_is_found_by_either_api() -> None:
    gone = error_reply(404, "Session not found: x")
    answers: Answers = {VIEW: [view_of("a"), gone, gone], PIPE_OUTPUT: [ENDED, ENDED, NO_SESSION]}
    proxy = RouteStub(answers)

    async with client_over(proxy, pipes=True) as client:
        assert (await output(client, COMMAND)).api == "pipes"
        assert (await output(client, SESSION)).api == "terminal"
        assert (await output(client, "named-elsewhere")).api == "pipes"
        with pytest.raises(SessionNotFound):
            await output(client, "nowhere")

    assert proxy.asked == [PIPE_OUTPUT, VIEW, VIEW, PIPE_OUTPUT, VIEW, PIPE_OUTPUT]


async def test_a_session_of_a_runtime_without_the_pipe_api_is_found() -> None:
    proxy = RouteStub({VIEW: view_of("a"), PIPE_OUTPUT: NO_API})

    async with client_over(proxy, pipes=True) as client:
        for _ in range(2):
            assert (await output(client, COMMAND)).output.text == "a"

    assert proxy.asked == [PIPE_OUTPUT, VIEW, VIEW], "the runtime is known by then"


async def test_cancel_sends_one_signal_after_another(clock: FakeClock) -> None:
    looks = [*[piped_output()] * 15, piped_output(end=4, status="killed", exit_code=-15)]
    bye = piped_output("bye\n", 4, status="killed", exit_code=-15)
    routes = RouteStub({PIPE_OUTPUT: [*looks, bye], PIPE_KILL: succeeded()})
    async with client_over(routes, clock, pipes=True) as client:
        result = await client.cancel("box", COMMAND)

    signals = [body["signal"] for body in routes.sent(PIPE_KILL)]
    assert signals == ["SIGINT", "SIGTERM"] == list(result.signals)
    assert (result.status.state, result.status.exit_code) == ("killed", 143)
    assert result.output.text == "bye\n"
    offsets = [body["offset"] for body in routes.sent(PIPE_OUTPUT)]
    assert offsets == [PAST_THE_END] * 16 + [0], "the output is read once, at the end"


async def hang(_: httpx.Request) -> httpx.Response:
    await anyio.sleep_forever()
    raise AssertionError


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give looks and signals a hundredth of a second of real time."""
    for name in ("LOOK_DEADLINE", "FIRST_LOOK_DEADLINE"):
        monkeypatch.setattr(cancellation, name, 0.01)
    monkeypatch.setattr(pipes, "SIGNAL_DEADLINE", 0.01)


@pytest.mark.usefixtures("short_deadlines")
async def test_cancel_sends_signals_even_if_the_output_cannot_be_read(
    clock: FakeClock,
) -> None:
    sent: list[str] = []

    async def proxy(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/kill"):
            return await hang(request)
        sent.append(json.loads(request.content)["signal"])
        return succeeded()

    async with client_over(proxy, clock, pipes=True) as client:
        with anyio.fail_after(10):
            result = await client.cancel("box", COMMAND)

    assert sent == ["SIGINT", "SIGTERM", "SIGKILL"] == list(result.signals)
    assert (result.status.state, result.status.has_ended) == ("unknown", False)
    assert "time-out" in result.read_error
    assert describe_ending(result) == (
        "SIGINT, SIGTERM and SIGKILL sent; whether the command has ended is not known"
    )


@pytest.mark.usefixtures("short_deadlines")
@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({PIPE_OUTPUT: httpx.ReadError("x"), PIPE_KILL: httpx.ReadError("x")}, ProxyUnreachable),
        ({PIPE_OUTPUT: piped_output(), PIPE_KILL: error_reply(500, "x")}, ProxyFailed),
        (
            {
                PIPE_OUTPUT: [piped_output(), httpx.Response(200, json={})],
                PIPE_KILL: httpx.ReadError("x"),
            },
            InvalidResponse,
        ),
    ],
    ids=["out of sight", "still running", "unreadable"],
)
async def test_a_cancellation_without_any_response_is_an_error(
    clock: FakeClock, answers: Answers, kind: type[SandboxError]
) -> None:
    async with client_over(RouteStub(answers), clock, pipes=True) as client:
        with pytest.raises(kind) as caught:
            await client.cancel("box", COMMAND)

    assert "may have done it all the same: look with {output}" in caught.value.advice
    assert caught.value.session == COMMAND


@pytest.mark.usefixtures("short_deadlines")
async def test_a_cancellation_of_an_unreachable_command_ends(
    clock: FakeClock,
) -> None:
    async def proxy(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/kill"):
            return succeeded()
        clock.now += DIAGNOSIS_DEADLINE if "/api/" in request.url.path else 10
        looks.append(request.url.path)
        return error_reply(500, "x")

    looks: list[str] = []
    async with client_over(proxy, clock, pipes=True) as client:
        result = await client.cancel("box", COMMAND)

    assert result.signals == SIGNALS
    assert result.seconds <= 55


@pytest.mark.usefixtures("short_deadlines")
async def test_unreadable_output_does_not_hide_the_end_of_a_cancelled_command() -> None:
    async def proxy(request: httpx.Request) -> httpx.Response:
        is_whole = json.loads(request.content).get("offset") == 0
        return await hang(request) if is_whole else routes(request)

    looks = [piped_output(), piped_output(status="killed", exit_code=-2)]
    routes = RouteStub({PIPE_OUTPUT: looks, PIPE_KILL: succeeded()})
    async with client_over(proxy, pipes=True) as client:
        with anyio.fail_after(10):
            result = await client.cancel("box", COMMAND)

    assert describe_ending(result) == "killed by SIGINT"
    assert describe_unreachable(result).startswith("its output could not be read to the end: ")


async def test_a_position_past_the_end_is_refused() -> None:
    proxy = RouteStub({PIPE_OUTPUT: piped_output("abc", 3, stderr_end=2)})

    async with client_over(proxy, pipes=True) as client:
        with pytest.raises(NoSuchPosition, match=r"output .* has 3 bytes so far, .* byte 4 was"):
            await output(client, COMMAND, after=4)
        with pytest.raises(NoSuchPosition, match=r"standard error .* has 2 bytes"):
            await output(client, COMMAND, stderr_after=3)


async def test_the_first_half_of_a_key_is_held_back() -> None:
    received: list[str] = []
    text = f"it is {KEY}."
    lengths = iter([20, 20, len(text)])  # printed at each look

    def proxy(request: httpx.Request) -> httpx.Response:
        length = next(lengths, len(text))
        return piped_output(text[json.loads(request.content)["offset"] : length], length)

    async with client_over(proxy, pipes=True) as client:
        first = await output(client, COMMAND)
        rest = await client.output(
            "box",
            COMMAND,
            after=first.output.end,
            on_output=lambda chunk: received.append(chunk.text),
        )

    assert (first.output.text, first.output.end) == ("it is ", 6)
    assert rest.output.text == "".join(received) == f"{masked(KEY, KEY)}."


async def test_the_rest_of_a_key_is_masked_if_reading_starts_within_the_key() -> None:
    text = f"it is {KEY}."

    def proxy(request: httpx.Request) -> httpx.Response:
        offset = json.loads(request.content)["offset"]
        return piped_output(text[offset:], len(text), status="completed", exit_code=0)

    async with client_over(proxy, pipes=True) as client:
        for position in range(len(text)):
            result = await output(client, COMMAND, after=position)
            assert result.output.text == masked(text, KEY)[position:]


async def test_sessions_of_both_apis_are_listed_with_their_last_output() -> None:
    rows = [{"session_id": COMMAND, "status": "ready", "last_used_at": "2026-01-02"}]
    listed = httpx.Response(200, json={"success": True, "data": rows})
    answers: Answers = {
        PIPE_SESSIONS: listed,
        SESSIONS: session_list(s1={"status": "completed", "last_used_at": "2026-01-01"}),
        VIEW: view_of("a\n", "completed", 3),
        PIPE_OUTPUT: [
            piped_output(end=9_000, status="completed", exit_code=0),
            piped_output("x" * 4_031 + "the end\n", 9_000, status="completed", exit_code=0),
        ],
    }
    proxy = RouteStub(answers)

    async with client_over(proxy, pipes=True) as client:
        listing = await client.sessions("box")

    assert [(row.id, last and last.printed) for row, last in listing] == [
        (COMMAND, "x" * 3_992 + "the end\n"),
        ("s1", "a\n"),
    ]
    offset = proxy.sent(PIPE_OUTPUT)[-1]["offset"]
    assert offset == 5_000 - len(KEY) + 1, "the last line needs no more, and a key may begin there"


async def test_sessions_are_listed_the_newest_first_and_without_internal_ones() -> None:
    def piped_row(session: str, day: int) -> dict[str, object]:
        # Each reading of its output counts as a use of a session.
        return {
            "session_id": session,
            "created_at": f"2026-01-0{day}",
            "last_used_at": "2026-02-01",
        }

    rows = [piped_row("command-1", 1), piped_row("files-1", 8), piped_row("command-4", 4)]
    on_terminal: dict[str, dict[str, object]] = {
        "work": {"created_at": "2026-01-01", "last_used_at": "2026-01-03"},
        "files-2": {"created_at": "2026-01-09", "last_used_at": "2026-01-09"},
        "prompt-2": {"created_at": "2026-01-02"},
    }
    answers: Answers = {
        PIPE_SESSIONS: httpx.Response(200, json={"success": True, "data": rows}),
        SESSIONS: session_list(**on_terminal),
        VIEW: view_of("a\n", "completed", 3),
        PIPE_OUTPUT: piped_output(status="completed", exit_code=0),
    }

    async with client_over(RouteStub(answers), pipes=True) as client:
        listing = await client.sessions("box")

    assert [row.id for row, _ in listing] == ["command-4", "work", "prompt-2", "command-1"]


async def test_a_list_of_sessions_requests_a_missing_pipe_api_once() -> None:
    proxy = RouteStub({PIPE_SESSIONS: NO_API, SESSIONS: session_list()})

    async with client_over(proxy, pipes=True) as client:
        for _ in range(2):
            assert await client.sessions("box") == []

    assert proxy.asked == [PIPE_SESSIONS, SESSIONS, SESSIONS]


async def test_a_session_is_opened_before_the_listener_gets_it() -> None:
    requests_before: list[int] = []
    proxy = RouteStub({PIPE_OPEN: session_opened(COMMAND), PIPE_EXEC: piped()})

    async with client_over(proxy, pipes=True) as client:
        await client.run("box", "x", on_session=lambda _: requests_before.append(len(proxy.asked)))

    assert requests_before == [1], "after opening the session, before sending the command"
