"""The seven verbs, in both profiles, over a proxy that is played."""

from __future__ import annotations

from dataclasses import replace

import anyio
import httpx
import pytest
from sandbox_client import _lifecycle, _proxy, _sandboxes
from sandbox_client._errors import (
    AlreadyExists,
    BrokenReply,
    InvalidInput,
    NotReady,
    NotYours,
    Paused,
    ProxyFailed,
    ProxyUnreachable,
    QuotaReached,
    SandboxError,
)
from sandbox_client._lifecycle import State
from sandbox_client._refusal import COMMAND_MAY_RUN

from tests.client.doubles import (
    CONFIG,
    Answer,
    Clock,
    Reports,
    Routes,
    done,
    made,
    page,
    ran,
    sandboxes_over,
    says,
)
from tests.client.states import (
    ALPHA,
    ALPHA_PAUSED,
    ALPHA_PENDING,
    ALPHA_READY,
    ALPHA_STALE,
    PROFILES,
    Profile,
)

GET = "GET /api/sandboxes/box"
LIST = "GET /api/sandboxes"
CREATE = "POST /api/sandboxes"
EXEC = "POST /proxy/box/v1/shell/exec"
RESUME = "POST /api/sandboxes/box/resume"

in_both_profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda it: str(it.name))


def listing(*rows: dict[str, object]) -> httpx.Response:
    return httpx.Response(200, json={"count": len(rows), "sandboxes": rows})


@in_both_profiles
async def test_create_waits_through_the_states_until_ready(
    profile: Profile, clock: Clock, reports: Reports
) -> None:
    states = [profile.new, profile.pending, profile.starting, profile.ready]
    proxy = Routes({CREATE: made(image="aio:1"), GET: [each.response() for each in states]})

    async with sandboxes_over(proxy, clock) as sandboxes:
        image, outcome = await sandboxes.create("box", image=None, port=None, report=reports)

    assert (image, outcome.ready) == ("aio:1", True)
    assert outcome.waited == sum(clock.slept) > 0
    assert proxy.asked == [CREATE, GET, GET, GET, GET]
    assert [reason.split(":")[0] for reason in reports.reasons] == [
        "pending",
        "pending",
        "starting",
    ]


@in_both_profiles
async def test_create_tells_the_truth_when_readiness_does_not_come(
    profile: Profile, clock: Clock, reports: Reports
) -> None:
    proxy = Routes({CREATE: made(), GET: profile.pending.response()})

    async with sandboxes_over(proxy, clock) as sandboxes:
        _, outcome = await sandboxes.create("box", image=None, port=None, report=reports)

    assert not outcome.ready
    assert outcome.waited == pytest.approx(60)
    assert "Pending" in outcome.reason


@pytest.mark.parametrize(
    ("image", "port", "body"),
    [
        (None, None, {"name": "box", "image": "default:1", "port": 7}),
        ("", None, {"name": "box", "image": "default:1", "port": 7}),
        ("mine:2", 80, {"name": "box", "image": "mine:2", "port": 80}),
    ],
    ids=["defaults", "blank image", "given"],
)
async def test_create_sends_what_was_given_or_else_the_configured_defaults(
    image: str | None, port: int | None, body: object, reports: Reports
) -> None:
    proxy = Routes({CREATE: made(), GET: ALPHA_READY.response()})
    config = replace(CONFIG, default_image="default:1", default_port=7)

    async with sandboxes_over(proxy, config=config) as sandboxes:
        await sandboxes.create("box", image=image, port=port, report=reports)

    assert proxy.bodies[0] == body


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_a_port_that_cannot_be_is_refused_and_not_replaced(
    port: int, reports: Reports
) -> None:
    proxy = Routes({CREATE: made(), GET: ALPHA_READY.response()})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(InvalidInput, match=f"port has value {port}"):
            await sandboxes.create("box", image=None, port=port, report=reports)

    assert proxy.asked == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(409, "Sandbox 'box' already exists"), AlreadyExists),
        (says(403, "Quota reached"), QuotaReached),
        (says(500, "exceeded quota"), QuotaReached),
        (page(502), ProxyFailed),
        (httpx.ReadError("reset"), ProxyUnreachable),
        (httpx.Response(201, text="created"), BrokenReply),
    ],
    ids=["409", "quota", "quota as deployed", "502", "reset", "no JSON"],
)
async def test_a_create_that_fails_is_sent_once_and_not_waited_for(
    answer: Answer, kind: type[SandboxError], reports: Reports
) -> None:
    proxy = Routes({CREATE: answer})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(kind):
            await sandboxes.create("box", image=None, port=None, report=reports)

    assert proxy.asked == [CREATE]


@in_both_profiles
async def test_resume_waits_out_the_state_from_before_it(
    profile: Profile, clock: Clock, reports: Reports
) -> None:
    states = [profile.paused, profile.pending, profile.ready]
    proxy = Routes({RESUME: done(replicas=1), GET: [each.response() for each in states]})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.resume("box", report=reports)

    assert outcome.ready
    assert proxy.asked == [RESUME, GET, GET, GET]


async def test_resume_does_not_take_ready_without_a_replica_for_ready(reports: Reports) -> None:
    proxy = Routes({RESUME: done(), GET: [ALPHA_STALE.response(), ALPHA_READY.response()]})

    async with sandboxes_over(proxy) as sandboxes:
        outcome = await sandboxes.resume("box", report=reports)

    assert outcome.ready
    assert proxy.asked.count(GET) == 2


async def test_a_sandbox_deleted_during_the_wait_ends_it(reports: Reports) -> None:
    proxy = Routes({RESUME: done(), GET: [ALPHA.pending.response(), says(403, "no access")]})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(NotYours):
            await sandboxes.resume("box", report=reports)


async def test_a_wait_outlives_a_proxy_that_fails_for_a_while(
    clock: Clock, reports: Reports
) -> None:
    answers: list[Answer] = [*[httpx.ConnectError("x")] * 4, ALPHA_READY.response()]
    proxy = Routes({RESUME: done(), GET: answers})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.resume("box", report=reports)

    assert outcome.ready
    assert "cannot be read" in reports.reasons[0]


@pytest.mark.parametrize("verb", ["delete", "pause"])
async def test_delete_and_pause_ask_once_and_believe_the_success(verb: str) -> None:
    route = "DELETE /api/sandboxes/box" if verb == "delete" else "POST /api/sandboxes/box/pause"
    proxy = Routes({route: done()})

    async with sandboxes_over(proxy) as sandboxes:
        await (sandboxes.delete("box") if verb == "delete" else sandboxes.pause("box"))

    assert proxy.asked == [route]


async def test_a_commands_failure_is_a_result(reports: Reports) -> None:
    async with sandboxes_over(Routes({EXEC: ran("no such file\n", 2)})) as sandboxes:
        result, seconds = await sandboxes.prompt("box", "cat x", report=reports)

    assert (result.output, result.exit_code, seconds) == ("no such file\n", 2, 0.0)


@in_both_profiles
@pytest.mark.parametrize(
    "answer",
    [says(503, "Sandbox not ready"), says(500, "fetch failed")],
    ids=["503", "500 as deployed"],
)
async def test_a_prompt_to_a_paused_sandbox_says_to_resume_it_first(
    profile: Profile, answer: Answer, reports: Reports
) -> None:
    proxy = Routes({EXEC: answer, GET: profile.paused.response()})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(Paused, match="'box' is paused") as caught:
            await sandboxes.prompt("box", "ls", report=reports)

    assert "{resume}" in caught.value.advice
    # Only a 503 says that nothing ran; after any other failure a second time may be one too many.
    assert ("may have run" in caught.value.advice) == ("fetch failed" in caught.value.message)
    assert proxy.asked == [EXEC, GET]


@in_both_profiles
async def test_a_prompt_to_a_starting_sandbox_says_to_wait(
    profile: Profile, reports: Reports
) -> None:
    answers = {EXEC: says(503, "Sandbox not ready"), GET: profile.starting.response()}

    async with sandboxes_over(Routes(answers)) as sandboxes:
        with pytest.raises(NotReady, match="starting: Pod is Running but not Ready") as caught:
            await sandboxes.prompt("box", "ls", report=reports)

    assert not isinstance(caught.value, Paused)
    assert "the command was not run" in caught.value.message
    assert "10 to 30 s" in caught.value.advice


@in_both_profiles
@pytest.mark.parametrize("answer", [says(503, "Sandbox not ready"), says(500, "fetch failed")])
async def test_a_prompt_to_a_failed_sandbox_says_that_waiting_does_not_help(
    profile: Profile, answer: Answer, reports: Reports
) -> None:
    proxy = Routes({EXEC: answer, GET: profile.failed.response()})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(NotReady, match="is failed") as caught:
            await sandboxes.prompt("box", "ls", report=reports)

    assert "Waiting does not help" in caught.value.advice
    assert not caught.value.retryable


async def test_a_prompt_that_failed_in_a_ready_sandbox_stays_a_failure(reports: Reports) -> None:
    proxy = Routes({EXEC: says(500, "fetch failed"), GET: ALPHA_READY.response()})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(ProxyFailed, match=r"failed \(500\): fetch failed") as caught:
            await sandboxes.prompt("box", "ls", report=reports)

    assert "may have run" in caught.value.advice
    assert proxy.asked.count(EXEC) == 1


@pytest.mark.parametrize("look", [says(500, "down"), page(502), says(401, "expired")])
async def test_a_status_that_cannot_be_read_does_not_hide_the_prompts_own_failure(
    look: httpx.Response, reports: Reports
) -> None:
    proxy = Routes({EXEC: says(503, "Sandbox not ready"), GET: look})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(NotReady, match="'box' is not ready"):
            await sandboxes.prompt("box", "ls", report=reports)


@pytest.mark.parametrize(
    "answer",
    [says(401, "expired"), says(403, "no"), httpx.ReadError("reset"), says(429, "slow")],
    ids=["401", "403", "reset", "429"],
)
async def test_a_refusal_that_the_state_cannot_explain_is_not_looked_into(
    answer: Answer, reports: Reports
) -> None:
    proxy = Routes({EXEC: answer})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(SandboxError):
            await sandboxes.prompt("box", "ls", report=reports)

    assert proxy.asked == [EXEC]


async def test_a_running_command_is_reported_as_time_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_lifecycle, "REPORT_INTERVAL", 0)
    told = anyio.Event()
    reports = Reports()

    async def report(elapsed: float, limit: float | None, reason: str) -> None:
        await reports(elapsed, limit, reason)
        told.set()

    async def slow(_: httpx.Request) -> httpx.Response:
        await told.wait()
        return ran("done")

    async with sandboxes_over(slow) as sandboxes:
        with anyio.fail_after(5):
            result, _ = await sandboxes.prompt("box", "make", report=report)

    assert result.output == "done"
    assert set(reports.told) == {(0.0, None, "the command is running")}


@in_both_profiles
async def test_list_tells_the_state_that_each_sandbox_is_really_in(profile: Profile) -> None:
    rows = (profile.ready, profile.paused, profile.starting, profile.failed)
    names = ("one", "two", "three", "four")
    answers = {
        f"GET /api/sandboxes/{name}": row.response(name)
        for name, row in zip(names, rows, strict=True)
    }
    # Which says ready of a paused one in v1alpha1, and of none but the ready one in v1beta1.
    listed = listing(*(row.listed(name) for name, row in zip(names, rows, strict=True)))
    proxy = Routes({LIST: listed, **answers})

    async with sandboxes_over(proxy) as sandboxes:
        found = await sandboxes.list()

    assert [(each.name, state) for each, state in found] == [
        ("one", State.READY),
        ("two", State.PAUSED),
        ("three", State.STARTING),
        ("four", State.FAILED),
    ]
    assert sorted(proxy.asked) == sorted([LIST, *answers])


async def test_an_empty_list_asks_nothing_more() -> None:
    proxy = Routes({LIST: listing()})

    async with sandboxes_over(proxy) as sandboxes:
        assert await sandboxes.list() == []

    assert proxy.asked == [LIST]


async def test_a_sandbox_deleted_since_the_list_does_not_break_it() -> None:
    proxy = Routes({LIST: listing(ALPHA_READY.listed()), GET: says(403, "no access")})

    async with sandboxes_over(proxy) as sandboxes:
        rows = await sandboxes.list()

    assert [each.name for each, _ in rows] == ["box"]


async def test_a_list_with_hostile_names_asks_nothing_of_them() -> None:
    names = ["../me", "", "a/b", "BOX", "a" * 64]
    proxy = Routes({LIST: listing(*(ALPHA_READY.listed(name) for name in names))})

    async with sandboxes_over(proxy) as sandboxes:
        rows = await sandboxes.list()

    assert [each.name for each, _ in rows] == names
    assert proxy.asked == [LIST]


async def test_a_list_of_thousands_is_not_asked_about_row_by_row() -> None:
    rows = [ALPHA_READY.listed(f"box{number}") for number in range(2000)]

    def proxy(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return listing(*rows) if request.url.path.endswith("s") else ALPHA_READY.response()

    asked: list[str] = []
    async with sandboxes_over(proxy) as sandboxes:
        assert len(await sandboxes.list()) == 2000

    assert len(asked) <= 1 + 20


@pytest.mark.parametrize("name", ["../me", "", "BOX", "a" * 64, "box\n"], ids=ascii)
async def test_no_verb_asks_anything_about_a_name_that_cannot_be(
    name: str, reports: Reports
) -> None:
    proxy = Routes({})

    async with sandboxes_over(proxy) as sandboxes:
        for attempt in (
            sandboxes.create(name, image=None, port=None, report=reports),
            sandboxes.status(name),
            sandboxes.prompt(name, "ls", report=reports),
            sandboxes.delete(name),
            sandboxes.pause(name),
            sandboxes.resume(name, report=reports),
        ):
            with pytest.raises(InvalidInput):
                await attempt

    assert proxy.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        httpx.Response(200, json={"data": {}}),
        httpx.Response(200, content=b"x" * (_proxy.MAX_REPLY_BYTES + 1)),
        httpx.Response(200, headers={"content-encoding": "br"}),
    ],
    ids=["a page", "no status", "too large", "compressed"],
)
async def test_a_prompt_whose_reply_cannot_be_read_may_have_run(
    answer: httpx.Response, reports: Reports
) -> None:
    async with sandboxes_over(Routes({EXEC: answer})) as sandboxes:
        with pytest.raises(BrokenReply) as caught:
            await sandboxes.prompt("box", "make deploy", report=reports)

    assert caught.value.advice == COMMAND_MAY_RUN


async def test_only_so_many_rows_of_a_list_are_asked_about_and_the_ready_ones_first() -> None:
    count = _sandboxes.MAX_LOOKS
    waiting = [ALPHA_PENDING.listed(f"box-{number}") for number in range(count)]
    paused: dict[str, object] = {"name": "box", "ready": True}
    answers = {
        f"GET /api/sandboxes/{row['name']}": ALPHA_PENDING.response(str(row["name"]))
        for row in waiting
    }
    proxy = Routes({LIST: listing(*waiting, paused), GET: ALPHA_PAUSED.response(), **answers})

    async with sandboxes_over(proxy) as sandboxes:
        rows = await sandboxes.list()

    assert rows[-1][1] is State.PAUSED
    assert len(proxy.asked) == 1 + count
    assert proxy.asked[1] == GET
