"""What runs in all sandboxes (`ps`), and which of them are idle (`pause --idle`)."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import activity
from sandbox_client.cli import activity as commands

from tests.client import shell
from tests.client.file_stub import file_error
from tests.client.statuses import ALPHA_PAUSED, ALPHA_READY, ALPHA_STARTING
from tests.client.stubs import (
    KEY,
    LIST_FILES,
    PIPE_EXEC,
    RecordedProgress,
    RouteStub,
    client_over,
    error_reply,
    executed,
    html_page,
    listed,
    piped,
    session_list,
    succeeded,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.client.statuses import StatusRow
    from tests.client.stubs import Answer, Answers
    from tests.client.terminal import Terminal

LIST = "GET /api/sandboxes"
NO_PIPES = httpx.Response(404, json={"detail": "Not Found"})
TWO_HOURS = timedelta(hours=2)


def at(hours: float) -> str:
    """Return a time so many hours before the stubs' NOW."""
    minutes = round((24 - hours) * 60)
    return f"2026-01-03T{minutes // 60:02}:{minutes % 60:02}:00.000Z"


def note(session: str, ran: int, hours: float) -> str:
    """Return the note of a command that ran for `ran` seconds and ended so many hours ago."""
    return f"{session}.{ran}.{datetime.fromisoformat(at(hours)).timestamp():.0f}"


def shell_row(hours: float, command: str = "", used: float | None = None) -> dict[str, object]:
    return {
        "status": "running" if command else "completed",
        "current_command": command or None,
        "created_at": at(hours),
        "last_used_at": at(hours if used is None else used),
    }


def pipe_row(session: str, hours: float, command: str = "") -> dict[str, object]:
    row = shell_row(hours, command)
    return {**row, "session_id": session, "status": "ready", "command_count": 1}


def pipe_list(*rows: dict[str, object]) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "data": list(rows)})


def proxy_with(
    statuses: Mapping[str, StatusRow], **routes: Answer | Sequence[Answer]
) -> dict[str, Answer | Sequence[Answer]]:
    """Return the replies for sandboxes; `routes` are those of `box`, by the end of the path."""
    names = {
        "shell": "GET /proxy/box/v1/shell/sessions",
        "pipes": "GET /proxy/box/v1/bash/sessions",
    }
    known: Answers = {"shell": session_list(), "pipes": pipe_list(), **routes}
    rows = [row.listed(name) for name, row in statuses.items()]
    return {
        LIST: httpx.Response(200, json={"count": len(rows), "sandboxes": rows}),
        **{f"GET /api/sandboxes/{name}": row.response(name) for name, row in statuses.items()},
        **{names.get(name, name): answer for name, answer in known.items()},
    }


@pytest.fixture(autouse=True)
def fixed_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the session of a script of the client's own be `files-1`."""

    def token(_: int) -> str:
        return "1"

    monkeypatch.setattr("secrets.token_hex", token)


BOX = {"box": ALPHA_READY}
TERMINAL_SESSIONS = {
    "prompt-0a": shell_row(3, "", used=2.5),
    "prompt-0b": shell_row(0.5, "sleep 9"),
    "mine": shell_row(5, ""),
    "files-0c": shell_row(0.1, "tar x"),
}
VIEW = "POST /proxy/box/v1/shell/view"


async def test_commands_of_a_terminal_have_their_start_and_their_end() -> None:
    answers = proxy_with(BOX, shell=session_list(**TERMINAL_SESSIONS)) | {
        VIEW: [
            view_of("so far\n", "running", command="sleep 9"),
            view_of("a\nlast\n", "completed", 3),
            view_of("", "completed", 0),
        ],
        LIST_FILES: listed(note("prompt-0a", 754, 2), "prompt-0b.1", "mine.7x.1", "9"),
    }
    async with client_over(RouteStub(answers)) as client:
        (found,) = await client.commands()

    rows = [
        (each.session, each.state, each.exit_code, each.age, each.ran) for each in found.commands
    ]
    half_an_hour = timedelta(minutes=30)
    assert rows == [
        ("prompt-0b", "running", None, half_an_hour, half_an_hour),
        ("prompt-0a", "completed", 3, timedelta(hours=3), timedelta(seconds=754)),
        ("mine", "completed", 0, None, None),  # it may have run other commands before
    ]
    assert [each.last_line for each in found.commands] == ["so far", "last", ""]
    assert not found.is_idle


@pytest.mark.parametrize(
    "forged",
    [
        "prompt-0a.60.9999999999",
        "prompt-0a.999999999.1767350000",
        "prompt-0a.60.0",
    ],
)
async def test_an_end_that_cannot_be_true_is_ignored(forged: str) -> None:
    session = {"prompt-0a": shell_row(3)}
    routes = {"shell": session_list(**session), EXEC: OLD, VIEW: view_of("", "completed", 0)}
    answers = proxy_with(BOX, **routes, **ENDED) | {LIST_FILES: listed(forged)}

    async with client_over(RouteStub(answers)) as client:
        (found,) = await client.commands()
        (idle,) = await client.idle(TWO_HOURS)

    assert [each.ran for each in found.commands] == [None]
    assert (idle.reason, idle.last_use) == ("", "a session was last used 3 h ago")


async def test_a_sandbox_whose_clock_is_ahead_has_no_negative_times() -> None:
    row = shell_row(0, "make") | {"created_at": "2026-01-04T00:30:00.000Z"}
    session = session_list(**{"prompt-0a": row})
    answers = proxy_with(BOX, shell=session) | {VIEW: view_of("", "running", command="make")}

    async with client_over(RouteStub(answers)) as client:
        (found,) = await client.commands()

    assert [(each.age, each.ran) for each in found.commands] == [(timedelta(), timedelta())]


@pytest.mark.parametrize("kind", ["missing", "broken", "silent"])
async def test_without_a_note_of_its_end_it_is_not_known_how_long_a_command_has_run(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "ENDS_DEADLINE", 0.05)
    answers = RouteStub(
        proxy_with(BOX, shell=session_list(**{"prompt-0a": shell_row(3)}))
        | {
            VIEW: view_of("", "completed", 0),
            LIST_FILES: file_error("not_found", "x", "no") if kind == "missing" else html_page(500),
        }
    )

    async def reply(request: httpx.Request) -> httpx.Response:
        if kind == "silent" and request.url.path.endswith("/file/list"):
            await anyio.sleep_forever()
        return answers(request)

    async with client_over(reply) as client:
        (found,) = await client.commands()

    assert [(each.exit_code, each.ran) for each in found.commands] == [(0, None)]
    assert found.reason == ""


async def test_a_sandbox_that_is_not_ready_runs_nothing_and_is_not_asked() -> None:
    stub = RouteStub(proxy_with({"box": ALPHA_PAUSED, "new": ALPHA_STARTING}))

    async with client_over(stub) as client:
        found = await client.commands()

    assert [(each.commands, each.reason, each.is_idle) for each in found] == 2 * [((), "", False)]
    assert not [route for route in stub.asked if "/proxy/" in route]


@pytest.mark.parametrize("kind", ["broken", "silent"])
async def test_a_broken_or_silent_sandbox_does_not_hide_another(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "READ_DEADLINE", 0.05)
    answers = RouteStub(
        proxy_with({"other": ALPHA_READY, "box": ALPHA_READY}, shell=session_list(s=shell_row(1)))
        | {VIEW: view_of("x", "completed", 0)}
    )

    async def reply(request: httpx.Request) -> httpx.Response:
        if "/proxy/other/" not in request.url.path.removeprefix("/prefix"):
            return answers(request)
        if kind == "silent":
            await anyio.sleep_forever()
        return html_page(500)

    async with client_over(reply) as client:
        other, box = await client.commands()

    reasons = {"broken": "an HTML page", "silent": "it did not answer within"}
    assert reasons[kind] in other.reason
    assert not other.is_idle
    assert [each.session for each in box.commands] == ["s"]


async def test_a_slow_output_leaves_the_command_in_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activity, "LOOK_FOR", 0.05)
    answers = RouteStub(proxy_with(BOX, shell=session_list(**{"prompt-0b": shell_row(1, "make")})))

    async def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/view"):
            await anyio.sleep_forever()
        return answers(request)

    async with client_over(reply) as client:
        (found,) = await client.commands()

    assert [(each.state, each.command) for each in found.commands] == [("running", "make")]


async def test_at_most_eight_sandboxes_are_read_at_once() -> None:
    names = [f"box-{number}" for number in range(20)]
    answers = RouteStub(proxy_with(dict.fromkeys(names, ALPHA_READY)))
    at_once, most = 0, 0

    async def reply(request: httpx.Request) -> httpx.Response:
        nonlocal at_once, most
        if "/proxy/" not in request.url.path:
            return answers(request)
        at_once += 1
        most = max(most, at_once)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        at_once -= 1
        return pipe_list() if "/bash/" in request.url.path else session_list()

    async with client_over(reply) as client:
        assert len(await client.commands()) == 20

    assert most == activity.SANDBOXES_AT_ONCE


async def test_a_long_look_is_reported(
    monkeypatch: pytest.MonkeyPatch, progress: RecordedProgress
) -> None:
    monkeypatch.setattr("sandbox_client.polling.REPORT_INTERVAL", 0.01)
    answers = RouteStub(proxy_with(BOX))
    reported = anyio.Event()

    async def report(elapsed: float, limit: float | None, reason: str) -> None:
        await progress(elapsed, limit, reason)
        if "reading" in reason:
            reported.set()

    async def reply(request: httpx.Request) -> httpx.Response:
        if "/proxy/" in request.url.path:
            with anyio.fail_after(10):
                await reported.wait()
        return answers(request)

    async with client_over(reply) as client:
        await client.commands(on_progress=report)

    assert progress.reasons[-1] == "reading the commands of box"


def test_ps_fits_the_columns_of_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    line = "x" * 200
    rows = {
        "prompt-0b": shell_row(0.5, f"echo {KEY} \x1b[31m {line}"),
        "prompt-0a": shell_row(3),
    }
    views = [
        view_of(f"{line}\n", command=f"echo {KEY} \x1b[31m {line}"),
        view_of("bad\x1b[2J\n", "completed", 2, command="make"),
    ]
    names = {"new": ALPHA_STARTING, "box": ALPHA_READY}

    ends = {LIST_FILES: listed(note("prompt-0a", 12, 2.9))}
    terminal.run("ps", answers=proxy_with(names, shell=session_list(**rows)) | {VIEW: views} | ends)

    assert terminal.code == 0
    assert terminal.out.splitlines() == [
        "SANDBOX  SESSION    STATE     AGE     TIME    COMMAND",
        "box      prompt-0b  running   30 min  30 min  echo sk_live_… [31m xxxxxxxxxxxxx…",
        f"    {'x' * 75}…",
        "new      -          starting  1 day   -",
        "box      prompt-0a  exit 2    3 h     12 s    make",
        "    bad",
    ]
    assert all(len(each) <= 80 for each in terminal.out.splitlines())


def test_ps_with_long_names_fits_the_columns_of_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    name, session = "b" * 63, "s" * 64
    rows = {session: shell_row(3)}
    of_box = proxy_with({name: ALPHA_READY}, shell=session_list(**rows))
    view = {VIEW: view_of("x\n", "completed", 0, command="make")}
    answers = {
        route.replace("/box/", f"/{name}/"): answer for route, answer in (of_box | view).items()
    }

    terminal.run("ps", answers=answers)

    lines = terminal.out.splitlines()
    assert [each for each in lines if len(each) > 80] == []
    assert lines[3] == name
    assert lines[4].split()[1:4] == ["exit", "0", "unknown"]
    assert lines[5:] == ["    make", "    x"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    terminal.run("ps", answers=answers)
    assert f"{name}  {session}  exit 0" in terminal.out


def test_ps_says_what_is_idle_and_what_is_not_known(terminal: Terminal) -> None:
    names = {"box": ALPHA_READY, "gone": ALPHA_READY}
    gone = dict.fromkeys(
        ["GET /proxy/gone/v1/bash/sessions", "GET /proxy/gone/v1/shell/sessions"], html_page(500)
    )

    terminal.run("ps", answers=proxy_with(names) | gone)

    assert [line.split()[:3] for line in terminal.out.splitlines()[1:]] == [
        ["box", "-", "idle"],
        ["gone", "-", "unknown"],
    ]
    assert "no command runs in box; `remote-sandbox pause --idle 2h` pauses" in terminal.err
    assert "unknown commands of gone: " in terminal.err


def test_ps_of_many_commands_shows_the_first_and_all_on_request(terminal: Terminal) -> None:
    rows = {f"s{number}": shell_row(1) for number in range(2_000)}
    answers = proxy_with(BOX, shell=session_list(**rows)) | {VIEW: view_of("x", "completed", 0)}

    terminal.run("ps", answers=answers)
    assert len(terminal.out) < 3_000
    assert terminal.routes.asked.count(VIEW) == activity.MAX_COMMANDS
    assert "… and 1990 more: `remote-sandbox output box --limit all` lists all" in terminal.err

    terminal.run("ps", "--json", answers=answers)
    (sandbox,) = json.loads(terminal.out)["sandboxes"]
    assert (len(sandbox["commands"]), sandbox["left_out"]) == (10, 1_990)

    terminal.run("ps", "--json", "--limit", "all", answers=answers)
    (sandbox,) = json.loads(terminal.out)["sandboxes"]
    assert (len(sandbox["commands"]), sandbox["count"]) == (2_000, 2_000)


# A script's answer: the seconds since the start of the pod, and whether files were changed.
OLD, YOUNG = executed("started 90000\n"), executed("started 60\n")
UNREAD = executed("started 90000\nunread\n")
EXEC = "POST /proxy/box/v1/shell/exec"
CHANGED = executed("started 90000\nchanged\n")
IDLE_CASES: dict[str, tuple[dict[str, dict[str, object]], httpx.Response, str]] = {
    "nothing has run since a day": ({}, OLD, ""),
    "its last command was long ago": ({"s1": shell_row(9), "s2": shell_row(2.1)}, OLD, ""),
    "last used an hour ago": ({"s1": shell_row(9, used=1)}, OLD, "a session was last used 1 h ago"),
    "runs": ({"s1": shell_row(9, "make")}, OLD, "a command runs there: s1"),
    "a copy": ({"files-0a": shell_row(9, "tar")}, OLD, "a script of remote-sandbox runs there"),
    "resumed": ({"s1": shell_row(9)}, YOUNG, "it was started, or its home was changed, 1 min ago"),
    "changed files": ({}, CHANGED, "files in /sandbox were changed within the last 120 min"),
    "many files": ({}, UNREAD, "the files in /sandbox could not all be looked at within 10 s"),
    "no clock there": ({}, executed(""), "it is not known when it was started"),
    "a failed look": ({}, executed("", 1), "it is not known when it was started"),
    "a row without a time": ({"s1": {"status": "completed"}}, OLD, "it is not known when it was"),
}


@pytest.mark.parametrize("case", IDLE_CASES)
async def test_a_sandbox_is_idle_only_if_that_is_known(case: str) -> None:
    rows, script, reason = IDLE_CASES[case]
    routes = {"shell": session_list(**rows), EXEC: script, **ENDED}

    async with client_over(RouteStub(proxy_with(BOX, **routes))) as client:
        (found,) = await client.idle(TWO_HOURS)

    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)
    assert (found.idle is None) == bool(reason), "of one that is kept, only the reason is known"


@pytest.mark.parametrize(
    ("rows", "script", "last_use", "hours"),
    [
        ({}, executed("started 200000\n"), "it was created 1 day ago", 44),
        (
            {"s1": shell_row(9), "s2": shell_row(5)},
            OLD,
            "a session was last used 5 h ago",
            5,
        ),
        (
            {"s1": shell_row(9)},
            executed("started 10800\n"),
            "it was started, or its home was changed, 3 h ago",
            3,
        ),
    ],
)
async def test_the_last_use_that_is_known_is_named(
    rows: dict[str, dict[str, object]], script: httpx.Response, last_use: str, hours: int
) -> None:
    routes = {"shell": session_list(**rows), EXEC: script, **ENDED}

    async with client_over(RouteStub(proxy_with(BOX, **routes))) as client:
        (found,) = await client.idle(TWO_HOURS)

    assert (found.last_use, found.reason) == (last_use, "")
    assert found.idle is not None
    assert found.idle // timedelta(hours=1) == hours


@pytest.mark.parametrize(
    ("timeout", "words"),
    [("shift", []), ("return 124", ["unread"]), ("echo /sandbox/f", ["changed"])],
)
def test_the_look_at_the_files_tells_of_its_limit(
    timeout: str, words: list[str], tmp_path: Path
) -> None:
    printed = shell.run(tmp_path, f"timeout() {{ {timeout}; }}; {activity.files_script(120)}")

    assert printed.split()[2:] == words


def test_a_young_sandbox_is_not_said_to_be_used(terminal: Terminal) -> None:
    """A pause and a resume forget the sessions: only the creation is known."""
    terminal.run("pause", "--idle", "2d", "--yes", "--json", answers=proxy_with(BOX))

    assert "box is not paused: it was created 1 day ago" in terminal.err
    assert json.loads(terminal.out)["kept"] == [
        {"name": "box", "idle": "unknown", "reason": "it was created 1 day ago"}
    ]


ENDED = {"DELETE /proxy/box/v1/shell/sessions/files-1": succeeded()}


async def test_a_pipe_session_that_is_still_kept_has_ended_within_the_hour() -> None:
    answers = proxy_with(BOX, pipes=pipe_list(pipe_row("command-0a", 5)))

    async with client_over(RouteStub(answers), pipes=True) as client:
        (found,) = await client.idle(TWO_HOURS)

    assert found.reason == "a long command has ended there within the last hour"


@pytest.mark.parametrize("minutes", [20, 40])
async def test_the_end_of_a_long_command_is_a_use(minutes: int) -> None:
    ends = {
        LIST_FILES: listed(note("command-0a", 4 * 3600, 0.5)),
        PIPE_EXEC: piped("started 90000\n"),
    }
    closed = {"POST /proxy/box/v1/bash/sessions/files-1/close": succeeded()}
    answers = proxy_with(BOX, pipes=pipe_list(pipe_row("command-0a", 5)), **ends, **closed)

    async with client_over(RouteStub(answers), pipes=True) as client:
        (found,) = await client.idle(timedelta(minutes=minutes))

    ended = "a command ended 30 min ago"
    assert (found.reason, found.last_use) == (("", ended) if minutes < 30 else (ended, ""))


async def test_a_sandbox_whose_commands_cannot_be_read_is_not_idle() -> None:
    stub = RouteStub(proxy_with(BOX, shell=error_reply(500, "boom")))

    async with client_over(stub) as client:
        (found,) = await client.idle(timedelta())

    assert found.reason.startswith("its commands or files cannot be read: ")


@pytest.mark.parametrize(
    ("pause", "code", "out", "err"),
    [
        (succeeded(), 0, "Paused: box.", ""),
        (error_reply(400, "no"), 1, "No sandbox was paused.", "box was not paused: "),
        (error_reply(500, "boom"), 1, "No pause shows yet.", "box is not known to be paused: "),
    ],
    ids=["all goes well", "refused", "the reply is lost"],
)
def test_idle_sandboxes_are_paused_with_yes(
    pause: httpx.Response, code: int, out: str, err: str, terminal: Terminal
) -> None:
    later = ALPHA_PAUSED if code == 0 else ALPHA_READY
    looks = [ALPHA_READY.response(), ALPHA_READY.response(), later.response()]
    answers = proxy_with({"off": ALPHA_PAUSED, "box": ALPHA_READY}) | ENDED
    answers |= {EXEC: OLD, "POST /api/sandboxes/box/pause": pause, "GET /api/sandboxes/box": looks}

    terminal.run("pause", "--idle", "2h", "--yes", answers=answers)

    first, warning, *errors = terminal.err.splitlines()
    assert first == (
        "box is to be paused: it was started, or its home was changed, 1 day ago, and no later use"
        " is known"
    )
    assert "jobs that a command has left in the background (&)" in warning
    assert "off" not in terminal.err
    assert (terminal.code, terminal.out.startswith(out)) == (code, True)
    assert "\n".join(errors).startswith(err)


def test_a_pause_of_an_idle_sandbox_that_does_not_show_ends_with_3(terminal: Terminal) -> None:
    answers = proxy_with(BOX) | ENDED | {EXEC: OLD}

    terminal.run(
        *("pause", "--idle", "2h", "--yes"),
        answers=answers | {"POST /api/sandboxes/box/pause": succeeded()},
    )

    assert (terminal.code, terminal.out) == (3, "No pause shows yet.\n")
    assert "The pause of box was accepted and does not show yet" in terminal.err


def test_a_command_that_was_started_meanwhile_keeps_its_sandbox(terminal: Terminal) -> None:
    shell = [session_list(), session_list(s1=shell_row(0, "make"))]
    names = {"off": ALPHA_PAUSED, "box": ALPHA_READY}
    answers = proxy_with(names) | ENDED | {EXEC: OLD, "GET /proxy/box/v1/shell/sessions": shell}

    terminal.run("pause", "--idle", "2h", "--yes", "--json", answers=answers)

    assert json.loads(terminal.out)["paused"] == []
    assert "box is not paused: a command runs there: s1" in terminal.err
    assert "POST /api/sandboxes/box/pause" not in terminal.routes.asked
    assert terminal.routes.asked.count("GET /api/sandboxes/off") == 1, "only box is looked at again"


class Person:
    """Answer the question with `agrees`."""

    def __init__(self, agrees: bool) -> None:
        self.agrees = agrees
        self.asked: list[str] = []

    def confirm(self, question: str, /, *, default: bool) -> bool:
        assert default is False
        self.asked.append(question)
        return self.agrees


@pytest.mark.parametrize("agrees", [True, False])
def test_a_person_is_asked_before_a_pause(
    agrees: bool, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(agrees)

    def prompter(_: str) -> Person:
        return person

    monkeypatch.setattr(commands, "terminal_prompter", prompter)
    looks = [ALPHA_READY.response(), ALPHA_READY.response(), ALPHA_PAUSED.response()]
    answers = proxy_with(BOX) | ENDED | {EXEC: OLD, "GET /api/sandboxes/box": looks}

    terminal.run(
        "pause", "--idle", "2h", answers=answers | {"POST /api/sandboxes/box/pause": succeeded()}
    )

    assert person.asked == ["Pause box?"]
    assert ("POST /api/sandboxes/box/pause" in terminal.routes.asked) is agrees
    assert terminal.code == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--idle", "2h"], "There is no terminal to ask on"),
        ([], "NAME or --idle is missing"),
        (["--idle", "2h", "box"], "NAME and --idle were both given"),
    ],
)
def test_a_pause_without_an_answer_or_a_choice_sends_nothing(
    words: list[str], error: str, terminal: Terminal
) -> None:
    terminal.run("pause", *words)

    assert terminal.code == 2
    assert error in terminal.err
    assert terminal.routes.asked == []
