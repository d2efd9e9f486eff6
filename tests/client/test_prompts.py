"""Commands that outlive the call: started once, followed, found again, cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import _prompts, _proxy, _waiting
from sandbox_client._errors import (
    CommandLost,
    InvalidInput,
    KeyRejected,
    NotReady,
    NotYours,
    Paused,
    ProxyFailed,
    SandboxError,
    SessionBusy,
    SessionGone,
    Undelivered,
)
from sandbox_client._watch import GAP, Audience

from tests.client.doubles import (
    EXEC,
    KILL,
    MARK,
    OPEN,
    SESSION,
    SESSIONS,
    VIEW,
    Answer,
    Answers,
    Clock,
    Reports,
    Routes,
    client_over,
    opened,
    page,
    ran,
    says,
    sessions,
    unused,
    viewed,
)
from tests.client.states import ALPHA_READY, PROFILES, Profile

if TYPE_CHECKING:
    from sandbox_client._prompts import Prompt

GET = "GET /api/sandboxes/box"
RUNNING = ran("", None, "running")
NO_SESSION = says(404, f"Session not found: {SESSION}")
LOST: dict[str, Answer] = {
    "load balancer's 504": page(504),
    "proxy's 504": says(504, "The runtime did not answer within 300 s"),
    "502": page(502),
    "500 as deployed": says(500, "fetch failed"),
    "reset": httpx.ReadError("reset"),
    "late": httpx.ReadTimeout("late"),
    "cut": httpx.RemoteProtocolError("Server disconnected"),
    "no JSON": httpx.Response(200, text="ok"),
    "no status": httpx.Response(200, json={"success": True, "data": {}}),
    "too large": httpx.Response(200, content=b"x" * (_proxy.MAX_REPLY_BYTES + 1)),
}
in_each_way = pytest.mark.parametrize("lost", LOST)
in_both_profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda it: str(it.name))


async def send(
    proxy: Routes,
    clock: Clock | None = None,
    *,
    session: str | None = None,
    wait_seconds: float | None = 45,
    reports: Reports | None = None,
) -> Prompt:
    async with client_over(proxy, clock) as client:
        return await client.prompts.send(
            "box",
            "make",
            session=session,
            wait_seconds=wait_seconds,
            audience=Audience(reports or Reports()),
        )


async def output(
    proxy: Routes, clock: Clock | None = None, *, after: int = 0, wait_seconds: float = 45
) -> Prompt:
    async with client_over(proxy, clock) as client:
        return await client.prompts.output(
            "box", SESSION, after=after, wait_seconds=wait_seconds, audience=Audience(Reports())
        )


async def test_the_session_is_there_before_the_command_is_sent() -> None:
    proxy = Routes({EXEC: RUNNING, VIEW: viewed("hi\n", "completed", 0)})

    await send(proxy)

    assert proxy.asked == [OPEN, EXEC, VIEW]
    assert proxy.bodies[0] == {"id": SESSION}
    assert proxy.bodies[1] == {
        "id": SESSION,
        "command": "make",
        "async_mode": True,
        "truncate": False,
    }


async def test_a_command_that_ends_in_time_is_answered_whole(clock: Clock) -> None:
    views = [viewed("a"), viewed("ab"), viewed("abc\n", "completed", 2)]

    prompt = await send(Routes({EXEC: RUNNING, VIEW: views}), clock)

    assert (prompt.name, prompt.session) == ("box", SESSION)
    assert (prompt.seen.state, prompt.seen.output, prompt.seen.exit_code) == (
        "completed",
        "abc\n",
        2,
    )
    assert prompt.seconds == pytest.approx(sum(clock.slept))
    assert clock.slept


async def test_a_runtime_that_knows_no_asynchronous_mode_is_taken_at_its_word() -> None:
    proxy = Routes({EXEC: ran("all at once\n", 0)})

    prompt = await send(proxy)

    assert (prompt.seen.state, prompt.seen.output) == ("completed", "all at once\n")
    assert proxy.asked == [OPEN, EXEC]


@pytest.mark.parametrize("wait_seconds", [0.0, 3.0, 45.0, 240.0])
async def test_a_command_that_takes_longer_is_a_handle_after_that_time(
    wait_seconds: float, clock: Clock
) -> None:
    proxy = Routes({EXEC: RUNNING, VIEW: viewed("so far\n")})

    prompt = await send(proxy, clock, wait_seconds=wait_seconds)

    assert prompt.seen.state == "running"
    assert prompt.session == SESSION
    assert prompt.seconds == pytest.approx(wait_seconds)
    assert sum(clock.slept) == pytest.approx(wait_seconds)
    assert prompt.seen.output == ("so far\n" if wait_seconds else "")


async def test_not_waiting_at_all_asks_no_more_than_it_takes_to_start() -> None:
    proxy = Routes({EXEC: RUNNING})

    await send(proxy, wait_seconds=0)

    assert proxy.asked == [OPEN, EXEC]


async def test_looks_are_close_at_first_and_a_second_apart_later(clock: Clock) -> None:
    await send(Routes({EXEC: RUNNING, VIEW: viewed()}), clock, wait_seconds=10)

    assert clock.slept[:5] == [0.02, 0.04, 0.08, 0.16, 0.32]
    assert max(clock.slept) <= 1.0


async def test_looking_at_a_long_output_does_not_take_all_the_time(clock: Clock) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/view"):
            clock.now += 2.0
        return Routes({EXEC: RUNNING, VIEW: viewed()})(request)

    async with client_over(slow, clock) as client:
        await client.prompts.send("box", "make", wait_seconds=200, audience=Audience(Reports()))

    assert clock.slept[2] == pytest.approx(5.0), "but no longer than is reasonable"


@in_each_way
async def test_a_lost_answer_leaves_a_handle_that_works_and_nothing_runs_twice(lost: str) -> None:
    views = [unused(), viewed("hi\n"), viewed("hi\n", "completed", 0)]
    proxy = Routes({EXEC: LOST[lost], VIEW: views, GET: ALPHA_READY.response()})

    prompt = await send(proxy)

    assert (prompt.seen.state, prompt.seen.exit_code) == ("completed", 0)
    assert proxy.asked.count(EXEC) == 1


@in_each_way
async def test_a_command_that_never_arrives_is_an_error_with_the_handle(
    lost: str, clock: Clock
) -> None:
    proxy = Routes({EXEC: LOST[lost], VIEW: unused(), GET: ALPHA_READY.response()})

    with pytest.raises(CommandLost) as caught:
        await send(proxy, clock)

    assert f"session '{SESSION}' shows no sign of it" in caught.value.message
    assert "{output}" in caught.value.advice
    assert not caught.value.retryable
    assert proxy.asked.count(EXEC) == 1
    assert 10 <= sum(clock.slept) <= 12


OURS = f": {MARK}; make"


async def test_a_lost_answer_in_a_used_session_is_not_mistaken_for_another_command() -> None:
    before = viewed("old\n", "completed", 0, command="make", before=1)
    others = viewed("theirs\n", "completed", 0, command=": run-2; make", before=2)
    after = viewed("new\n", "completed", 7, command=OURS, before=3)
    proxy = Routes({EXEC: page(504), VIEW: [before, before, others, after]})

    prompt = await send(proxy, session="s1")

    assert (prompt.seen.output, prompt.seen.exit_code) == ("new\n", 7)
    assert proxy.asked == [OPEN, VIEW, EXEC, VIEW, VIEW, VIEW]


async def test_another_clients_command_is_never_reported_as_ones_own(clock: Clock) -> None:
    others = viewed("theirs\n", "completed", 0, command=": run-2; make", before=2)
    proxy = Routes({EXEC: page(504), VIEW: [unused(), others]})

    with pytest.raises(CommandLost, match="shows no sign of it"):
        await send(proxy, clock, session="s1")


async def test_a_session_that_goes_on_to_another_command_does_not_take_the_wait_along() -> None:
    ours = viewed("ours\n", command=OURS)
    others = viewed("theirs\n", command="other", before=1)
    proxy = Routes({EXEC: RUNNING, VIEW: [unused(), ours, others]})

    prompt = await send(proxy, session="s1")

    assert (prompt.seen.state, prompt.seen.output) == ("completed", "ours\n")
    assert prompt.seen.exit_code is None, "which nobody knows any more"


async def test_an_answer_that_may_have_been_cut_is_looked_at_whole() -> None:
    whole = "x" * 100_000
    proxy = Routes({EXEC: ran(whole[:30_000]), VIEW: viewed(whole, "completed", 0)})

    prompt = await send(proxy)

    assert len(prompt.seen.output) == 100_000


async def test_what_was_printed_before_a_pause_is_told_with_the_error() -> None:
    paused = PROFILES[0].paused.response()
    views = [viewed("so far\n"), says(503, "Sandbox not ready")]

    with pytest.raises(Paused) as caught:
        await send(Routes({EXEC: RUNNING, VIEW: views, GET: paused}))

    assert caught.value.printed == "so far\n"
    assert "ended with the pause" in caught.value.advice


async def test_a_cancelled_call_knows_whether_its_command_runs_before_it_ends() -> None:
    asked: list[str] = []
    arrived, answered = anyio.Event(), anyio.Event()

    async def proxy(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rpartition("/")[2])
        if asked[-1] == "exec":
            arrived.set()
            await answered.wait()
            return RUNNING
        return opened("s1") if asked[-1] == "create" else unused()

    async with client_over(proxy) as client:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:

                async def start() -> None:
                    with anyio.CancelScope() as scope:
                        scopes.append(scope)
                        await client.prompts.send(
                            "box", "a", session="s1", audience=Audience(Reports())
                        )

                scopes: list[anyio.CancelScope] = []
                tasks.start_soon(start)
                await arrived.wait()
                scopes[0].cancel()
                with pytest.raises(SessionBusy):  # it is not over while its command is on the way
                    await client.prompts.send(
                        "box", "b", session="s1", audience=Audience(Reports())
                    )
                answered.set()

    assert asked.count("exec") == 1


async def test_a_command_whose_session_cannot_be_looked_at_says_so(clock: Clock) -> None:
    proxy = Routes({EXEC: page(504), VIEW: httpx.ConnectError("down")})

    with pytest.raises(CommandLost, match="cannot be looked at"):
        await send(proxy, clock)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(401, "expired"), KeyRejected),
        (says(403, "no"), NotYours),
        (says(409, "Session s1 still runs a command: x"), SessionBusy),
        (NO_SESSION, SessionGone),
        (httpx.ConnectError("refused"), Undelivered),
        (httpx.Response(200, json={"success": False, "message": "no shell"}), ProxyFailed),
    ],
    ids=["401", "403", "409", "404", "refused", "success false"],
)
async def test_a_command_that_was_certainly_not_run_is_not_looked_for(
    answer: Answer, kind: type[SandboxError]
) -> None:
    proxy = Routes({EXEC: answer})

    with pytest.raises(kind):
        await send(proxy)

    assert proxy.asked == [OPEN, EXEC]


@in_both_profiles
@pytest.mark.parametrize("route", [OPEN, EXEC])
@pytest.mark.parametrize(
    "answer", [says(503, "Sandbox not ready"), says(500, "fetch failed")], ids=["503", "deployed"]
)
async def test_a_prompt_to_a_paused_sandbox_says_to_resume_it_first(
    profile: Profile, route: str, answer: httpx.Response
) -> None:
    proxy = Routes({route: answer, VIEW: answer, GET: profile.paused.response()})

    with pytest.raises(Paused, match="'box' is paused") as caught:
        await send(proxy)

    assert "{resume}" in caught.value.advice
    # After a 500 to the command itself, a second time may be one too many.
    is_open = route == EXEC and answer.status_code == 500
    assert ("What ran has ended" in caught.value.advice) == is_open
    assert ("the command was not run" in caught.value.message) != is_open


@in_both_profiles
async def test_a_prompt_to_a_starting_sandbox_says_to_wait(profile: Profile) -> None:
    proxy = Routes({OPEN: says(503, "Sandbox not ready"), GET: profile.starting.response()})

    with pytest.raises(NotReady, match="starting: Pod is Running but not Ready") as caught:
        await send(proxy)

    assert not isinstance(caught.value, Paused)
    assert "the command was not run" in caught.value.message
    assert "10 to 30 s" in caught.value.advice


@in_both_profiles
@pytest.mark.parametrize("answer", [says(503, "Sandbox not ready"), says(500, "fetch failed")])
async def test_a_prompt_to_a_failed_sandbox_says_that_waiting_does_not_help(
    profile: Profile, answer: Answer
) -> None:
    with pytest.raises(NotReady, match="is failed") as caught:
        await send(Routes({OPEN: answer, GET: profile.failed.response()}))

    assert "Waiting does not help" in caught.value.advice
    assert not caught.value.retryable


@pytest.mark.parametrize("look", [says(500, "down"), page(502), says(401, "expired")])
async def test_a_status_that_cannot_be_read_does_not_hide_the_prompts_own_failure(
    look: httpx.Response,
) -> None:
    with pytest.raises(NotReady, match="'box' is not ready"):
        await send(Routes({OPEN: says(503, "Sandbox not ready"), GET: look}))


async def test_a_session_that_is_busy_runs_nothing_else() -> None:
    proxy = Routes({VIEW: viewed("x", command="sleep 60")})

    with pytest.raises(SessionBusy, match="'s1' of sandbox 'box' runs 'sleep 60'"):
        await send(proxy, session="s1")

    assert EXEC not in proxy.asked


async def test_two_commands_at_once_in_one_session_never_overlap() -> None:
    arrived, go_on = anyio.Event(), anyio.Event()
    asked: list[str] = []

    async def proxy(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rpartition("/")[2])
        if asked[-1] == "create":
            return opened("s1")
        if asked[-1] == "exec":
            arrived.set()
            await go_on.wait()
            return ran("first\n")
        return unused()

    async with client_over(proxy) as client:
        first: list[Prompt] = []

        async def start() -> None:
            first.append(
                await client.prompts.send("box", "a", session="s1", audience=Audience(Reports()))
            )

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start)
                await arrived.wait()
                with pytest.raises(SessionBusy):
                    await client.prompts.send(
                        "box", "b", session="s1", audience=Audience(Reports())
                    )
                go_on.set()

    assert first[0].seen.output == "first\n"
    assert asked.count("exec") == 1


async def test_a_proxy_that_fails_for_a_while_only_delays_the_next_look(clock: Clock) -> None:
    views: list[Answer] = [
        viewed("a"),
        *[httpx.ConnectError("x")] * 4,
        viewed("ab", "completed", 0),
    ]

    prompt = await send(Routes({EXEC: RUNNING, VIEW: views}), clock)

    assert (prompt.seen.output, prompt.unseen) == ("ab", "")


async def test_a_look_that_hangs_does_not_lengthen_the_wait_by_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_prompts, "LOOK_DEADLINE", 0.02)  # real seconds, which the look takes

    async def proxy(request: httpx.Request) -> httpx.Response:
        operation = request.url.path.rpartition("/")[2]
        if operation == "view":
            await anyio.sleep_forever()
        return {"create": opened(), "exec": RUNNING}[operation]

    async with client_over(proxy) as client:
        with anyio.fail_after(5):
            prompt = await client.prompts.send(
                "box", "make", wait_seconds=0.01, audience=Audience(Reports())
            )

    assert prompt.seen.state == "running"
    assert "time-out" in prompt.unseen


async def test_a_proxy_that_stays_away_still_leaves_the_handle(clock: Clock) -> None:
    views: list[Answer] = [viewed("a"), httpx.ConnectError("x")]

    prompt = await send(Routes({EXEC: RUNNING, VIEW: views}), clock)

    assert (prompt.seen.state, prompt.seen.output) == ("running", "a")
    assert "cannot be reached" in prompt.unseen


@in_both_profiles
@pytest.mark.parametrize(
    "answer", [says(503, "Sandbox not ready"), says(500, "fetch failed")], ids=["503", "deployed"]
)
async def test_a_pause_under_a_command_ends_the_wait_and_names_the_session(
    profile: Profile, answer: Answer
) -> None:
    proxy = Routes({EXEC: RUNNING, VIEW: [viewed("a"), answer], GET: profile.paused.response()})

    with pytest.raises(Paused, match="no result") as caught:
        await send(proxy)

    assert SESSION in caught.value.advice


async def test_a_kill_that_is_lost_on_the_way_is_sent_again(reports: Reports) -> None:
    views = [viewed("x"), viewed("x"), viewed("x", "terminated")]
    proxy = Routes({VIEW: views, KILL: [page(504), opened()]})

    async with client_over(proxy) as client:
        prompt = await client.prompts.cancel("box", SESSION, report=reports)

    assert prompt.seen.state == "killed"
    assert proxy.asked.count(KILL) == 2


async def test_a_command_that_cannot_be_killed_is_told_with_the_reason(
    clock: Clock, reports: Reports
) -> None:
    proxy = Routes({VIEW: viewed("x"), KILL: page(504)})

    async with client_over(proxy, clock) as client:
        prompt = await client.prompts.cancel("box", SESSION, report=reports)

    assert prompt.seen.state == "running"
    assert "504" in prompt.unseen


async def test_a_report_tells_the_last_line_of_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_waiting, "REPORT_INTERVAL", 0)
    told, reports = anyio.Event(), Reports()

    async def report(elapsed: float, limit: float | None, reason: str) -> None:
        await reports(elapsed, limit, reason)
        if reason == "step 2":
            told.set()

    async def proxy(request: httpx.Request) -> httpx.Response:
        operation = request.url.path.rpartition("/")[2]
        if operation != "view":
            return {"create": opened(), "exec": RUNNING}[operation]
        views.append(None)
        if len(views) > 1:
            await told.wait()
            return viewed("", "completed", 0)
        return viewed("step 1\n\x1b[1mstep 2\x1b[0m\n")

    views: list[None] = []
    async with client_over(proxy) as client:
        with anyio.fail_after(5):
            await client.prompts.send("box", "make", audience=Audience(report))

    assert {limit for _, limit, _ in reports.told} == {45.0}
    assert set(reports.reasons) >= {"step 2"}


async def test_progress_comes_at_least_every_two_seconds() -> None:
    assert _waiting.REPORT_INTERVAL < 2.0


async def test_the_audience_hears_the_session_first_and_then_each_character_once() -> None:
    heard: list[str] = []
    views = [viewed("a"), viewed("a"), viewed("abc"), viewed("abcd", "completed", 0)]

    async with client_over(Routes({EXEC: RUNNING, VIEW: views})) as client:
        audience = Audience(Reports(), opened=heard.append, hear=heard.append)
        await client.prompts.send("box", "make", audience=audience)

    assert heard == [SESSION, "a", "bc", "d"]


async def test_what_the_runtime_leaves_out_is_not_passed_over_in_silence() -> None:
    heard: list[str] = []
    views = [viewed("0123456789"), viewed("01234[…]xy"), viewed("01234[…]yz", "completed", 0)]

    async with client_over(Routes({EXEC: RUNNING, VIEW: views})) as client:
        audience = Audience(Reports(), hear=heard.append)
        await client.prompts.send("box", "make", audience=audience)

    assert heard == ["0123456789", f"{GAP}01234[…]yz"]


async def test_a_cancelled_call_stops_waiting_and_kills_nothing() -> None:
    proxy = Routes({EXEC: RUNNING, VIEW: viewed("a")})
    async with client_over(proxy) as client:
        with anyio.CancelScope() as scope:

            def stop(_: str) -> None:
                scope.cancel()

            await client.prompts.send("box", "make", audience=Audience(Reports(), hear=stop))

    assert scope.cancelled_caught
    assert KILL not in proxy.asked


async def test_output_waits_for_more_than_is_known() -> None:
    views = [viewed("abc"), viewed("abc"), viewed("abcd")]
    proxy = Routes({VIEW: views})

    prompt = await output(proxy, after=3)

    assert (prompt.seen.state, prompt.seen.output) == ("running", "abcd")
    assert proxy.asked == [VIEW] * 3


async def test_output_that_is_there_is_not_waited_for(clock: Clock) -> None:
    prompt = await output(Routes({VIEW: viewed("abc")}), clock)

    assert prompt.seen.output == "abc"
    assert clock.slept == []


async def test_output_that_does_not_come_is_waited_for_so_long_and_no_longer(
    clock: Clock,
) -> None:
    prompt = await output(Routes({VIEW: viewed("abc")}), clock, after=3, wait_seconds=7)

    assert prompt.seen.state == "running"
    assert sum(clock.slept) == pytest.approx(7)


@pytest.mark.parametrize(
    ("view", "state", "code"),
    [
        (viewed("abc", "completed", 5), "completed", 5),
        (viewed("abc", "terminated"), "killed", None),
        (viewed("abc", "hard_timeout"), "killed", None),
        (unused(), "empty", None),
    ],
)
async def test_output_says_whether_it_ended_or_was_killed(
    view: httpx.Response, state: str, code: int | None
) -> None:
    prompt = await output(Routes({VIEW: view}), after=100)

    assert (prompt.seen.state, prompt.seen.exit_code) == (state, code)


async def test_a_session_that_is_gone_says_where_to_look() -> None:
    with pytest.raises(SessionGone, match="no such session") as caught:
        await output(Routes({VIEW: NO_SESSION}))

    assert "{sessions}" in caught.value.advice


async def test_less_than_nothing_cannot_be_known() -> None:
    with pytest.raises(InvalidInput, match="after has value -1"):
        await output(Routes({}), after=-1)


async def test_cancel_kills_and_gives_what_was_printed(reports: Reports) -> None:
    views = [viewed("so far\n"), viewed("so far\n"), viewed("so far\n^C", "terminated")]
    proxy = Routes({VIEW: views, KILL: opened()})

    async with client_over(proxy) as client:
        prompt = await client.prompts.cancel("box", SESSION, report=reports)

    assert (prompt.seen.state, prompt.seen.output) == ("killed", "so far\n^C")
    assert proxy.asked == [VIEW, KILL, VIEW, VIEW]


async def test_cancel_of_what_has_ended_kills_nothing(reports: Reports) -> None:
    proxy = Routes({VIEW: viewed("all\n", "completed", 0)})

    async with client_over(proxy) as client:
        prompt = await client.prompts.cancel("box", SESSION, report=reports)

    assert (prompt.seen.state, prompt.seen.exit_code, prompt.was_over) == ("completed", 0, True)
    assert proxy.asked == [VIEW]


@in_each_way
async def test_a_kill_whose_answer_is_lost_is_known_by_the_session(
    lost: str, reports: Reports
) -> None:
    views = [viewed("x"), viewed("x", "terminated")]
    proxy = Routes({VIEW: views, KILL: LOST[lost], GET: ALPHA_READY.response()})

    async with client_over(proxy) as client:
        prompt = await client.prompts.cancel("box", SESSION, report=reports)

    assert prompt.seen.state == "killed"
    assert proxy.asked.count(KILL) == 1


async def test_what_runs_and_what_ended_is_listed_with_how_it_ended() -> None:
    listed = sessions(
        s1={"status": "completed", "last_used_at": "2026-01-01T00:00:00Z"},
        s2={"status": "running", "current_command": "x", "last_used_at": "2026-01-02T00:00:00Z"},
    )
    answers: Answers = {SESSIONS: listed, VIEW: viewed("a\n", "completed", 3)}

    async with client_over(Routes(answers)) as client:
        rows = await client.prompts.sessions("box")

    assert [row.id for row, _ in rows] == ["s2", "s1"]
    assert [seen and seen.exit_code for _, seen in rows] == [3, 3]


async def test_a_list_of_very_many_sessions_is_not_looked_into_one_by_one() -> None:
    many: dict[str, dict[str, object]] = {f"s{n}": {"status": "completed"} for n in range(500)}
    proxy = Routes({SESSIONS: sessions(**many), VIEW: NO_SESSION})

    async with client_over(proxy) as client:
        rows = await client.prompts.sessions("box")

    assert len(rows) == 500
    assert len(proxy.asked) <= 21
