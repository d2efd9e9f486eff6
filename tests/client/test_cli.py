"""The terminal commands: standard output, standard error and exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import re
import signal
import sys
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import httpx
import pytest
from sandbox_client import __main__ as entry
from sandbox_client import polling
from sandbox_client.masking import masked
from sandbox_client.presentation.commands import WITHOUT_SESSIONS

from tests.client.runtime_stub import RuntimeStub
from tests.client.statuses import (
    ALPHA_ERROR,
    ALPHA_FAILED,
    ALPHA_PAUSED,
    ALPHA_PENDING,
    ALPHA_READY,
    ALPHA_STARTING,
)
from tests.client.stubs import (
    EXEC,
    KEY,
    KILL,
    LIST_FILES,
    OPEN,
    SESSION,
    SESSIONS,
    TYPE,
    URL,
    VIEW,
    created,
    error_reply,
    executed,
    html_page,
    listed,
    session_list,
    session_opened,
    succeeded,
    typed,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.statuses import StatusRow
    from tests.client.stubs import Answer, Answers
    from tests.client.terminal import Terminal


RUNNING = ("prompt", "agent", "output", "cancel")  # which are about a command's end
COMMANDS = ("create", "status", *RUNNING, "cancel", "list", "delete", "pause", "resume")
GET = "GET /api/sandboxes/box"
LIST = "GET /api/sandboxes"
AGAIN = "`remote-sandbox status NAME` looks again"
CREATE = "POST /api/sandboxes"
PAUSE = "POST /api/sandboxes/box/pause"
RESUME = "POST /api/sandboxes/box/resume"
DELETE = "DELETE /api/sandboxes/box"
BOX_LISTED = httpx.Response(200, json={"count": 1, "sandboxes": [ALPHA_PAUSED.listed()]})


_COMMANDS: dict[str, tuple[list[str], Answers]] = {
    "create": (["box"], {CREATE: created(), GET: ALPHA_READY.response()}),
    "status": (["box"], {GET: ALPHA_PAUSED.response()}),
    "prompt": (["box", "ls"], {EXEC: executed("a\n")}),
    "agent": (["box", "fix", "it"], {EXEC: executed("a\n")}),
    "output": (["box", "s1"], {VIEW: view_of("a\n", "completed", 0)}),
    "cancel": (["box", "s1"], {VIEW: view_of("a\n", "completed", 0)}),
    "list": ([], {LIST: BOX_LISTED, GET: ALPHA_PAUSED.response()}),
    "delete": (["box"], {DELETE: succeeded()}),
    "pause": (["box"], {PAUSE: succeeded(), GET: ALPHA_PAUSED.response()}),
    "resume": (["box"], {RESUME: succeeded(), GET: ALPHA_READY.response()}),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_ends_with_0_and_prints_its_result(command: str, terminal: Terminal) -> None:
    words, answers = _COMMANDS[command]

    terminal.run(command, *words, answers=answers)

    assert terminal.code == 0
    assert terminal.out.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_prints_one_json_object_with_json(command: str, terminal: Terminal) -> None:
    words, answers = _COMMANDS[command]

    terminal.run(command, "--json", *words, answers=answers)

    assert terminal.code == 0
    assert isinstance(json.loads(terminal.out), dict)


def test_json_may_come_before_the_command(terminal: Terminal) -> None:
    words, answers = _COMMANDS["status"]

    terminal.run("--json", "status", *words, answers=answers)

    assert terminal.code == 0
    assert isinstance(json.loads(terminal.out), dict)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_error_of_each_command_is_a_json_object_too(command: str, terminal: Terminal) -> None:
    words, answers = _COMMANDS[command]
    refused = error_reply(401, "API key has expired")

    terminal.run(command, "--json", *words, answers=dict.fromkeys([GET, OPEN, *answers], refused))

    assert terminal.code == (125 if command in RUNNING else 1)
    assert set(json.loads(terminal.out)["error"]) == {"message", "cause", "next"}


def test_an_error_is_three_lines_on_standard_error(terminal: Terminal) -> None:
    refused = error_reply(401, "API key has expired " + "x" * 250)

    terminal.run("status", "box", answers={GET: refused})

    assert terminal.out == ""
    assert [line.split(":")[0] for line in terminal.err.splitlines()] == ["error", "cause", "next"]
    assert "The API key has expired" in terminal.err


def test_the_help_names_all_commands_and_all_exit_codes(terminal: Terminal) -> None:
    terminal.run("--help")

    for verb in (*COMMANDS, "mcp"):
        assert f"\n    {verb} " in terminal.out
    for code in (0, 1, 2, 3, 130, 141):
        assert f"\n  {code} " in terminal.out
    for words in ("124", "125", "128 + n"):
        assert words in terminal.out
    assert "~/.config/gemini-remote-sandbox/config.json" in terminal.out


@pytest.mark.parametrize("words", [[], *([command] for command in (*COMMANDS, "mcp"))], ids=str)
def test_no_line_of_the_help_is_wider_than_60_columns(
    words: list[str], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    terminal.run(*words, "--help")

    assert terminal.code == 0
    assert terminal.out.startswith(" ".join(["usage: remote-sandbox", *words]))
    assert max(map(len, terminal.out.splitlines())) <= 60


def test_the_help_before_a_command_names_all_commands(terminal: Terminal) -> None:
    everything = terminal.run("--help").out

    assert terminal.run("--help", "list").out == everything


def test_the_help_of_mcp_describes_it(terminal: Terminal) -> None:
    terminal.run("mcp", "--help")

    assert "Serve MCP on standard input and output until the input ends." in terminal.out


@pytest.mark.parametrize("command", ["status", "prompt"])
def test_help_and_errors_use_the_same_metavar_for_the_name(
    command: str, terminal: Terminal
) -> None:
    terminal.run(command, "--help")
    assert " NAME" in terminal.out.splitlines()[0]
    terminal.run(command)
    assert "the following arguments are required: NAME" in terminal.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], "remote-sandbox"),
        (["fly"], "remote-sandbox"),
        (["create"], "remote-sandbox create"),
        (["prompt"], "remote-sandbox prompt"),
    ],
    ids=str,
)
def test_wrong_usage_points_to_the_help(words: list[str], command: str, terminal: Terminal) -> None:
    terminal.run(*words)

    assert terminal.err.splitlines()[-1] == f"next:  `{command} --help` shows how to use it"


def test_the_version_is_the_distributions(terminal: Terminal) -> None:
    terminal.run("--version")

    assert terminal.code == 0
    assert terminal.out.startswith("remote-sandbox 0.")


def test_the_list_is_a_table(terminal: Terminal) -> None:
    words, answers = _COMMANDS["list"]

    terminal.run("list", *words, answers=answers)

    heading, row = terminal.out.splitlines()
    assert heading.split() == ["NAME", "STATE", "AGE", "CREATED"]
    assert row.split() == ["box", "paused", "1", "day", "2026-01-02T03:04:05Z"]
    assert heading.index("STATE") == row.index("paused")
    assert heading.index("CREATED") == row.index("2026")


@pytest.mark.parametrize(
    ("name", "columns"), [("box", 20), ("box", 80), ("a" * 30, 60), ("a" * 63, 20), ("a" * 63, 200)]
)
def test_a_narrow_terminal_shows_the_whole_name_and_state(
    name: str, columns: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [ALPHA_PENDING.listed(name), ALPHA_PENDING.listed("b")]
    looks = {f"GET /api/sandboxes/{each}": ALPHA_PENDING.response(each) for each in (name, "b")}
    listed = httpx.Response(200, json={"sandboxes": rows})

    terminal.run("list", answers={LIST: listed, **looks})

    heading, first, second = lines = re.sub(r"\x1b\[\d*m", "", terminal.out).splitlines()
    assert [line.split()[:2] for line in (first, second)] == [[name, "pending"], ["b", "pending"]]
    assert lines == [line.rstrip() for line in lines]
    if "CREATED" in heading:
        assert max(map(len, lines)) <= columns
    else:
        assert len(f"{name}  pending  1 day  2026-01-02T03:04:05Z") > columns


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COLUMNS", "0"),
        ("COLUMNS", "1"),
        ("COLUMNS", "²"),
        ("LINES", "0"),
        ("LINES", "²"),
        ("TTY_COMPATIBLE", "1"),
        ("FORCE_COLOR", ""),
        ("FORCE_COLOR", "0"),
    ],
)
def test_no_variable_changes_the_output_into_a_pipe(
    variable: str, value: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, answers = _COMMANDS["list"]
    expected = terminal.run("list", *words, answers=answers).out
    monkeypatch.setenv(variable, value)

    terminal.run("list", *words, answers=answers)

    assert (terminal.code, terminal.out, terminal.err) == (0, expected, "")
    assert expected.count("\n") == 2


def test_forced_colours_change_nothing_else_in_a_pipe(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {CREATE: created(), GET: ALPHA_READY.response()}
    plain = terminal.run("create", "box", answers=answers)
    expected = (plain.out, plain.err)
    monkeypatch.setenv("FORCE_COLOR", "1")

    terminal.run("create", "box", answers=answers)

    assert (terminal.out, terminal.err) == expected
    coloured = terminal.run("status", "box", answers={GET: ALPHA_READY.response()}).out
    assert "box is \x1b[32mready\x1b[0m" in coloured


def test_a_dumb_terminal_gets_a_line_for_each_reason(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    looks = [ALPHA_PENDING.response(), ALPHA_READY.response()]

    terminal.run("create", "box", answers={CREATE: created(), GET: looks})

    assert "pending: " in terminal.err
    assert "\x1b" not in terminal.err


def test_a_long_name_is_not_cut_in_a_pipe(terminal: Terminal) -> None:
    name = "a" * 63
    listed = httpx.Response(200, json={"sandboxes": [ALPHA_PENDING.listed(name)]})
    look = ALPHA_PENDING.response(name)

    terminal.run("list", answers={LIST: listed, f"GET /api/sandboxes/{name}": look})

    assert name in terminal.out


def test_an_empty_list_names_the_command_that_creates_a_sandbox(terminal: Terminal) -> None:
    empty = httpx.Response(200, json={"count": 0, "sandboxes": []})

    terminal.run("list", answers={LIST: empty})

    assert terminal.code == 0
    assert terminal.out == "No sandboxes. `remote-sandbox create NAME` creates one.\n"


def test_a_long_reason_is_one_line_in_a_pipe(terminal: Terminal) -> None:
    reason = "reason " * 40
    body = ALPHA_PENDING.body() | {"readyMessage": reason}

    terminal.run("status", "box", answers={GET: httpx.Response(200, json=body)})

    assert len(terminal.out.splitlines()) == 1
    assert reason.strip() in terminal.out


def test_markup_in_a_message_is_printed_literally(terminal: Terminal) -> None:
    body = ALPHA_PENDING.body() | {"readyMessage": "[bold red]x[/] {delete}"}

    terminal.run("status", "box", answers={GET: httpx.Response(200, json=body)})

    assert "[bold red]x[/] {delete}" in terminal.out


def test_create_prints_each_new_reason(terminal: Terminal) -> None:
    states = [ALPHA_PENDING, ALPHA_PENDING, ALPHA_STARTING, ALPHA_READY]
    answers: Answers = {CREATE: created(), GET: [each.response() for each in states]}

    terminal.run("create", "box", answers=answers)

    assert terminal.code == 0
    assert terminal.out == "box was created from aio:1 and is ready after 1.8 s\n"
    pending, starting = terminal.err.splitlines()
    assert pending == "  0.0 s  pending: Pod exists with phase: Pending; Service Exists"
    assert "starting: Pod is Running but not Ready" in starting


def test_create_says_when_old_files_are_there(terminal: Terminal) -> None:
    answers = {CREATE: created(), GET: ALPHA_READY.response(), LIST_FILES: listed("f")}

    terminal.run("create", "box", answers=answers)

    assert "Its /sandbox already has 1 entry: from a deleted sandbox" in terminal.out


def test_create_passes_image_and_port_on(terminal: Terminal) -> None:
    _, answers = _COMMANDS["create"]

    terminal.run("create", "box", "--image", "mine:2", "--port", "81", answers=answers)

    assert terminal.routes.bodies[0] == {"name": "box", "image": "mine:2", "port": 81}


@pytest.mark.parametrize("verb", ["create", "resume"])
@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ALPHA_PENDING, "but is NOT ready after 60 s: pending: Pod exists with phase: Pending"),
        (ALPHA_FAILED, "but will not become ready: failed: Pod exists with phase: Failed"),
        (ALPHA_ERROR, "but will not become ready: failed: Error seen: no quota"),
    ],
    ids=["late", "failed", "controller error"],
)
def test_a_readiness_timeout_ends_with_3_and_the_next_step(
    verb: str, row: StatusRow, words: str, terminal: Terminal
) -> None:
    terminal.run(verb, "box", answers={CREATE: created(), RESUME: succeeded(), GET: row.response()})

    assert (terminal.code, terminal.out) == (3, "")
    *_, error, fault, step = terminal.err.splitlines()
    assert error.startswith("error: box was ")
    assert words in error
    assert fault.startswith("cause: ")
    assert step.startswith("next:  ")
    assert "`remote-sandbox delete box`" in step


@pytest.mark.parametrize("verb", ["create", "resume"])
def test_a_cold_pod_is_waited_for_as_long_as_the_user_says(verb: str, terminal: Terminal) -> None:
    answers: Answers = {CREATE: created(), RESUME: succeeded(), GET: ALPHA_PENDING.response()}

    terminal.run(verb, "--wait", "1m30s", "box", answers=answers)

    assert terminal.code == 3
    assert "but is NOT ready after 90 s: pending" in terminal.err


def test_a_readiness_timeout_is_one_json_object(terminal: Terminal) -> None:
    terminal.run(
        "create", "--json", "box", answers={CREATE: created(), GET: ALPHA_FAILED.response()}
    )

    assert terminal.code == 3
    content = json.loads(terminal.out)
    assert (content["ready"], content["state"]) == (False, "failed")
    assert "Failed" in content["reason"]


def test_braces_in_a_reason_are_kept(terminal: Terminal) -> None:
    body = ALPHA_FAILED.body() | {"readyMessage": "phase: Failed {delete}"}

    terminal.run("create", "box", answers={CREATE: created(), GET: httpx.Response(200, json=body)})

    assert "failed: phase: Failed {delete}" in terminal.err


@pytest.mark.parametrize(
    "output", ["", "a\n", "no newline", "\x1b[1mbold\x1b[0m\n", "{delete} [red]\n", "x" * 500]
)
def test_prompt_prints_exactly_the_commands_output(output: str, terminal: Terminal) -> None:
    terminal.run("prompt", "box", "x", answers={EXEC: executed(output)})

    assert (terminal.code, terminal.out, terminal.err) == (0, output, "")


@pytest.mark.parametrize("status", ["hard_timeout", "terminated"])
def test_a_killed_command_prints_its_output_and_ends_with_137(
    status: str, terminal: Terminal
) -> None:
    terminal.run("prompt", "box", "x", answers={EXEC: executed("so far\n", None, status)})

    assert (terminal.code, terminal.out) == (137, "so far\n")
    assert "remote-sandbox: killed, after 0.0 s" in terminal.err


def test_prompt_prints_output_once_until_the_command_ends(
    terminal: Terminal,
) -> None:
    views = [view_of("a\n"), view_of("a\n"), view_of("a\nb"), view_of("a\nb\n", "completed", 4)]

    terminal.run("prompt", "box", "x", answers={EXEC: executed("", None, "running"), VIEW: views})

    assert (terminal.code, terminal.out, terminal.err) == (4, "a\nb\n", "")


def test_a_limited_wait_prints_the_command_that_follows_it(terminal: Terminal) -> None:
    answers: Answers = {EXEC: executed("", None, "running"), VIEW: view_of("so far\n")}

    terminal.run("prompt", "--wait", "2.5", "box", "x", answers=answers)

    assert (terminal.code, terminal.out) == (125, "so far\n")
    assert terminal.err == (
        f"remote-sandbox: still running in session '{SESSION}', after 2.5 s;"
        f" `remote-sandbox output -f --after 7 box {SESSION}` follows it\n"
    )


@pytest.mark.parametrize("verb", ["prompt", "agent"])
def test_a_detached_command_prints_its_session(verb: str, terminal: Terminal) -> None:
    terminal.run(verb, "-d", "box", "x", answers={EXEC: executed("", None, "running")})

    assert (terminal.code, terminal.out) == (0, f"{SESSION}\n")
    assert f"`remote-sandbox output -f box {SESSION}` follows it" in terminal.err


def test_an_agent_gets_its_prompt_as_one_word(terminal: Terminal) -> None:
    terminal.run("agent", "box", "it's", "a; test", answers={EXEC: executed()})

    assert terminal.routes.bodies[-1] == {
        "id": SESSION,
        "command": typed("cd /sandbox && gemini -y -p 'it'\"'\"'s a; test'", SESSION),
        "timeout": 0.05,
        "truncate": False,
    }


def test_a_key_that_spans_two_chunks_of_output_is_masked(terminal: Terminal) -> None:
    output = f"the key {KEY}\n"
    views = [view_of(output[:20]), view_of(output, "completed", 0)]

    terminal.run("prompt", "box", "env", answers={EXEC: executed("", None, "running"), VIEW: views})

    assert terminal.out == f"the key {masked(KEY, KEY)}\n"
    for command in ("output", "cancel"):
        terminal.run(
            command, "--json", "box", "s1", answers={VIEW: view_of(output, "completed", 0)}
        )
        assert json.loads(terminal.out)["output"] == f"the key {masked(KEY, KEY)}\n"


@pytest.mark.parametrize(("options", "shown"), [([], "^[[31mred\n"), (["--raw"], "\x1b[31mred\n")])
def test_a_terminal_gets_control_sequences_as_text_without_raw(
    options: list[str], shown: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)

    terminal.run("prompt", *options, "box", "x", answers={EXEC: executed("\x1b[31mred\n")})

    assert terminal.out == shown


def test_a_busy_session_is_refused(terminal: Terminal) -> None:
    answers: Answers = {OPEN: session_opened("build"), VIEW: view_of("x", command="make all")}

    terminal.run("prompt", "--session", "build", "box", "x", answers=answers)

    assert terminal.code == 125
    assert "Session 'build' of sandbox 'box' runs 'make all'; this one was not run" in terminal.err
    assert terminal.routes.asked == [OPEN, VIEW]


def test_output_of_a_running_command_notes_that_it_runs(terminal: Terminal) -> None:
    terminal.run("output", "box", "s1", answers={VIEW: view_of("a\nb\n")})

    assert (terminal.code, terminal.out) == (0, "a\nb\n")
    assert "still running in session 's1'" in terminal.err
    assert "`remote-sandbox output -f --after 4 box s1`" in terminal.err


def test_output_follows_from_a_position_to_the_end(terminal: Terminal) -> None:
    views = [view_of("abc"), view_of("abcd"), view_of("abcde", "completed", 7)]

    terminal.run("output", "-f", "--after", "3", "box", "s1", answers={VIEW: views})

    assert (terminal.code, terminal.out, terminal.err) == (7, "de", "")


def test_output_without_a_session_lists_the_sessions(terminal: Terminal) -> None:
    row: dict[str, object] = {"status": "running", "current_command": "make"}
    answers: Answers = {SESSIONS: session_list(s1=row), VIEW: view_of("line 7\n")}

    terminal.run("output", "box", answers=answers)

    assert (terminal.code, terminal.out) == (0, "s1 runs make\n    line 7\n")


def test_output_without_any_session_prints_a_sentence(terminal: Terminal) -> None:
    terminal.run("output", "box", answers={SESSIONS: session_list()})

    assert (terminal.code, terminal.out) == (0, f"box has no sessions: {WITHOUT_SESSIONS}.\n")


def test_cancel_kills_the_command_and_prints_its_output(terminal: Terminal) -> None:
    views = [view_of("so far\n"), view_of("so far\n^C", "completed", 130)]

    terminal.run("cancel", "box", "s1", answers={VIEW: views, TYPE: session_opened("s1")})

    assert (terminal.code, terminal.out) == (0, "so far\n^C")
    assert terminal.err == "remote-sandbox: exit code 130, ended by Ctrl-C\n"


def test_cancel_of_an_ended_command_says_that_nothing_was_killed(terminal: Terminal) -> None:
    terminal.run("cancel", "box", "s1", answers={VIEW: view_of("all\n", "completed", 3)})

    assert (terminal.code, terminal.out) == (0, "all\n")
    assert terminal.err == (
        "remote-sandbox: it had ended before (exit code 3): nothing was killed\n"
    )


def test_a_failed_kill_is_no_success(terminal: Terminal) -> None:
    answers: Answers = {VIEW: view_of("x\n"), KILL: succeeded()}

    terminal.run("cancel", "--signal", "SIGKILL", "box", "s1", answers=answers)

    assert terminal.code == 125
    assert "still running in session 's1'" in terminal.err
    assert "the runtime's kill did not end it" in terminal.err


def test_a_sandbox_up_for_more_than_a_day_is_named(terminal: Terminal) -> None:
    listed = httpx.Response(200, json={"count": 1, "sandboxes": [ALPHA_READY.listed()]})

    terminal.run("list", answers={LIST: listed, GET: ALPHA_READY.response()})

    assert "up for more than a day: box" in terminal.err


def test_contradicting_options_are_refused(terminal: Terminal) -> None:
    terminal.run("prompt", "-d", "--wait", "3", "box", "ls")
    assert terminal.code == 125
    assert "--detach and --wait were both given" in terminal.err
    terminal.run("output", "-f", "box")
    assert terminal.code == 125
    assert "`remote-sandbox output box`" in terminal.err


def test_an_agent_without_a_prompt_names_the_word_that_was_taken_as_the_name(
    terminal: Terminal,
) -> None:
    terminal.run("agent", "--repo", ".", "Fix it")

    assert terminal.code == 125
    assert "No prompt was given: 'Fix it' was taken as the sandbox's name" in terminal.err
    assert terminal.routes.asked == []


@pytest.mark.parametrize("names", [["nope"], ["nope", "other"]], ids=["one", "several"])
def test_the_advice_about_an_agent_names_its_sandbox(names: list[str], terminal: Terminal) -> None:
    on = [word for name in names for word in ("--on", name)]

    terminal.run("agent", *on, "Fix it", handler=lambda _: error_reply(404, "Sandbox not found"))

    for name in names:
        assert f"make it with `remote-sandbox create {name}`" in terminal.err


def test_a_missing_agent_advises_to_install_it(terminal: Terminal) -> None:
    terminal.run("agent", "box", "hi", answers={EXEC: executed("gemini: command not found\n", 127)})

    assert terminal.code == 127
    assert "name another agent in agentCommand" in terminal.err


def test_the_secrets_of_an_agent_are_masked_wherever_they_come_back(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a secret value"
    monkeypatch.setenv("REMOTE_SANDBOX_AGENT_ENVIRONMENT", "MODEL_KEY MISSING")
    monkeypatch.setenv("MODEL_KEY", secret)
    row: dict[str, object] = {"status": "running", "current_command": f"echo {secret}"}
    answers: Answers = {
        SESSIONS: session_list(s1=row),
        VIEW: view_of(f"it is {secret}\n", "completed", 0, command=f"echo {secret}"),
    }

    for words in (["output", "box", "s1"], ["output", "box"], ["output", "--json", "box"]):
        terminal.run(*words, answers=answers)
        assert masked(secret, secret) in terminal.out
        assert secret not in terminal.out + terminal.err

    runtime = RuntimeStub(executed(f"it is {secret}\n"), has_pipes=False)
    terminal.run("agent", "box", "fix it", handler=runtime)
    assert secret in runtime.files["run"].decode()
    assert terminal.out == f"it is {masked(secret, secret)}\n"
    assert "agentEnvironment names MISSING, which is not set on this machine" in terminal.err
    assert secret not in terminal.out + terminal.err

    terminal.run("agent", "-e", "MISSING=x", "box", "fix it", handler=runtime)
    assert "MISSING" not in terminal.err


def test_an_unreachable_proxy_is_reported_while_waiting(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "REPORT_INTERVAL", 0)

    async def proxy(request: httpx.Request) -> httpx.Response:
        operation = request.url.path.rpartition("/")[2]
        if operation != "view":
            return {"create": session_opened(), "exec": executed("", None, "running")}[operation]
        views.append(None)
        if 1 < len(views) < 8:
            raise httpx.ConnectError("gone")
        await anyio.lowlevel.checkpoint()
        return view_of("a\n") if len(views) == 1 else view_of("a\nb\n", "completed", 0)

    views: list[None] = []
    terminal.run("prompt", "box", "x", handler=proxy)

    assert (terminal.code, terminal.out) == (0, "a\nb\n")
    assert "cannot be reached" in terminal.err
    assert "still trying" in terminal.err


def test_a_command_that_stays_unreachable_ends_with_125_and_the_way_back(
    terminal: Terminal,
) -> None:
    views: list[Answer] = [view_of("a\n"), httpx.ConnectError("gone")]

    terminal.run("prompt", "box", "x", answers={EXEC: executed("", None, "running"), VIEW: views})

    assert (terminal.code, terminal.out) == (125, "a\n")
    assert "in the end it could not be reached for 60" in terminal.err
    assert f"`remote-sandbox output -f --after 2 box {SESSION}` follows it" in terminal.err


@pytest.mark.parametrize("words", [["--wait", "x"], ["--wait", "-1"], ["--wait", "inf"]], ids=str)
def test_a_wait_must_be_a_duration(words: list[str], terminal: Terminal) -> None:
    terminal.run("prompt", *words, "box", "ls")

    assert terminal.code == 125
    assert "invalid duration (30s, 10m, 1h30m) value" in terminal.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["ls -la | wc"], "ls -la | wc"),
        (["ls", "-la"], "ls -la"),
        (["echo", "two words"], "echo 'two words'"),
        (["echo", "$HOME", "it's", "*"], "echo '$HOME' 'it'\"'\"'s' '*'"),
        (["echo", "a;b", ""], "echo 'a;b' ''"),
        (["--", "ls", "-la"], "ls -la"),
        (["--", "ls; ls"], "ls; ls"),
        (["ls", "--json"], "ls --json"),
        (["ls", "--help"], "ls --help"),
        (["echo", "--", "x"], "echo -- x"),
    ],
    ids=str,
)
def test_one_argument_is_a_shell_command_and_several_are_quoted(
    words: list[str], command: str, terminal: Terminal
) -> None:
    terminal.run("prompt", "box", *words, answers={EXEC: executed()})

    assert terminal.routes.sent(EXEC)[0]["command"] == typed(command, SESSION)


def test_prompt_as_json_holds_output_and_exit_code(terminal: Terminal) -> None:
    terminal.run("prompt", "--json", "box", "x", answers={EXEC: executed("a\n", 3)})

    content = json.loads(terminal.out)
    assert (content["output"], content["exit_code"], terminal.code) == ("a\n", 3, 3)


def test_a_paused_sandbox_names_the_command_that_resumes_it(terminal: Terminal) -> None:
    answers: Answers = {EXEC: error_reply(503, "Sandbox not ready"), GET: ALPHA_PAUSED.response()}

    terminal.run("prompt", "box", "ls", answers=answers)

    assert terminal.code == 125
    assert "error: Sandbox 'box' is paused" in terminal.err
    assert "`remote-sandbox resume box`" in terminal.err
    assert "resume_sandbox" not in terminal.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["fly"], 2),
        (["create"], 2),
        (["create", "box", "--port", "many"], 2),
        (["create", "box", "--port", "0"], 2),
        (["status", "box", "more"], 2),
        (["status", "../me"], 2),
        (["list", "--all"], 2),
        (["prompt"], 125),
        (["prompt", "box"], 125),
        (["prompt", "box", " "], 125),
        (["prompt", "../me", "ls"], 125),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]  # words
)
def test_wrong_usage_ends_with_2_and_a_prompts_with_125(
    words: list[str], code: int, terminal: Terminal
) -> None:
    answers = {CREATE: created(), GET: ALPHA_READY.response()}

    terminal.run(*words, answers=answers)

    assert terminal.code == code
    assert terminal.out == ""
    assert "error: " in terminal.err
    assert terminal.routes.asked == []


@pytest.mark.parametrize(("command", "code"), [("list", 2), ("prompt", 125)])
def test_an_unusable_configuration_ends_with_2_and_a_prompts_with_125(
    command: str, code: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REMOTE_SANDBOX_API_KEY")

    terminal.run(command, *_COMMANDS[command][0])

    assert terminal.code == code
    assert "config.json" in terminal.err


async def interrupted(_: httpx.Request) -> httpx.Response:
    """Send SIGINT to this process during the request."""
    signal.raise_signal(signal.SIGINT)
    await anyio.sleep_forever()
    raise AssertionError


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("prompt", "nothing was run"),
        ("agent", "nothing was run"),
        ("create", "if the sandbox was created, it keeps starting"),
        ("resume", "the sandbox may keep starting"),
        ("delete", "the sandbox may be deleted all the same"),
        ("cancel", "`remote-sandbox output -f box s1` shows whether it was killed"),
        ("list", "interrupted"),
    ],
)
def test_ctrl_c_ends_with_130_and_a_note_about_the_sandbox(
    verb: str, words: str, terminal: Terminal
) -> None:
    terminal.run(verb, *_COMMANDS[verb][0], handler=interrupted)

    assert terminal.code == 130
    assert words in terminal.err
    assert "{" not in terminal.err, "a verb that was not spelled"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["prompt", "--jsn", "box", "ls"], 125, "unrecognized arguments: --jsn\n"),
        (["output", "box", "-f", "s1"], 125, "arguments: s1; options go before NAME\n"),
        (["output", "box", "s1", "s2"], 125, "arguments: s2\n"),
        (["push", "--history", "box", "two"], 2, "arguments: two; one sandbox is expected\n"),
        (["list", "box"], 2, "arguments: box\n"),
        (["list", "--al"], 2, "unrecognized arguments: --al\n"),
    ],
)
def test_an_unknown_argument_prints_the_usage_of_its_command(
    words: list[str], code: int, said: str, terminal: Terminal
) -> None:
    terminal.run(*words)

    assert terminal.code == code
    assert said in terminal.err
    assert f"`remote-sandbox {words[0]} --help`" in terminal.err


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"]
)
def test_sigterm_and_sighup_interrupt_like_ctrl_c(
    number: signal.Signals, code: int, terminal: Terminal
) -> None:
    async def proxy(_: httpx.Request) -> httpx.Response:
        signal.raise_signal(number)
        try:
            await anyio.sleep_forever()
        finally:
            cleaned_up.append(number)
        raise AssertionError

    cleaned_up: list[int] = []
    before = signal.getsignal(number)
    terminal.run("prompt", "box", "x", handler=proxy)

    assert (terminal.code, cleaned_up) == (code, [number])
    assert terminal.err == "remote-sandbox: interrupted: nothing was run\n"
    assert signal.getsignal(number) is before


async def interrupted_when_run(request: httpx.Request) -> httpx.Response:
    return session_opened() if request.url.path.endswith("/create") else await interrupted(request)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("verb", ["prompt", "agent"])
def test_ctrl_c_leaves_the_command_running_and_prints_its_session(
    verb: str, terminal: Terminal
) -> None:
    terminal.run(verb, *_COMMANDS[verb][0], handler=interrupted_when_run)

    assert terminal.code == 130
    assert "the command may keep running in the sandbox" in terminal.err
    assert f"`remote-sandbox output -f box {SESSION}`" in terminal.err
    assert f"`remote-sandbox cancel box {SESSION}`" in terminal.err


def test_a_command_line_that_is_not_utf_8_is_refused(terminal: Terminal) -> None:
    terminal.run("prompt", "box", "echo \udcff", answers={EXEC: executed()})

    assert terminal.code == 125
    assert "error: " in terminal.err


def test_unencodable_output_is_replaced(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)

    terminal.run("prompt", "box", "x", answers={EXEC: executed("é\U0001f600\n")})

    assert terminal.code == 0
    narrow.seek(0)
    assert narrow.read() == "??\n"


@pytest.mark.parametrize(
    ("argv", "started"),
    [(["mcp"], "server"), (["list"], "command line"), (["mcp", "--help"], "command line")],
)
def test_mcp_alone_starts_the_server_without_the_command_line(
    argv: list[str], started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def note(name: str) -> Callable[..., int]:
        def called(*_: object) -> int:
            calls.append(name)
            return 0

        return called

    monkeypatch.setattr("sandbox_client.mcp_server.handshake.serve", note("server"))
    monkeypatch.setattr("sandbox_client.cli.main.run", note("command line"))
    monkeypatch.setattr(sys, "argv", ["remote-sandbox", *argv])

    with contextlib.suppress(SystemExit):
        entry.main()

    assert calls == [started]


def test_a_readable_config_file_is_used_with_a_warning(
    terminal: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / ".config" / "gemini-remote-sandbox" / "config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"proxyUrl": URL, "apiKey": KEY}))
    path.chmod(0o644)
    monkeypatch.delenv("REMOTE_SANDBOX_PROXY_URL")
    monkeypatch.delenv("REMOTE_SANDBOX_API_KEY")

    terminal.run("status", "box", answers={GET: ALPHA_READY.response()})

    assert terminal.code == 0
    assert terminal.err.startswith(f"Warning: {path} holds apiKey and has mode 0644: ")
    assert f"chmod 600 {path}" in terminal.err


def test_the_list_says_why_a_state_is_unknown(terminal: Terminal) -> None:
    rows = [ALPHA_PAUSED.listed("one"), ALPHA_PAUSED.listed("two")]
    answers: Answers = {
        LIST: httpx.Response(200, json={"count": 2, "sandboxes": rows}),
        "GET /api/sandboxes/one": error_reply(500, "no"),
        "GET /api/sandboxes/two": error_reply(500, "no"),
    }

    terminal.run("list", answers=answers)

    assert terminal.code == 0
    assert terminal.out.count("unknown") == 2
    assert terminal.err == f"unknown state of one, two: The proxy failed (500): no; {AGAIN}\n"


def test_a_pause_that_is_not_visible_yet_ends_with_3(terminal: Terminal) -> None:
    terminal.run("pause", "box", answers={PAUSE: succeeded(), GET: ALPHA_READY.response()})

    assert terminal.code == 3
    assert "does not show yet after 15 s" in terminal.out
    assert "`remote-sandbox status box`" in terminal.out


@pytest.mark.parametrize("verb", ["create", "resume", "pause"])
@pytest.mark.parametrize("as_json", [False, True])
def test_an_outage_during_a_wait_ends_with_1(
    verb: str, terminal: Terminal, *, as_json: bool
) -> None:
    answers: Answers = {
        CREATE: created(),
        RESUME: succeeded(),
        PAUSE: succeeded(),
        GET: httpx.ConnectError("refused"),
    }

    terminal.run(verb, *(["--json"] if as_json else []), "box", answers=answers)

    assert terminal.code == 1
    if as_json:
        content = json.loads(terminal.out)
        assert content["state"] == "unknown"
        assert "cannot be reached" in content["reason"]
    else:
        assert "its status has not been readable for" in terminal.err
        assert "cause: the network, " in terminal.err


def test_resume_of_a_ready_sandbox_says_so(terminal: Terminal) -> None:
    terminal.run("resume", "box", answers={RESUME: succeeded(), GET: ALPHA_READY.response()})

    assert (terminal.code, terminal.out) == (
        0,
        "box is ready, and was ready before\n",
    )


def test_delete_with_a_lost_reply_says_that_the_sandbox_is_gone(terminal: Terminal) -> None:
    gone = error_reply(404, "Sandbox not found")

    terminal.run("delete", "box", answers={DELETE: html_page(502), GET: gone})

    assert terminal.code == 0
    assert terminal.out == "box no longer exists; the proxy's response was lost\n"


def test_a_used_up_quota_names_no_sandbox_to_delete(terminal: Terminal) -> None:
    terminal.run("create", "box", answers={CREATE: error_reply(403, "Quota reached")})

    assert "`remote-sandbox delete NAME`" in terminal.err


class BrokenStream(io.StringIO):
    """A standard output that fails with `error` at each write of some text."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str, /) -> int:
        if text:
            raise self.error
        return 0


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (OSError(28, "No space left on device"), 1, "cannot be written: No space left on device"),
    ],
    ids=["closed pipe", "full disk"],
)
def test_output_that_cannot_be_written_is_a_failure(
    error: OSError, code: int, words: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", BrokenStream(error))

    terminal.run("status", "box", answers={GET: ALPHA_READY.response()})

    assert terminal.code == code
    assert words in terminal.err
    assert bool(terminal.err) == bool(words)


def test_a_closed_standard_output_is_refused_before_the_command_runs(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    terminal.run("delete", "box", answers={DELETE: succeeded()})

    assert terminal.code == 1
    assert "it is closed; nothing was done" in terminal.err
    assert terminal.routes.asked == []


def test_a_wait_changes_one_line_of_an_interactive_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    looks = [ALPHA_PENDING.response(), ALPHA_READY.response()]

    terminal.run("create", "box", answers={CREATE: created(), GET: looks})

    assert terminal.code == 0
    assert "\x1b[?25l" in terminal.err, "the cursor is hidden while the line changes"
    assert "pending: " not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.err).splitlines()[-1]


def test_the_changing_line_ends_when_output_comes(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")

    terminal.run("prompt", "box", "x", answers={EXEC: executed("a\n")})

    assert (terminal.code, terminal.out) == (0, "a\n")


def test_mcp_with_options_of_the_parser_starts_the_server(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr("sandbox_client.mcp_server.handshake.serve", lambda: started.append(True))

    terminal.run("--json", "mcp")

    assert (terminal.code, started) == (0, [True])


def test_an_ignored_sigint_stays_ignored(terminal: Terminal) -> None:
    def proxy(_: httpx.Request) -> httpx.Response:
        signal.raise_signal(signal.SIGINT)
        return ALPHA_READY.response()

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    terminal.run("status", "box", handler=proxy)

    assert terminal.code == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_sigterm_ends_the_process_if_ctrl_c_is_ignored(terminal: Terminal) -> None:
    handlers: list[object] = []

    def proxy(_: httpx.Request) -> httpx.Response:
        handlers.extend([signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)])
        return ALPHA_READY.response()

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        terminal.run("status", "box", handler=proxy)
    finally:
        signal.signal(signal.SIGINT, before)

    assert handlers == [signal.SIG_DFL, signal.SIG_DFL], "as for a command in the background"


@pytest.mark.parametrize(
    ("before", "after"),
    [(signal.default_int_handler, signal.SIG_DFL), (signal.SIG_IGN, signal.SIG_IGN)],
    ids=["default", "ignored"],
)
def test_ctrl_c_has_the_default_action_until_a_command_runs(
    before: signal.Handlers, after: signal.Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        "sandbox_client.mcp_server.handshake.serve",
        lambda: seen.append(signal.getsignal(signal.SIGINT)),
    )
    monkeypatch.setattr(sys, "argv", ["remote-sandbox", "mcp"])
    signal.signal(signal.SIGINT, before)

    entry.main()

    assert seen == [after]
