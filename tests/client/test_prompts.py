"""Commands in sessions: started once, followed, found again, cancelled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import (
    Client,
    InvalidInput,
    KeyRejected,
    NotReady,
    Paused,
    ProxyFailed,
    ProxyRefused,
    SandboxError,
    SandboxNotFound,
    SessionBusy,
    SessionNotFound,
    polling,
)
from sandbox_client.api.message import MAX_REPLY_BYTES
from sandbox_client.api.runtime import SIGNALS, CommandStatus
from sandbox_client.errors import (
    CommandStateUnknown,
    DeadlineExceeded,
    NotSent,
    SandboxDeleted,
)
from sandbox_client.execution import cancellation, remote_command, terminal
from sandbox_client.execution.sessions import PIPES_RETRY_DELAY
from sandbox_client.masking import masked
from sandbox_client.prompts import LINGER

from tests.client.statuses import ALPHA, ALPHA_PAUSED, ALPHA_READY, PROFILES, Profile
from tests.client.stubs import (
    EXEC,
    KEY,
    KILL,
    MARK,
    OPEN,
    PIPE_OPEN,
    SESSION,
    SESSIONS,
    TYPE,
    VIEW,
    Answer,
    Answers,
    FakeClock,
    RecordedProgress,
    RouteStub,
    client_over,
    error_reply,
    executed,
    html_page,
    proxy_over,
    session_list,
    session_opened,
    typed,
    unused_session,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from sandbox_client import CommandResult, OutputChunk, Signal

GET = "GET /api/sandboxes/box"
RUNNING = executed("", None, "running")
NO_SESSION = error_reply(404, f"Session not found: {SESSION}")
LOST: dict[str, Answer] = {
    "load balancer's 504": html_page(504),
    "proxy's 504": error_reply(504, "The runtime did not answer within 300 s"),
    "502": html_page(502),
    "500 as deployed": error_reply(500, "fetch failed"),
    "reset": httpx.ReadError("reset"),
    "late": httpx.ReadTimeout("late"),
    "cut": httpx.RemoteProtocolError("Server disconnected"),
    "no JSON": httpx.Response(200, text="ok"),
    "no status": httpx.Response(200, json={"success": True, "data": {}}),
    "too large": httpx.Response(200, content=b"x" * (MAX_REPLY_BYTES + 1)),
}
in_both_profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda it: str(it.name))


async def send(
    proxy: RouteStub,
    clock: FakeClock | None = None,
    *,
    session: str | None = None,
    wait_seconds: float | None = 45,
    progress: RecordedProgress | None = None,
) -> CommandResult:
    async with client_over(proxy, clock) as client:
        return await client.run(
            "box",
            "make",
            session=session,
            wait=wait_seconds,
            on_progress=progress or RecordedProgress(),
        )


async def output(
    proxy: RouteStub, clock: FakeClock | None = None, *, after: int = 0, wait_seconds: float = 45
) -> CommandResult:
    async with client_over(proxy, clock) as client:
        return await client.output("box", SESSION, after=after, wait=wait_seconds)


async def cancel(
    proxy: RouteStub, clock: FakeClock | None = None, *, signals: Sequence[Signal] = SIGNALS
) -> CommandResult:
    async with client_over(proxy, clock) as client:
        return await client.cancel("box", SESSION, signals=signals)


async def test_the_session_is_opened_before_the_command_is_sent() -> None:
    proxy = RouteStub({EXEC: RUNNING, VIEW: view_of("hi\n", "completed", 0)})

    await send(proxy)

    assert proxy.asked == [OPEN, EXEC, VIEW]
    assert proxy.bodies[0] == {"id": SESSION, "exec_dir": "/sandbox"}
    assert proxy.bodies[1] == {
        "id": SESSION,
        "command": typed("make", SESSION),
        "timeout": 0.05,
        "truncate": False,
    }


async def test_a_command_that_ends_in_time_returns_its_whole_output(clock: FakeClock) -> None:
    views = [view_of("a"), view_of("ab"), view_of("abc\n", "completed", 2)]

    result = await send(RouteStub({EXEC: RUNNING, VIEW: views}), clock)

    assert (result.name, result.session) == ("box", SESSION)
    assert (result.status.state, result.output.text, result.status.exit_code) == (
        "completed",
        "abc\n",
        2,
    )
    assert result.seconds == pytest.approx(sum(clock.slept))
    assert clock.slept


async def test_a_quick_command_is_read_from_the_first_reply() -> None:
    proxy = RouteStub({EXEC: executed("all at once\n", 0)})

    result = await send(proxy)

    assert (result.status.state, result.output.text) == ("completed", "all at once\n")
    assert proxy.asked == [OPEN, EXEC]


@pytest.mark.parametrize("wait_seconds", [0.0, 3.0, 45.0, 240.0])
async def test_a_command_that_takes_longer_returns_its_session(
    wait_seconds: float, clock: FakeClock
) -> None:
    proxy = RouteStub({EXEC: RUNNING, VIEW: view_of("so far\n")})

    result = await send(proxy, clock, wait_seconds=wait_seconds)

    assert result.status.state == "running"
    assert result.session == SESSION
    assert result.seconds == pytest.approx(wait_seconds)
    assert sum(clock.slept) == pytest.approx(wait_seconds)
    assert result.output.text == ("so far\n" if wait_seconds else "")


async def test_a_wait_of_0_s_sends_no_request_after_the_start() -> None:
    proxy = RouteStub({EXEC: RUNNING})

    await send(proxy, wait_seconds=0)

    assert proxy.asked == [OPEN, EXEC]


async def test_the_poll_interval_grows_from_20_ms_to_1_s(clock: FakeClock) -> None:
    await send(RouteStub({EXEC: RUNNING, VIEW: view_of()}), clock, wait_seconds=10)

    assert clock.slept[:5] == [0.02, 0.04, 0.08, 0.16, 0.32]
    assert max(clock.slept) <= 1.0


async def test_slow_views_are_polled_less_often(clock: FakeClock) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/view"):
            clock.now += 2.0
        return RouteStub({EXEC: RUNNING, VIEW: view_of()})(request)

    async with client_over(slow, clock) as client:
        await client.run("box", "make", wait=200)

    assert clock.slept[2] == pytest.approx(5.0), "but no longer than is reasonable"


@pytest.mark.parametrize("lost", LOST)
async def test_a_command_with_a_lost_reply_is_found_and_not_sent_again(lost: str) -> None:
    views = [unused_session(), view_of("hi\n"), view_of("hi\n", "completed", 0)]
    proxy = RouteStub({EXEC: LOST[lost], VIEW: views, GET: ALPHA_READY.response()})

    result = await send(proxy)

    assert (result.status.state, result.status.exit_code) == ("completed", 0)
    assert proxy.asked.count(EXEC) == 1


async def test_the_error_for_a_command_that_does_not_start_has_the_session(
    clock: FakeClock,
) -> None:
    proxy = RouteStub({EXEC: html_page(504), VIEW: unused_session(), GET: ALPHA_READY.response()})

    with pytest.raises(CommandStateUnknown) as caught:
        await send(proxy, clock)

    assert f"session '{SESSION}' does not show it" in caught.value.message
    assert "{output}" in caught.value.advice
    assert not caught.value.retryable
    assert proxy.asked.count(EXEC) == 1
    assert 10 <= sum(clock.slept) <= 12


OURS = f": {MARK}; make"


async def test_a_lost_command_in_a_used_session_is_found_by_its_mark() -> None:
    before = view_of("old\n", "completed", 0, command="make", before=1)
    others = view_of("theirs\n", "completed", 0, command=": run-2; make", before=2)
    after = view_of("new\n", "completed", 7, command=OURS, before=3)
    proxy = RouteStub({EXEC: html_page(504), VIEW: [before, before, others, after, after]})

    result = await send(proxy, session="s1")

    assert (result.output.text, result.status.exit_code) == ("new\n", 7)
    assert proxy.asked == [OPEN, VIEW, EXEC, *[VIEW] * 4]


async def test_another_clients_command_is_not_mistaken_for_a_lost_one(clock: FakeClock) -> None:
    others = view_of("theirs\n", "completed", 0, command=": run-2; make", before=2)
    proxy = RouteStub({EXEC: html_page(504), VIEW: [unused_session(), others]})

    with pytest.raises(CommandStateUnknown, match="does not show it"):
        await send(proxy, clock, session="s1")


async def test_a_wait_ends_when_the_session_runs_another_command() -> None:
    ours = view_of("ours\n", command=OURS)
    others = view_of("theirs\n", command="other", before=1)
    proxy = RouteStub({EXEC: RUNNING, VIEW: [unused_session(), ours, others]})

    result = await send(proxy, session="s1")

    assert (result.status.state, result.output.text) == ("completed", "ours\n")
    assert result.status.exit_code is None, "which nobody knows any more"


async def test_possibly_truncated_output_is_read_again() -> None:
    whole = "x" * 100_000
    proxy = RouteStub({EXEC: executed(whole[:30_000]), VIEW: view_of(whole, "completed", 0)})

    result = await send(proxy)

    assert len(result.output.text) == 100_000


async def test_the_output_before_a_pause_is_in_the_error() -> None:
    paused = ALPHA.paused.response()
    views = [view_of("so far\n"), error_reply(503, "Sandbox not ready")]

    with pytest.raises(Paused) as caught:
        await send(RouteStub({EXEC: RUNNING, VIEW: views, GET: paused}))

    assert caught.value.printed == "so far\n"
    assert "The pause has ended the command" in caught.value.advice


async def test_a_cancelled_call_waits_until_its_command_is_accepted() -> None:
    asked: list[str] = []
    arrived, answered = anyio.Event(), anyio.Event()

    async def proxy(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rpartition("/")[2])
        if asked[-1] == "exec":
            arrived.set()
            await answered.wait()
            return RUNNING
        return session_opened("s1") if asked[-1] == "create" else unused_session()

    async with client_over(proxy) as client:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:

                async def start() -> None:
                    with anyio.CancelScope() as scope:
                        scopes.append(scope)
                        await client.run("box", "a", session="s1")

                scopes: list[anyio.CancelScope] = []
                tasks.start_soon(start)
                await arrived.wait()
                scopes[0].cancel()
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(
                    SessionBusy
                ):  # as long as the response to the first one has not come
                    await client.run("box", "b", session="s1")
                answered.set()

    assert asked.count("exec") == 1


async def test_a_lost_command_with_an_unreadable_session_is_an_error(clock: FakeClock) -> None:
    proxy = RouteStub({EXEC: html_page(504), VIEW: httpx.ConnectError("down")})

    with pytest.raises(CommandStateUnknown, match="cannot be read"):
        await send(proxy, clock)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error_reply(401, "expired"), KeyRejected),
        (error_reply(403, "no"), SandboxNotFound),
        (error_reply(409, "Session s1 still runs a command: x"), SessionBusy),
        (NO_SESSION, SessionNotFound),
        (httpx.ConnectError("refused"), NotSent),
        (httpx.Response(200, json={"success": False, "message": "no shell"}), ProxyFailed),
    ],
    ids=["401", "403", "409", "404", "refused", "success false"],
)
async def test_a_refused_command_is_not_looked_up(answer: Answer, kind: type[SandboxError]) -> None:
    proxy = RouteStub({EXEC: answer})

    with pytest.raises(kind):
        await send(proxy)

    assert proxy.asked == [OPEN, EXEC]


async def test_a_command_whose_sandbox_is_deleted_has_no_session_any_more() -> None:
    looks = [view_of("begun\n"), error_reply(403, "no access")]
    proxy = RouteStub({EXEC: RUNNING, VIEW: looks})

    with pytest.raises(SandboxDeleted, match="'box' was deleted while the command ran") as caught:
        await send(proxy)

    assert (caught.value.session, caught.value.printed) == ("", "begun\n")


@pytest.mark.parametrize(
    ("route", "status", "may_have_run"),
    [(OPEN, 503, False), (OPEN, 500, False), (EXEC, 503, False), (EXEC, 500, True)],
)
async def test_a_command_to_a_paused_sandbox_advises_to_resume_it(
    route: str, status: int, may_have_run: bool
) -> None:
    # The deployed proxy replies 500 where it should reply 503.
    answer = error_reply(status, "Sandbox not ready" if status == 503 else "fetch failed")
    proxy = RouteStub({route: answer, VIEW: answer, GET: ALPHA.paused.response()})

    with pytest.raises(Paused, match="'box' is paused") as caught:
        await send(proxy)

    assert "{resume}" in caught.value.advice
    assert ("The pause has ended the command" in caught.value.advice) == may_have_run
    assert ("the command was not run" in caught.value.message) != may_have_run


@in_both_profiles
async def test_a_command_to_a_starting_sandbox_advises_to_wait(profile: Profile) -> None:
    proxy = RouteStub(
        {OPEN: error_reply(503, "Sandbox not ready"), GET: profile.starting.response()}
    )

    with pytest.raises(NotReady, match="starting: Pod is Running but not Ready") as caught:
        await send(proxy)

    assert not isinstance(caught.value, Paused)
    assert "the command was not run" in caught.value.message
    assert "10 to 30 s" in caught.value.advice


@in_both_profiles
async def test_a_command_to_a_failed_sandbox_advises_not_to_wait(
    profile: Profile,
) -> None:
    answers = {OPEN: error_reply(503, "Sandbox not ready"), GET: profile.failed.response()}

    with pytest.raises(NotReady, match="is failed") as caught:
        await send(RouteStub(answers))

    assert "Waiting does not help" in caught.value.advice
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "look", [error_reply(500, "down"), html_page(502), error_reply(401, "expired")]
)
async def test_the_error_of_a_command_is_kept_if_the_status_cannot_be_read(
    look: httpx.Response,
) -> None:
    with pytest.raises(NotReady, match="'box' is not ready"):
        await send(RouteStub({OPEN: error_reply(503, "Sandbox not ready"), GET: look}))


@pytest.mark.parametrize(
    ("answer", "is_said"),
    [
        (error_reply(500, "no"), True),
        (httpx.ReadError("x"), True),
        (httpx.Response(200, json=[]), True),
        (httpx.ConnectError("x"), False),
        (error_reply(401, "API key has expired"), False),
    ],
    ids=["500", "reset", "another JSON", "not sent", "refused"],
)
async def test_a_session_that_was_not_opened_has_not_run_the_command(
    answer: Answer, *, is_said: bool
) -> None:
    with pytest.raises(SandboxError) as caught:
        await send(RouteStub({OPEN: answer, GET: error_reply(401, "expired")}))

    assert caught.value.not_done == ("The command was not run." if is_said else "")


async def test_a_busy_session_refuses_another_command() -> None:
    proxy = RouteStub({VIEW: view_of("x", command="sleep 60")})

    with pytest.raises(SessionBusy, match="'s1' of sandbox 'box' runs 'sleep 60'"):
        await send(proxy, session="s1")

    assert EXEC not in proxy.asked


async def test_two_concurrent_commands_in_one_session_do_not_overlap() -> None:
    arrived, go_on = anyio.Event(), anyio.Event()
    asked: list[str] = []

    async def proxy(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rpartition("/")[2])
        if asked[-1] == "create":
            return session_opened("s1")
        if asked[-1] == "exec":
            arrived.set()
            await go_on.wait()
            return executed("first\n")
        return unused_session()

    async with client_over(proxy) as client:
        first: list[CommandResult] = []

        async def start() -> None:
            first.append(await client.run("box", "a", session="s1"))

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start)
                await arrived.wait()
                with pytest.raises(SessionBusy):
                    await client.run("box", "b", session="s1")
                go_on.set()

    assert first[0].output.text == "first\n"
    assert asked.count("exec") == 1


async def test_a_transient_failure_delays_the_next_view(clock: FakeClock) -> None:
    views: list[Answer] = [
        view_of("a"),
        *[httpx.ConnectError("x")] * 4,
        view_of("ab", "completed", 0),
    ]

    result = await send(RouteStub({EXEC: RUNNING, VIEW: views}), clock)

    assert (result.output.text, result.read_error) == ("ab", "")


async def test_a_hanging_view_does_not_extend_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        terminal, "LOOK_DEADLINE", 0.02
    )  # real seconds, as the look takes real time

    async def proxy(request: httpx.Request) -> httpx.Response:
        operation = request.url.path.rpartition("/")[2]
        if operation == "view":
            await anyio.sleep_forever()
        return {"create": session_opened(), "exec": RUNNING}[operation]

    async with client_over(proxy) as client:
        with anyio.fail_after(5):
            result = await client.run("box", "make", wait=0.01)

    assert result.status.state == "running"
    assert "time-out" in result.read_error


async def test_an_endless_view_does_not_extend_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (remote_command, terminal, cancellation):
        monkeypatch.setattr(module, "FIRST_LOOK_DEADLINE", 0.02)  # real seconds
        monkeypatch.setattr(module, "LOOK_DEADLINE", 0.02)
    monkeypatch.setattr(terminal, "SIGNAL_DEADLINE", 0.02)

    async def proxy(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    async with client_over(proxy) as client:
        with anyio.fail_after(5):
            with pytest.raises(DeadlineExceeded, match="time-out"):
                await client.output("box", SESSION, wait=0.01)
            with pytest.raises(DeadlineExceeded, match="time-out"):
                await client.cancel("box", SESSION)


async def test_an_unreachable_proxy_still_returns_the_session(clock: FakeClock) -> None:
    views: list[Answer] = [view_of("a"), httpx.ConnectError("x")]

    result = await send(RouteStub({EXEC: RUNNING, VIEW: views}), clock)

    assert (result.status.state, result.output.text) == ("running", "a")
    assert "cannot be reached" in result.read_error


async def test_a_wait_without_a_limit_gives_up_after_ten_minutes_without_an_answer(
    clock: FakeClock,
) -> None:
    views: list[Answer] = [view_of("a"), httpx.ConnectError("x")]

    result = await send(RouteStub({EXEC: RUNNING, VIEW: views}), clock, wait_seconds=None)

    assert (result.status.state, result.session) == ("running", SESSION)
    assert 600 <= result.unread_for < 605
    assert "cannot be reached" in result.read_error


async def test_ten_minutes_count_from_the_last_answer(clock: FakeClock) -> None:
    refused = [httpx.ConnectError("x")] * 400
    views: list[Answer] = [*refused, view_of("a"), *refused, view_of("b", "completed", 0)]

    result = await send(RouteStub({EXEC: RUNNING, VIEW: views}), clock, wait_seconds=None)

    assert sum(clock.slept) > 600
    assert (result.status.state, result.read_error) == ("completed", "")


@pytest.mark.parametrize("wait_seconds", [45, None], ids=["with a limit", "without"])
async def test_a_retry_after_longer_than_a_wait_ends_it(
    wait_seconds: float | None, clock: FakeClock
) -> None:
    views: list[Answer] = [view_of("a"), error_reply(429, "slow down", retry_after="3600")]

    result = await send(RouteStub({EXEC: RUNNING, VIEW: views}), clock, wait_seconds=wait_seconds)

    assert result.read_error.endswith("slow down (the proxy asks to wait 3600 s)")
    assert sum(clock.slept) < 5


async def test_a_retry_after_within_a_wait_is_waited_for(clock: FakeClock) -> None:
    busy = error_reply(429, "slow down", retry_after="20")
    views: list[Answer] = [busy, view_of("a", "completed", 0)]

    result = await send(RouteStub({EXEC: RUNNING, VIEW: views}), clock)

    assert (result.status.state, result.read_error) == ("completed", "")
    assert 20.0 in clock.slept


@in_both_profiles
async def test_a_pause_during_a_command_ends_the_wait_and_names_the_session(
    profile: Profile,
) -> None:
    views = [view_of("a"), error_reply(503, "Sandbox not ready")]
    proxy = RouteStub({EXEC: RUNNING, VIEW: views, GET: profile.paused.response()})

    with pytest.raises(Paused, match="no result") as caught:
        await send(proxy)

    assert caught.value.session == SESSION


async def test_progress_shows_the_last_line_of_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polling, "REPORT_INTERVAL", 0)
    reported, progress = anyio.Event(), RecordedProgress()

    async def report(elapsed: float, limit: float | None, reason: str) -> None:
        await progress(elapsed, limit, reason)
        if reason == f"last line: step {masked(KEY, KEY)}":
            reported.set()

    async def proxy(request: httpx.Request) -> httpx.Response:
        operation = request.url.path.rpartition("/")[2]
        if operation != "view":
            return {"create": session_opened(), "exec": RUNNING}[operation]
        views.append(None)
        if len(views) > 1:
            await reported.wait()
            return view_of("", "completed", 0)
        return view_of(f"step 1\n\x1b[1mstep {KEY}\x1b[0m\n")

    views: list[None] = []
    async with client_over(proxy) as client:
        with anyio.fail_after(5):
            await client.run("box", "make", on_progress=report)

    assert {limit for _, limit, _ in progress.reports} == {45.0}
    assert set(progress.reasons) >= {f"last line: step {masked(KEY, KEY)}"}, "the command's words"


async def test_progress_comes_at_least_every_two_seconds() -> None:
    assert polling.REPORT_INTERVAL < 2.0


async def test_a_listener_gets_the_session_and_then_each_character_once() -> None:
    received: list[str] = []
    views = [view_of("a"), view_of("a"), view_of("abc"), view_of("abcd", "completed", 0)]

    async with client_over(RouteStub({EXEC: RUNNING, VIEW: views})) as client:
        await client.run(
            "box",
            "make",
            on_session=received.append,
            on_output=lambda chunk: received.append(chunk.text),
        )

    assert received == [SESSION, "a", "bc", "d"]


async def test_a_cancelled_call_does_not_kill_the_command() -> None:
    proxy = RouteStub({EXEC: RUNNING, VIEW: view_of("a")})
    async with client_over(proxy) as client:
        with anyio.CancelScope() as scope:

            def stop(_: OutputChunk) -> None:
                scope.cancel()

            await client.run("box", "make", on_output=stop)

    assert scope.cancelled_caught
    assert KILL not in proxy.asked


async def test_output_waits_for_new_characters() -> None:
    views = [view_of("abc"), view_of("abc"), view_of("abcd")]
    proxy = RouteStub({VIEW: views})

    result = await output(proxy, after=3)

    assert (result.status.state, result.output.text) == ("running", "d")
    assert result.seconds == pytest.approx(0.02 + 0.04 + LINGER), "for what follows it"


async def test_existing_output_is_returned_at_once(clock: FakeClock) -> None:
    result = await output(RouteStub({VIEW: view_of("abc")}), clock)

    assert result.output.text == "abc"
    assert clock.slept == []


async def test_a_wait_for_output_ends_at_its_limit(
    clock: FakeClock,
) -> None:
    result = await output(RouteStub({VIEW: view_of("abc")}), clock, after=3, wait_seconds=7)

    assert result.status.state == "running"
    assert sum(clock.slept) == pytest.approx(7)


@pytest.mark.parametrize(
    ("view", "state", "code"),
    [
        (view_of("abc", "completed", 5), "completed", 5),
        (view_of("abc", "terminated"), "killed", None),
        (view_of("abc", "hard_timeout"), "killed", None),
        (unused_session(), "empty", None),
    ],
)
async def test_output_returns_the_end_of_the_command(
    view: httpx.Response, state: str, code: int | None
) -> None:
    result = await output(RouteStub({VIEW: view}), after=100)

    assert (result.status.state, result.status.exit_code) == (state, code)


async def test_an_unknown_session_advises_to_list_sessions() -> None:
    with pytest.raises(SessionNotFound, match="no such session") as caught:
        await output(RouteStub({VIEW: NO_SESSION}))

    assert "{sessions}" in caught.value.advice


@pytest.mark.parametrize(("argument", "positions"), [("after", (-1, 0)), ("stderr_after", (0, -1))])
async def test_a_negative_position_is_refused(argument: str, positions: tuple[int, int]) -> None:
    after, stderr_after = positions

    async with client_over(RouteStub({})) as client:
        with pytest.raises(InvalidInput, match=f"^{argument} has value -1"):
            await client.output("box", SESSION, after=after, stderr_after=stderr_after)


async def test_cancel_types_ctrl_c_and_then_kills(clock: FakeClock) -> None:
    proxy = RouteStub({VIEW: view_of("x"), TYPE: session_opened(), KILL: session_opened()})

    result = await cancel(proxy, clock)

    sent = [route for route in proxy.asked if route != VIEW]
    assert (sent, result.signals) == ([TYPE, KILL, KILL], ("SIGINT", "SIGTERM", "SIGKILL"))
    assert proxy.bodies[1] == {"id": SESSION, "input": "\x03", "press_enter": False}
    assert sum(clock.slept) == pytest.approx(3 + 5 + 7)
    assert result.status.state == "running"


async def test_cancel_ends_with_the_signal_that_ended_the_command() -> None:
    views = [view_of("so far\n"), view_of("so far\n^C"), view_of("so far\n^C", "completed", 130)]
    proxy = RouteStub({VIEW: views, TYPE: session_opened()})

    result = await cancel(proxy)

    assert proxy.asked == [VIEW, TYPE, VIEW, VIEW]
    assert (result.status.exit_code, result.output.text) == (130, "so far\n^C")
    assert result.signals == ("SIGINT",)


async def test_cancel_sends_only_the_requested_signals() -> None:
    proxy = RouteStub({VIEW: [view_of("x"), view_of("x", "terminated")], KILL: session_opened()})

    result = await cancel(proxy, signals=["SIGKILL"])

    assert proxy.asked == [VIEW, KILL, VIEW]
    assert (result.status.state, result.signals) == ("killed", ("SIGKILL",))


async def test_cancel_of_an_ended_command_sends_no_signal() -> None:
    proxy = RouteStub({VIEW: view_of("all\n", "completed", 0)})

    result = await cancel(proxy)

    assert set(proxy.asked) == {VIEW}
    assert result.was_over
    assert (result.status.exit_code, result.output.text) == (0, "all\n")


async def test_the_advice_for_a_command_that_a_pause_has_ended_is_not_to_try_again() -> None:
    refused = error_reply(503, "Sandbox not ready")
    answers: Answers = {VIEW: refused, SESSIONS: refused, GET: ALPHA_PAUSED.response()}

    async with client_over(RouteStub(answers)) as client:
        calls: list[Awaitable[object]] = [
            client.sessions("box"),
            client.cancel("box", SESSION),
            client.output("box", SESSION),
        ]
        for call in calls:
            with pytest.raises(Paused, match="its commands cannot be read") as caught:
                await call

            assert "nothing is left to read or to cancel" in caught.value.advice
            assert "try again" not in caught.value.advice


@pytest.mark.parametrize("lost", ["reset", "no JSON"])
async def test_a_kill_with_a_lost_reply_is_confirmed_by_the_session(lost: str) -> None:
    views = [view_of("x"), view_of("x", "terminated")]
    proxy = RouteStub({VIEW: views, KILL: LOST[lost], GET: ALPHA_READY.response()})

    result = await cancel(proxy, signals=["SIGKILL"])

    assert (result.status.state, result.read_error) == ("killed", "")
    assert proxy.asked.count(KILL) == 1


async def test_a_kill_that_is_lost_without_effect_is_sent_again() -> None:
    views = [view_of("x"), view_of("x"), view_of("x", "terminated")]
    proxy = RouteStub({VIEW: views, KILL: [html_page(504), session_opened()]})

    result = await cancel(proxy, signals=["SIGKILL"])

    assert result.status.state == "killed"
    assert proxy.asked.count(KILL) == 2


async def test_a_kill_that_is_always_lost_is_reported_with_its_reason(clock: FakeClock) -> None:
    proxy = RouteStub({VIEW: view_of("x"), KILL: html_page(504)})

    with pytest.raises(ProxyFailed, match="504") as caught:
        await cancel(proxy, clock, signals=["SIGKILL"])

    assert caught.value.printed == "x"
    assert proxy.asked.count(KILL) == 3


async def test_a_signal_to_a_command_that_has_just_ended_is_not_an_error() -> None:
    views = [view_of("x"), view_of("x", "completed", 0)]
    proxy = RouteStub({VIEW: views, TYPE: error_reply(400, "nothing runs")})

    result = await cancel(proxy)

    assert result.status.exit_code == 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(error_reply(400, "no"), ProxyRefused), (httpx.ConnectError("refused"), NotSent)],
    ids=["refused", "unreachable"],
)
async def test_a_signal_that_cannot_be_sent_is_an_error(
    answer: Answer, kind: type[SandboxError]
) -> None:
    proxy = RouteStub({VIEW: view_of("x"), TYPE: answer})

    with pytest.raises(kind):
        await cancel(proxy)

    assert KILL not in proxy.asked


async def test_a_missing_pipe_api_is_requested_again_after_some_minutes(
    clock: FakeClock,
) -> None:
    proxy = RouteStub({PIPE_OPEN: error_reply(404, "Not Found"), EXEC: executed("")})

    async with client_over(proxy, clock, pipes=True) as client:
        for seconds in (0, PIPES_RETRY_DELAY - 1, 1, 1):
            clock.now += seconds
            await client.run("box", "x")

    assert proxy.asked == [PIPE_OPEN, OPEN, EXEC, OPEN, EXEC, PIPE_OPEN, OPEN, EXEC, OPEN, EXEC]


async def test_the_id_of_a_session_shows_its_api() -> None:
    async with proxy_over(RouteStub({})) as proxy:
        prompts = Client(proxy).prompts

    assert re.fullmatch(r"command-[0-9a-f]{8}", prompts.new_id("command"))
    assert re.fullmatch(r"prompt-[0-9a-f]{8}", prompts.new_id("prompt"))
    assert prompts.new_id("prompt") != prompts.new_id("prompt")


@pytest.mark.parametrize("other", ["other", ": run-2; make"])
async def test_cancel_does_not_kill_a_later_command_of_the_session(other: str) -> None:
    views = [view_of("x", command=": run-1; make"), view_of("y", command=other, before=1)]
    proxy = RouteStub({VIEW: views, TYPE: session_opened()})

    result = await cancel(proxy)

    assert proxy.asked.count(TYPE) == 1
    assert KILL not in proxy.asked
    assert (result.status, result.printed) == (CommandStatus("completed", None, "make"), "x")


async def test_a_command_that_ended_just_before_a_signal_is_not_reported_as_killed() -> None:
    views = [view_of("x"), view_of("xy", "completed", 0)]
    proxy = RouteStub({VIEW: views, TYPE: error_reply(400, "No command runs")})

    result = await cancel(proxy)

    assert (result.was_over, result.signals, result.printed) == (True, (), "xy")


async def test_sessions_are_listed_with_their_last_command() -> None:
    listed = session_list(
        s1={"status": "completed", "last_used_at": "2026-01-01T00:00:00Z"},
        s2={"status": "running", "current_command": "x", "last_used_at": "2026-01-02T00:00:00Z"},
    )
    answers: Answers = {SESSIONS: listed, VIEW: view_of("a\n", "completed", 3)}

    async with client_over(RouteStub(answers)) as client:
        rows = await client.sessions("box")

    assert [row.id for row, _ in rows] == ["s2", "s1"]
    assert [seen and seen.status.exit_code for _, seen in rows] == [3, 3]


async def test_a_part_of_the_key_is_masked_in_a_list_of_sessions() -> None:
    row: dict[str, object] = {"status": "running", "current_command": f"echo {KEY[:30]}…"}

    async with client_over(RouteStub({SESSIONS: session_list(s1=row), VIEW: NO_SESSION})) as client:
        ((first, _),) = await client.sessions("box")

    assert first.command == "echo sk_live_……"


async def test_the_key_is_masked_in_a_list_of_sessions() -> None:
    row: dict[str, object] = {"status": "running", "current_command": f"echo {KEY}"}
    looks = [view_of(f"{KEY}\n", command=f"echo {KEY}"), NO_SESSION]
    proxy = RouteStub({SESSIONS: session_list(s1=row, s2=row), VIEW: looks})

    async with client_over(proxy) as client:
        (first, seen), (second, unread) = await client.sessions("box")

    assert seen is not None
    command = "echo sk_live_…"
    assert (seen.printed, seen.status.command) == (f"{masked(KEY, KEY)}\n", command)
    assert (first.command, second.command, unread) == (command, command, None)


async def test_only_the_first_sessions_of_a_long_list_are_read() -> None:
    many: dict[str, dict[str, object]] = {f"s{n}": {"status": "completed"} for n in range(500)}
    proxy = RouteStub({SESSIONS: session_list(**many), VIEW: NO_SESSION})

    async with client_over(proxy) as client:
        rows = await client.sessions("box")

    assert len(rows) == 500
    assert len(proxy.asked) <= 21
