"""Create, list, pause, resume and delete over a stub proxy, in both controller profiles."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import (
    AlreadyExists,
    InvalidInput,
    KeyRejected,
    ProxyFailed,
    QuotaReached,
    SandboxError,
    SandboxNotFound,
    State,
    polling,
)
from sandbox_client.api.message import CHANGE_MAY_BE_DONE
from sandbox_client.errors import NotSent, SandboxDeleted, SandboxUnreadable
from sandbox_client.listing import MAX_STATUS_REQUESTS

from tests.client.statuses import (
    ALPHA,
    ALPHA_PAUSED,
    ALPHA_PENDING,
    ALPHA_READY,
    ALPHA_STALE,
    PROFILES,
    Profile,
    StatusRow,
)
from tests.client.stubs import (
    CONFIG,
    CREATED_AT,
    EXEC,
    LIST_FILES,
    NOW,
    OPEN,
    RUNTIME,
    SESSIONS,
    VIEW,
    Answer,
    Answers,
    FakeClock,
    RecordedProgress,
    RouteStub,
    client_over,
    created,
    described,
    error_reply,
    executed,
    html_page,
    sandboxes_over,
    session_opened,
    succeeded,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox_client import Client

GET = "GET /api/sandboxes/box"
LIST = "GET /api/sandboxes"
CREATE = "POST /api/sandboxes"
DELETE = "DELETE /api/sandboxes/box"
PAUSE = "POST /api/sandboxes/box/pause"
RESUME = "POST /api/sandboxes/box/resume"

in_both_profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda it: str(it.name))


def listing(*rows: dict[str, object]) -> httpx.Response:
    return httpx.Response(200, json={"count": len(rows), "sandboxes": rows})


@in_both_profiles
async def test_create_waits_through_the_states_until_ready(
    profile: Profile, clock: FakeClock, progress: RecordedProgress
) -> None:
    states = [profile.new, profile.pending, profile.starting, profile.ready]
    proxy = RouteStub({CREATE: created(image="aio:1"), GET: [each.response() for each in states]})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.create("box", image=None, port=None, report=progress)

    assert (outcome.image, outcome.reached) == ("aio:1", True)
    assert outcome.waited == sum(clock.slept) > 0
    assert proxy.asked == [CREATE, GET, GET, GET, GET, RUNTIME]
    assert [reason.split(":")[0] for reason in progress.reasons] == [
        "pending",
        "pending",
        "starting",
    ]


SILENT: dict[str, Answer] = {
    "as deployed": error_reply(500, "fetch failed"),
    "by the contract": error_reply(503, "Sandbox not ready"),
    "refused": error_reply(502, "The sandbox's service ended the connection"),
    "its page": html_page(502),
    "a page, until its server runs": html_page(200),
    "a failure": httpx.Response(200, json={"success": False, "message": "starting"}),
    "late": httpx.ReadTimeout("late"),
}


@pytest.mark.parametrize("silent", SILENT)
async def test_a_ready_sandbox_is_waited_for_until_its_runtime_answers(
    silent: str, clock: FakeClock, progress: RecordedProgress
) -> None:
    answers: Answers = {
        RESUME: succeeded(),
        GET: ALPHA_READY.response(),
        RUNTIME: [SILENT[silent], SILENT[silent], described()],
    }

    async with sandboxes_over(RouteStub(answers), clock) as sandboxes:
        outcome = await sandboxes.resume("box", report=progress)

    assert outcome.reached
    assert outcome.waited == sum(clock.slept) == 0.75
    assert all(each.startswith("its runtime does not answer yet: ") for each in progress.reasons)


@pytest.mark.parametrize(
    "answer",
    [
        described(),
        httpx.Response(200, json={}),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(405, json={"detail": "Method Not Allowed"}),
    ],
    ids=["described", "another description", "no such route", "no such method"],
)
async def test_any_answer_of_the_runtime_ends_the_wait(
    answer: Answer, clock: FakeClock, progress: RecordedProgress
) -> None:
    proxy = RouteStub({CREATE: created(), GET: ALPHA_READY.response(), RUNTIME: answer})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.create("box", image=None, port=None, report=progress)

    assert (outcome.reached, clock.slept) == (True, [])


async def test_a_silent_runtime_is_the_reason_at_the_deadline(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    silent = error_reply(500, "fetch failed")
    proxy = RouteStub({CREATE: created(), GET: ALPHA_READY.response(), RUNTIME: silent})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.create("box", image=None, port=None, report=progress)

    assert (outcome.reached, outcome.state, outcome.error) == (False, State.READY, None)
    assert outcome.waited == pytest.approx(60)
    assert outcome.reason == "its runtime does not answer yet: The proxy failed (500): fetch failed"


async def test_a_sandbox_deleted_while_its_runtime_is_asked_ends_the_wait(
    progress: RecordedProgress,
) -> None:
    gone = httpx.Response(404, json={"error": "Sandbox not found"})
    proxy = RouteStub({CREATE: created(), GET: ALPHA_READY.response(), RUNTIME: gone})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(SandboxDeleted):
            await sandboxes.create("box", image=None, port=None, report=progress)


@in_both_profiles
async def test_create_reports_a_readiness_timeout(
    profile: Profile, clock: FakeClock, progress: RecordedProgress
) -> None:
    proxy = RouteStub({CREATE: created(), GET: profile.pending.response()})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.create("box", image=None, port=None, report=progress)

    assert not outcome.reached
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
async def test_create_sends_the_arguments_or_the_configured_defaults(
    image: str | None, port: int | None, body: object, progress: RecordedProgress
) -> None:
    proxy = RouteStub({CREATE: created(), GET: ALPHA_READY.response()})
    config = replace(CONFIG, default_image="default:1", default_port=7)

    async with sandboxes_over(proxy, config=config) as sandboxes:
        await sandboxes.create("box", image=image, port=port, report=progress)

    assert proxy.bodies[0] == body


async def test_port_0_is_refused_and_not_replaced_by_the_default(
    progress: RecordedProgress,
) -> None:
    proxy = RouteStub({CREATE: created(), GET: ALPHA_READY.response()})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(InvalidInput, match="port has value 0"):
            await sandboxes.create("box", image=None, port=0, report=progress)

    assert proxy.asked == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error_reply(403, "Quota reached"), QuotaReached),
        (error_reply(500, "exceeded quota"), QuotaReached),
        (error_reply(401, "expired"), KeyRejected),
        (httpx.ConnectError("refused"), NotSent),
    ],
    ids=["quota", "quota as deployed", "key", "undelivered"],
)
async def test_a_refused_create_is_sent_once_and_not_looked_up(
    answer: Answer, kind: type[SandboxError], progress: RecordedProgress
) -> None:
    proxy = RouteStub({CREATE: answer})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(kind):
            await sandboxes.create("box", image=None, port=None, report=progress)

    assert proxy.asked == [CREATE]


@pytest.mark.parametrize(
    ("row", "step"),
    [(ALPHA.ready, "{run}"), (ALPHA.paused, "{resume}"), (ALPHA.failed, "{delete}")],
    ids=["ready", "paused", "failed"],
)
async def test_an_existing_name_is_reported_with_its_state_and_the_next_step(
    row: StatusRow, step: str, progress: RecordedProgress
) -> None:
    proxy = RouteStub(
        {CREATE: error_reply(409, "Sandbox 'box' already exists"), GET: row.response()}
    )

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(AlreadyExists) as caught:
            await sandboxes.create("box", image=None, port=None, report=progress)

    assert f"You have a sandbox 'box' already: it is {row.state.value} (" in caught.value.message
    assert "left as it is" in caught.value.message
    assert step in caught.value.advice
    assert proxy.asked == [CREATE, GET]


async def test_an_existing_name_is_reported_if_the_state_cannot_be_read(
    progress: RecordedProgress,
) -> None:
    answers = {
        CREATE: error_reply(409, "Sandbox 'box' already exists"),
        GET: html_page(502),
        LIST: listing(ALPHA_READY.listed()),
    }
    proxy = RouteStub(answers)

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(AlreadyExists, match="The name 'box' is taken"):
            await sandboxes.create("box", image=None, port=None, report=progress)


LOST: dict[str, Answer] = {
    "502": html_page(502),
    "504": html_page(504),
    "500": error_reply(500, "socket hang up"),
    "reset": httpx.ReadError("reset"),
    "late": httpx.ReadTimeout("late"),
    "no JSON": httpx.Response(200, text="done"),
    "nothing": httpx.Response(200, json={}),
    "no success": httpx.Response(200, json={"success": False, "message": "no"}),
}
GONE = error_reply(403, "You do not have access to this sandbox")


@pytest.mark.parametrize("lost", LOST)
async def test_a_create_with_a_lost_reply_is_looked_up_and_waited_for(
    lost: str, progress: RecordedProgress
) -> None:
    looks = [GONE, ALPHA.new.response(), ALPHA.new.response(), ALPHA.ready.response()]
    health = {"status": "ok", "database": "connected", "timestamp": CREATED_AT}
    proxy = RouteStub(
        {CREATE: LOST[lost], GET: looks, "GET /health": httpx.Response(200, json=health)}
    )

    async with sandboxes_over(proxy) as sandboxes:
        outcome = await sandboxes.create("box", image=None, port=None, report=progress)

    assert (outcome.image, outcome.reached) == ("", True)
    assert proxy.asked.count(CREATE) == 1


async def test_an_older_sandbox_is_not_mistaken_for_the_created_one(
    progress: RecordedProgress,
) -> None:
    later = "2026-01-02T03:05:05.678Z"  # the time of the proxy, a minute after the creation
    health = {"status": "ok", "database": "connected", "timestamp": later}
    answers = {
        CREATE: html_page(504),
        GET: ALPHA_READY.response(),
        "GET /health": httpx.Response(200, json=health),
    }

    async with sandboxes_over(RouteStub(answers)) as sandboxes:
        with pytest.raises(AlreadyExists, match="left as it is"):
            await sandboxes.create("box", image="other:1", port=None, report=progress)


async def test_a_create_without_effect_raises_the_first_error_after_10_s(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    proxy = RouteStub({CREATE: html_page(504), GET: GONE})

    async with sandboxes_over(proxy, clock) as sandboxes:
        with pytest.raises(ProxyFailed, match="504"):
            await sandboxes.create("box", image=None, port=None, report=progress)

    assert proxy.asked.count(CREATE) == 1
    assert 10 <= sum(clock.slept) <= 13, "the effect may take a while to show"


async def test_a_delete_with_a_lost_reply_succeeds_if_the_sandbox_is_gone() -> None:
    proxy = RouteStub({DELETE: html_page(502), GET: [ALPHA.ready.response(), GONE]})

    async with sandboxes_over(proxy) as sandboxes:
        assert not await sandboxes.delete("box"), "the proxy itself did not confirm it"

    assert proxy.asked == [DELETE, GET, GET]


@in_both_profiles
async def test_a_pause_with_a_lost_reply_succeeds_if_the_sandbox_is_paused(
    profile: Profile, progress: RecordedProgress
) -> None:
    looks = [profile.ready.response(), profile.paused.response()]
    proxy = RouteStub({PAUSE: html_page(502), GET: looks})

    async with sandboxes_over(proxy) as sandboxes:
        outcome = await sandboxes.pause("box", report=progress)

    assert outcome.reached
    assert proxy.asked.count(PAUSE) == 1


@in_both_profiles
async def test_a_resume_with_a_lost_reply_is_waited_for(
    profile: Profile, progress: RecordedProgress
) -> None:
    looks = [profile.paused, profile.paused, profile.pending, profile.ready]
    proxy = RouteStub({RESUME: html_page(502), GET: [each.response() for each in looks]})

    async with sandboxes_over(proxy) as sandboxes:
        outcome = await sandboxes.resume("box", report=progress)

    assert outcome.reached
    assert proxy.asked.count(RESUME) == 1


async def test_a_delete_without_effect_raises_the_first_error() -> None:
    proxy = RouteStub({DELETE: html_page(502), GET: ALPHA_READY.response(), LIST: html_page(502)})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(ProxyFailed, match="502"):
            await sandboxes.delete("box")


async def test_a_pause_without_effect_raises_the_first_error(progress: RecordedProgress) -> None:
    proxy = RouteStub({PAUSE: html_page(502), GET: ALPHA_READY.response()})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(ProxyFailed, match="502"):
            await sandboxes.pause("box", report=progress)


async def test_a_change_raises_the_first_error_if_the_status_cannot_be_read(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    proxy = RouteStub({PAUSE: html_page(502), GET: error_reply(401, "API key has expired")})

    async with sandboxes_over(proxy, clock) as sandboxes:
        with pytest.raises(ProxyFailed, match="502"):
            await sandboxes.pause("box", report=progress)

    assert proxy.asked == [PAUSE, GET]


@pytest.mark.parametrize("verb", ["create", "pause", "resume", "delete"])
@pytest.mark.parametrize("answer", LOST)
async def test_a_change_may_be_made_if_neither_its_reply_nor_a_look_can_be_read(
    answer: str, verb: str, progress: RecordedProgress
) -> None:
    lost = LOST[answer]
    answers = {CREATE: lost, PAUSE: lost, RESUME: lost, DELETE: lost, GET: lost, LIST: lost}

    async with sandboxes_over(RouteStub(answers)) as sandboxes:
        changes: dict[str, Callable[[], Awaitable[object]]] = {
            "create": lambda: sandboxes.create("box", image=None, port=None, report=progress),
            "pause": lambda: sandboxes.pause("box", report=progress),
            "resume": lambda: sandboxes.resume("box", report=progress),
            "delete": lambda: sandboxes.delete("box"),
        }
        with pytest.raises(SandboxError) as caught:
            await changes[verb]()

    assert caught.value.advice.startswith(CHANGE_MAY_BE_DONE)
    assert not caught.value.retryable


@pytest.mark.parametrize("verb", ["create", "pause", "resume", "delete"])
async def test_the_seconds_count_until_a_change_is_answered(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "REPORT_INTERVAL", 0)
    reported = {"waiting for": anyio.Event(), "looking whether": anyio.Event()}

    async def report(elapsed: float, limit: float | None, reason: str) -> None:
        for words, event in reported.items():
            if reason.startswith(words):
                event.set()

    async def proxy(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            await reported["waiting for"].wait()
            return html_page(502)
        if verb != "resume" or reported["waiting for"].is_set():
            await reported["looking whether"].wait()
        return error_reply(401, "expired")

    async with sandboxes_over(proxy) as sandboxes:
        changes: dict[str, Callable[[], Awaitable[object]]] = {
            "create": lambda: sandboxes.create("box", image=None, port=None, report=report),
            "pause": lambda: sandboxes.pause("box", report=report),
            "resume": lambda: sandboxes.resume("box", report=report),
            "delete": lambda: sandboxes.delete("box", report=report),
        }
        with anyio.fail_after(5), pytest.raises(ProxyFailed):
            await changes[verb]()


async def test_a_second_delete_says_that_the_sandbox_may_be_deleted() -> None:
    async with sandboxes_over(RouteStub({DELETE: GONE})) as sandboxes:
        with pytest.raises(SandboxNotFound) as caught:
            await sandboxes.delete("box")

    assert "deleted before" in caught.value.advice


@in_both_profiles
async def test_resume_ignores_the_state_before_it(
    profile: Profile, clock: FakeClock, progress: RecordedProgress
) -> None:
    states = [profile.paused, profile.paused, profile.pending, profile.ready]
    proxy = RouteStub({RESUME: succeeded(replicas=1), GET: [each.response() for each in states]})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.resume("box", report=progress)

    assert (outcome.was_ready, outcome.reached) == (False, True)
    assert proxy.asked == [GET, RESUME, GET, GET, GET, RUNTIME]


@in_both_profiles
async def test_resume_of_a_ready_sandbox_reports_that_it_was_ready(
    profile: Profile, progress: RecordedProgress
) -> None:
    proxy = RouteStub({RESUME: succeeded(replicas=1), GET: profile.ready.response()})

    async with sandboxes_over(proxy) as sandboxes:
        outcome = await sandboxes.resume("box", report=progress)

    assert (outcome.was_ready, outcome.reached) == (True, True)


@in_both_profiles
async def test_pause_waits_until_the_status_is_paused(
    profile: Profile, clock: FakeClock, progress: RecordedProgress
) -> None:
    states = [profile.ready, profile.ready, profile.paused]
    proxy = RouteStub({PAUSE: succeeded(), GET: [each.response() for each in states]})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.pause("box", report=progress)

    assert outcome.reached
    assert proxy.asked == [PAUSE, GET, GET, GET]


@in_both_profiles
@pytest.mark.parametrize("state", ["ready", "failed"])
async def test_a_wait_for_a_pause_ends_after_15_s(
    state: str, profile: Profile, clock: FakeClock, progress: RecordedProgress
) -> None:
    row = profile.ready if state == "ready" else profile.failed
    proxy = RouteStub({PAUSE: succeeded(), GET: row.response()})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.pause("box", report=progress)

    assert not outcome.reached
    assert outcome.waited == pytest.approx(15.0)
    assert outcome.reason.startswith(f"{state}: ")


async def test_resume_does_not_count_a_sandbox_without_replicas_as_ready(
    progress: RecordedProgress,
) -> None:
    looks = [ALPHA_STALE.response(), ALPHA_STALE.response(), ALPHA_READY.response()]
    proxy = RouteStub({RESUME: succeeded(), GET: looks})

    async with sandboxes_over(proxy) as sandboxes:
        outcome = await sandboxes.resume("box", report=progress)

    assert (outcome.was_ready, outcome.reached) == (False, True)
    assert proxy.asked.count(GET) == 3


async def test_a_sandbox_deleted_during_the_wait_ends_it(progress: RecordedProgress) -> None:
    looks = [ALPHA.pending.response(), ALPHA.pending.response(), error_reply(403, "no access")]
    proxy = RouteStub({RESUME: succeeded(), GET: looks})

    async with sandboxes_over(proxy) as sandboxes:
        with pytest.raises(SandboxDeleted, match="'box' was deleted while it was to become ready"):
            await sandboxes.resume("box", report=progress)


async def test_a_wait_survives_transient_failures_of_the_proxy(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    answers: list[Answer] = [*[httpx.ConnectError("x")] * 8, ALPHA_READY.response()]
    proxy = RouteStub({RESUME: succeeded(), GET: answers})

    async with sandboxes_over(proxy, clock) as sandboxes:
        outcome = await sandboxes.resume("box", report=progress)

    assert outcome.reached
    assert "cannot be read" in progress.reasons[0]


async def test_delete_is_one_request() -> None:
    route = "DELETE /api/sandboxes/box"
    proxy = RouteStub({route: succeeded()})

    async with sandboxes_over(proxy) as sandboxes:
        await sandboxes.delete("box")

    assert proxy.asked == [route]


@in_both_profiles
async def test_list_reads_the_status_of_each_sandbox(profile: Profile) -> None:
    rows = (profile.ready, profile.paused, profile.starting, profile.failed)
    names = ("one", "two", "three", "four")
    answers = {
        f"GET /api/sandboxes/{name}": row.response(name)
        for name, row in zip(names, rows, strict=True)
    }
    # The list reports a paused sandbox as ready in v1alpha1, and as not ready in v1beta1.
    listed = listing(*(row.listed(name) for name, row in zip(names, rows, strict=True)))
    proxy = RouteStub({LIST: listed, **answers})

    async with sandboxes_over(proxy) as sandboxes:
        found = await sandboxes.list()

    assert [(row.sandbox.name, row.state) for row in found] == [
        ("one", State.READY),
        ("two", State.PAUSED),
        ("three", State.STARTING),
        ("four", State.FAILED),
    ]
    assert sorted(proxy.asked) == sorted([LIST, *answers])


async def test_an_empty_list_is_one_request() -> None:
    proxy = RouteStub({LIST: listing()})

    async with sandboxes_over(proxy) as sandboxes:
        assert await sandboxes.list() == []

    assert proxy.asked == [LIST]


async def test_a_list_keeps_a_sandbox_that_was_deleted_meanwhile() -> None:
    proxy = RouteStub({LIST: listing(ALPHA_READY.listed()), GET: error_reply(403, "no access")})

    async with sandboxes_over(proxy) as sandboxes:
        (row,) = await sandboxes.list()

    assert (row.sandbox.name, row.state) == ("box", State.UNKNOWN)


@pytest.mark.parametrize("listed", [ALPHA_PAUSED, ALPHA_PENDING], ids=["ready", "not ready"])
@pytest.mark.parametrize("answer", [html_page(502), error_reply(500, "no"), httpx.Response(204)])
async def test_a_state_without_a_readable_status_is_unknown(
    answer: Answer, listed: StatusRow
) -> None:
    proxy = RouteStub({LIST: listing(listed.listed()), GET: answer})

    async with sandboxes_over(proxy) as sandboxes:
        (row,) = await sandboxes.list()

    assert row.state is State.UNKNOWN
    assert "The proxy " in row.reason
    assert row.age is not None
    assert not row.is_up_for_long, "whether it runs is not known"


VANISHED = error_reply(500, "HTTP request failed")
UNREADABLE = ALPHA_PENDING.listed() | {"service": "error", "serviceFQDN": "error"}


async def test_a_sandbox_that_the_proxy_cannot_read_is_unknown() -> None:
    proxy = RouteStub({LIST: listing(UNREADABLE), GET: VANISHED})

    async with sandboxes_over(proxy) as sandboxes:
        (row,) = await sandboxes.list()

    assert row.state is State.UNKNOWN
    assert row.reason == "the proxy cannot read its state in the cluster"


VANISHED_ANSWERS: Answers = {
    CREATE: error_reply(409, "Sandbox 'box' already exists"),
    **dict.fromkeys((GET, DELETE, PAUSE, RESUME, OPEN, VIEW, SESSIONS, LIST_FILES), VANISHED),
    LIST: listing(UNREADABLE),
}
VERBS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "create": lambda client: client.create("box"),
    "status": lambda client: client.status("box"),
    "pause": lambda client: client.pause("box"),
    "resume": lambda client: client.resume("box"),
    "delete": lambda client: client.delete("box"),
    "run": lambda client: client.run("box", "make"),
    "output": lambda client: client.output("box", "s1"),
    "sessions": lambda client: client.sessions("box"),
    "cancel": lambda client: client.cancel("box", "s1"),
    "list files": lambda client: client.list_files("box"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_vanished_sandbox_is_left_to_the_administrator_at_once(
    verb: str, clock: FakeClock
) -> None:
    proxy = RouteStub(VANISHED_ANSWERS)

    async with client_over(proxy, clock) as client:
        with pytest.raises(SandboxError, match=r"cannot read (its|the) state") as it:
            await VERBS[verb](client)

    assert type(it.value) is (AlreadyExists if verb == "create" else SandboxUnreadable)
    assert "in the cluster" in it.value.message
    assert it.value.message.endswith(": The proxy failed (500): HTTP request failed")
    assert "nly the proxy's administrator can remove it" in it.value.advice
    assert "Try again" not in it.value.advice
    assert len(proxy.asked) <= 4
    assert clock.slept == []


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([ALPHA_READY.listed("other")], "The proxy can read your other sandboxes"),
        ([UNREADABLE | {"name": "other"}], "If it stays so for some minutes"),
        ([], "If it stays so for some minutes"),
    ],
    ids=["one of two", "all", "the only one"],
)
async def test_a_sandbox_is_gone_if_the_proxy_can_read_others(
    others: list[dict[str, object]], expected: str
) -> None:
    answers = {**VANISHED_ANSWERS, LIST: listing(UNREADABLE, *others)}

    async with sandboxes_over(RouteStub(answers)) as sandboxes:
        with pytest.raises(SandboxUnreadable) as caught:
            await sandboxes.status("box")

    assert caught.value.advice.startswith(expected)


@pytest.mark.parametrize(("verb", "is_advised"), [("status", True), ("delete", False)])
async def test_a_sandbox_that_is_gone_may_be_deleted_and_not_twice(
    verb: str, *, is_advised: bool
) -> None:
    listed = listing(UNREADABLE, ALPHA_READY.listed("other"))

    async with client_over(RouteStub({**VANISHED_ANSWERS, LIST: listed})) as client:
        with pytest.raises(SandboxUnreadable, match="in the cluster") as caught:
            await VERBS[verb](client)

    assert ("Remove it with {delete}; if that fails, only" in caught.value.advice) is is_advised


async def test_a_sandbox_that_vanishes_while_a_command_runs_may_come_back() -> None:
    answers = {
        **VANISHED_ANSWERS,
        OPEN: session_opened(),
        EXEC: executed(status="running", exit_code=None),
        VIEW: [VANISHED, VANISHED, view_of("a\n", "completed", 0)],
    }

    async with client_over(RouteStub(answers)) as client:
        result = await client.run("box", "make", wait=None)

    assert (result.exit_code, result.stdout) == (0, "a\n")


async def test_a_sandbox_that_vanishes_during_a_wait_is_named_at_its_end(
    progress: RecordedProgress,
) -> None:
    answers = {**VANISHED_ANSWERS, CREATE: created()}

    async with sandboxes_over(RouteStub(answers)) as sandboxes:
        outcome = await sandboxes.create("box", image=None, port=None, report=progress)

    assert isinstance(outcome.error, SandboxUnreadable)


@pytest.mark.parametrize("listed", [listing(ALPHA_READY.listed()), html_page(502)])
async def test_another_failure_of_a_delete_is_not_called_a_vanished_sandbox(
    listed: Answer,
) -> None:
    answers: Answers = {DELETE: VANISHED, GET: error_reply(401, "expired"), LIST: listed}

    async with sandboxes_over(RouteStub(answers)) as sandboxes:
        with pytest.raises(ProxyFailed, match=r"^The proxy failed \(500\)") as caught:
            await sandboxes.delete("box")

    assert "may have done it" in caught.value.advice


async def test_list_sends_no_request_for_invalid_names() -> None:
    names = ["../me", "", "a/b", "BOX", "a" * 64]
    proxy = RouteStub({LIST: listing(*(ALPHA_READY.listed(name) for name in names))})

    async with sandboxes_over(proxy) as sandboxes:
        rows = await sandboxes.list()

    assert [row.sandbox.name for row in rows] == names
    assert proxy.asked == [LIST]


async def test_list_limits_the_requests_for_a_long_list() -> None:
    rows = [ALPHA_READY.listed(f"box{number}") for number in range(2000)]

    def proxy(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return listing(*rows) if request.url.path.endswith("s") else ALPHA_READY.response()

    asked: list[str] = []
    async with sandboxes_over(proxy) as sandboxes:
        assert len(await sandboxes.list()) == 2000

    assert len(asked) <= 1 + 20


async def test_no_operation_sends_an_invalid_name(progress: RecordedProgress) -> None:
    proxy = RouteStub({})

    async with sandboxes_over(proxy) as sandboxes:
        for attempt in (
            sandboxes.create("../me", image=None, port=None, report=progress),
            sandboxes.status("../me"),
            sandboxes.delete("../me"),
            sandboxes.pause("../me", report=progress),
            sandboxes.resume("../me", report=progress),
        ):
            with pytest.raises(InvalidInput):
                await attempt

    assert proxy.asked == []


async def test_list_reads_the_status_of_ready_sandboxes_first() -> None:
    count = MAX_STATUS_REQUESTS
    waiting = [ALPHA_PENDING.listed(f"box-{number}") for number in range(count)]
    paused: dict[str, object] = {"name": "box", "ready": True}
    answers = {
        f"GET /api/sandboxes/{row['name']}": ALPHA_PENDING.response(str(row["name"]))
        for row in waiting
    }
    proxy = RouteStub({LIST: listing(*waiting, paused), GET: ALPHA_PAUSED.response(), **answers})

    async with sandboxes_over(proxy) as sandboxes:
        rows = await sandboxes.list()

    assert rows[-1].state is State.PAUSED
    assert [row.state for row in rows].count(State.UNKNOWN) == 1, "its status was not read"
    assert len(proxy.asked) == 1 + count
    assert proxy.asked[1] == GET


@pytest.mark.parametrize(
    ("created_at", "age", "is_long"),
    [
        ("2026-01-03T00:00:00.000Z", timedelta(days=1), False),
        ("2026-01-02T23:59:59.999Z", timedelta(days=1, milliseconds=1), True),
        ("2026-01-04T00:00:09.000Z", timedelta(seconds=-9), False),
        ("2026-01-04T02:00:00.000Z", None, False),
        ("0001-01-01T00:00:00.000Z", None, False),
        ("0001-01-01T00:00:00+23:59", None, False),
        ("9999-12-31T23:59:59-23:59", None, False),
        ("9999-12-31T23:59:59.999Z", None, False),
        ("1970-01-01T00:00:00.000Z", None, False),
        ("+275760-09-13T00:00:00.000Z", None, False),
        ("2026-02-30T00:00:00.000Z", None, False),
        ("yesterday", None, False),
        ("2026-01-02T00:00:00", None, False),
        ("", None, False),
    ],
)
async def test_a_sandbox_that_is_up_for_more_than_a_day_is_marked(
    created_at: str, age: timedelta | None, is_long: bool
) -> None:
    body = ALPHA_READY.body() | {"createdAt": created_at}
    answers = {LIST: listing(ALPHA_READY.listed()), GET: httpx.Response(200, json=body)}

    async with sandboxes_over(RouteStub(answers)) as sandboxes:
        (row,) = await sandboxes.list()

    assert (row.age, row.is_up_for_long) == (age, is_long)


@pytest.mark.parametrize(
    ("machine", "is_known"),
    [
        (NOW, True),
        (NOW + timedelta(minutes=30), True),
        (NOW - timedelta(days=1), False),
        (NOW + timedelta(days=400), False),
        (datetime(1970, 1, 1, tzinfo=UTC), False),
        (datetime.max.replace(tzinfo=UTC), False),
    ],
)
async def test_ages_are_unknown_if_the_clock_of_this_machine_is_wrong(
    machine: datetime, *, is_known: bool
) -> None:
    listed = listing(ALPHA_READY.listed())
    listed.headers["date"] = format_datetime(NOW, usegmt=True)
    proxy = RouteStub({LIST: listed, GET: ALPHA_READY.response()})

    async with sandboxes_over(proxy) as client:
        wrong = replace(client, timing=replace(client.timing, now=lambda: machine))
        (row,) = await wrong.list()

    assert (row.age is not None) == is_known
    assert row.is_up_for_long == is_known, "it is 44 hours old"


async def test_an_old_paused_sandbox_is_not_marked() -> None:
    proxy = RouteStub({LIST: listing(ALPHA_PAUSED.listed()), GET: ALPHA_PAUSED.response()})

    async with sandboxes_over(proxy) as sandboxes:
        (row,) = await sandboxes.list()

    assert row.age is not None
    assert row.age > timedelta(days=1)
    assert not row.is_up_for_long
