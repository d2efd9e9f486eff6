"""The results of tools: a text for the model and an object that conforms to the schema."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import get_args

import httpx
import pytest
from sandbox_client.errors import RuntimeSilent
from sandbox_client.masking import masked
from sandbox_client.mcp_server.tool import format_verb
from sandbox_client.presentation.errors import Verb

from tests.client.statuses import (
    ALPHA_FAILED,
    ALPHA_NEW,
    ALPHA_PAUSED,
    ALPHA_READY,
    BETA_EXPIRED,
    BETA_PAUSED,
    PROFILES,
    Profile,
    StatusRow,
)
from tests.client.stubs import (
    COMMAND,
    CONFIG,
    CREATED_AT,
    EXEC,
    KEY,
    LIST_FILES,
    OPEN,
    PIPE_EXEC,
    PIPE_OUTPUT,
    RUNTIME,
    SESSION,
    SESSIONS,
    TYPE,
    VIEW,
    Answer,
    Answers,
    RouteStub,
    client_over,
    created,
    error_reply,
    executed,
    html_page,
    listed,
    piped,
    piped_output,
    session_list,
    succeeded,
    view_of,
)
from tests.client.tool_calls import TOOLS_BY_NAME, call_tool, call_with_client, is_json

BOX = {"name": "box"}
GET = "GET /api/sandboxes/box"
LIST = "GET /api/sandboxes"
CREATE = "POST /api/sandboxes"
PAUSE = "POST /api/sandboxes/box/pause"
RESUME = "POST /api/sandboxes/box/resume"
DELETE = "DELETE /api/sandboxes/box"

in_both_profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda it: str(it.name))


@in_both_profiles
async def test_create_names_the_image_and_the_seconds(profile: Profile) -> None:
    answers: Answers = {
        CREATE: created(image="aio:1"),
        GET: [profile.new.response(), profile.ready.response()],
    }

    result = await call_tool("create_sandbox", BOX, answers)

    assert result.text == (
        "Sandbox 'box' was created from aio:1 and is ready after 0.2 s."
        " Run commands in it with send_prompt_to_sandbox."
    )
    assert result.content == {
        "name": "box",
        "state": "ready",
        "ready": True,
        "waited_seconds": 0.2,
        "image": "aio:1",
    }


async def test_create_says_when_old_files_are_there() -> None:
    answers: Answers = {
        CREATE: created(),
        GET: ALPHA_READY.response(),
        LIST_FILES: listed("notes.txt", "old"),
    }

    result = await call_tool("create_sandbox", BOX, answers)

    assert "Its /sandbox already has 2 entries: from a deleted sandbox" in result.text
    assert result.content is not None
    assert result.content["old_entries"] == 2


async def test_files_that_cannot_be_listed_do_not_fail_a_create() -> None:
    answers: Answers = {
        CREATE: created(),
        GET: ALPHA_READY.response(),
        LIST_FILES: error_reply(500, "fetch failed"),
    }

    result = await call_tool("create_sandbox", BOX, answers)

    assert not result.is_error
    assert "already has" not in result.text


@in_both_profiles
@pytest.mark.parametrize("verb", ["create_sandbox", "resume_sandbox"])
async def test_a_readiness_timeout_states_the_last_reason_and_the_next_step(
    verb: str, profile: Profile
) -> None:
    answers = {CREATE: created(), RESUME: succeeded(), GET: profile.pending.response()}

    result = await call_tool(verb, BOX, answers)

    event, cause, step = result.text.splitlines()
    assert event.endswith(f"is NOT ready after 60 s: pending: {profile.pending.message}")
    assert cause == "Cause: the sandbox is not ready."
    assert step.startswith("Next: It may still become ready")
    assert "get_sandbox_status" in step
    assert result.content is not None
    assert (result.content["ready"], result.content["state"]) == (False, "pending")
    assert not result.is_error


@pytest.mark.parametrize(
    ("verb", "beginning"),
    [
        ("create_sandbox", "Sandbox 'box' was created from aio:1, but its status"),
        ("resume_sandbox", "Sandbox 'box' was resumed, but its status"),
        ("pause_sandbox", "The pause of sandbox 'box' was accepted, but its status"),
    ],
)
async def test_an_outage_during_a_wait_is_not_called_a_state_of_the_sandbox(
    verb: str, beginning: str
) -> None:
    answers: Answers = {
        CREATE: created(),
        RESUME: succeeded(),
        PAUSE: succeeded(),
        GET: httpx.ConnectError("refused"),
    }

    result = await call_tool(verb, BOX, answers)

    event, cause, step = result.text.splitlines()
    assert re.fullmatch(
        rf"{beginning} has not been readable for \d+ s: http://proxy\.test:8080 cannot be reached",
        event,
    )
    assert cause == "Cause: the network, or a proxy that was stopped: it has answered before."
    assert step.startswith("Next: Check with get_sandbox_status in a while.")
    assert result.is_error
    assert result.content is not None
    assert result.content["state"] == "unknown"


@pytest.mark.parametrize(
    ("answer", "event", "step"),
    [
        (
            error_reply(429, "slow down", retry_after="300"),
            "but its status cannot be read: The proxy asks for fewer requests: slow down",
            "Next: Wait 5 minutes, as the proxy asks, then check with get_sandbox_status.",
        ),
        (
            error_reply(401, "API key has expired"),
            "but its status cannot be read: The API key has expired",
            "Next: Ask the proxy's administrator for a key, and give it to `remote-sandbox login`,",
        ),
    ],
    ids=["a long Retry-After", "an expired key"],
)
async def test_a_status_that_is_refused_during_a_wait_names_its_cause(
    answer: Answer, event: str, step: str
) -> None:
    result = await call_tool("create_sandbox", BOX, {CREATE: created(), GET: answer})

    lines = result.text.splitlines()
    assert lines[0].endswith(event)
    assert lines[2].startswith(step)
    assert result.is_error


async def test_a_silent_runtime_is_named_at_the_end_of_a_wait() -> None:
    silent = error_reply(500, "fetch failed")
    answers = {CREATE: created(), GET: ALPHA_READY.response(), RUNTIME: silent}

    result = await call_tool("create_sandbox", BOX, answers)

    assert "cannot be used after 60 s: its runtime does not answer yet: " in result.text
    assert "Cause: the sandbox's runtime" in result.text
    assert "delete_sandbox" not in result.text, "it is ready by its status"
    assert not result.is_error
    assert result.content is not None
    assert result.content["ready"] is False


@pytest.mark.parametrize(
    "answer",
    [error_reply(500, "fetch failed"), error_reply(503, "Sandbox not ready")],
    ids=["as deployed", "by the contract"],
)
async def test_a_command_for_a_silent_runtime_was_not_run(answer: Answer) -> None:
    answers: Answers = {OPEN: answer, GET: ALPHA_READY.response()}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert result.is_error
    event, cause, step = result.text.splitlines()
    assert event == (
        "Sandbox 'box' is ready, but its runtime does not answer yet; the command was not run"
    )
    assert cause == f"Cause: {RuntimeSilent.cause}"
    assert step.startswith("Next: Wait some seconds")


@pytest.mark.parametrize(
    ("verb", "row", "reason"),
    [
        ("create_sandbox", ALPHA_FAILED, "the sandbox's image, or the cluster."),
        ("resume_sandbox", BETA_EXPIRED, "the sandbox's lifetime, which is over."),
    ],
    ids=["create", "resume"],
)
async def test_a_sandbox_that_cannot_become_ready_is_an_error(
    verb: str, row: StatusRow, reason: str
) -> None:
    result = await call_tool(
        verb, BOX, {CREATE: created(), RESUME: succeeded(), GET: row.response()}
    )

    event, cause, step = result.text.splitlines()
    assert event.endswith(f"but will not become ready: {row.state.value}: {row.message}")
    assert cause == f"Cause: {reason}"
    assert "Waiting does not help" in step
    assert "delete_sandbox" in step
    assert result.is_error
    assert result.content is not None
    assert result.content["ready"] is False


@pytest.mark.parametrize("row", [ALPHA_NEW, ALPHA_READY, BETA_PAUSED], ids=lambda row: str(row.id))
async def test_status_states_the_state_and_the_controllers_reason(row: StatusRow) -> None:
    result = await call_tool("get_sandbox_status", BOX, {GET: row.response()})

    assert f"Sandbox 'box' is {row.state.value}" in result.text
    assert (row.message or "not seen it yet") in result.text
    assert CREATED_AT in result.text
    assert result.content is not None
    assert result.content["ready"] is (row.state.value == "ready")


async def test_the_list_has_a_line_for_each_sandbox() -> None:
    rows = [ALPHA_PAUSED.listed()]
    answers = {
        LIST: httpx.Response(200, json={"count": 1, "sandboxes": rows}),
        GET: ALPHA_PAUSED.response(),
    }

    result = await call_tool("list_sandboxes", {}, answers)

    assert result.text == "1 sandbox, newest first:\n- box: paused, made 1 day ago"
    assert result.content == {
        "count": 1,
        "sandboxes": [
            {
                "name": "box",
                "state": "paused",
                "created_at": CREATED_AT,
                "age": "1 day",
                "up_for_long": False,
            }
        ],
    }


async def test_the_list_marks_a_sandbox_up_for_more_than_a_day() -> None:
    rows = [ALPHA_READY.listed()]
    answers = {
        LIST: httpx.Response(200, json={"count": 1, "sandboxes": rows}),
        GET: ALPHA_READY.response(),
    }

    result = await call_tool("list_sandboxes", {}, answers)

    assert "- box: ready, made 1 day ago: UP FOR MORE THAN A DAY, pause or delete" in result.text


async def test_the_list_says_why_a_state_is_unknown() -> None:
    answers = {
        LIST: httpx.Response(200, json={"count": 1, "sandboxes": [ALPHA_PAUSED.listed()]}),
        GET: error_reply(500, "no"),
    }

    result = await call_tool("list_sandboxes", {}, answers)

    assert "\n- box: unknown (The proxy failed (500): no), made 1 day ago" in result.text
    assert result.content is not None
    (row,) = json.loads(json.dumps(result.content["sandboxes"]))
    assert (row["state"], row["reason"]) == ("unknown", "The proxy failed (500): no")


async def test_an_empty_list_names_create_sandbox() -> None:
    empty = httpx.Response(200, json={"count": 0, "sandboxes": []})

    result = await call_tool("list_sandboxes", {}, {LIST: empty})

    assert result.text == "No sandboxes. create_sandbox creates one."
    assert result.content == {"count": 0, "sandboxes": []}


async def test_the_notes_of_the_tool_come_before_the_output() -> None:
    result = await call_tool(
        "send_prompt_to_sandbox", BOX | {"command": "ls"}, {EXEC: executed("a\nb\n", 2)}
    )

    assert result.text == (
        "[exit code 2, after 0.0 s]\n"
        "[Below: 3 characters of output, with standard error in it.]\n"
        "a\nb"
    )
    assert result.content == {
        "name": "box",
        "session": SESSION,
        "status": "completed",
        "output": "a\nb\n",
        "next_after": 4,
        "left_out": 0,
        "seconds": 0.0,
        "exit_code": 2,
    }
    assert not result.is_error


async def test_standard_error_is_marked_if_the_runtime_separates_it() -> None:
    answers = {PIPE_EXEC: piped("a\nb\n", "oh\n", 2)}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "ls"}, answers, pipes=True)

    assert result.text == (
        "[exit code 2, after 0.0 s]\n"
        "[Below: 3 characters of output and 2 characters of standard error.]\n"
        "a\nb\n"
        "[standard error]\n"
        "oh"
    )
    assert result.content is not None
    assert (result.content["stderr"], result.content["next_stderr_after"]) == ("oh\n", 3)


async def test_a_long_standard_error_names_the_argument_for_the_rest() -> None:
    answers = {PIPE_EXEC: piped("", "x" * 39_000)}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "x"}, answers, pipes=True)

    assert "[… 9000 bytes left out; stderr_after=15000 shows them …]" in result.text


async def test_a_running_command_goes_on_after_the_positions_of_both_streams() -> None:
    pieces = [piped_output("a", 1, stderr="é", stderr_end=2), piped_output(end=1, stderr_end=2)]
    answers: Answers = {PIPE_OUTPUT: pieces}

    result = await call_tool("get_prompt_output", BOX | {"session": COMMAND}, answers, pipes=True)

    call = f'{{"name": "box", "session": "{COMMAND}", "after": 1, "stderr_after": 2}}'
    assert f"get_prompt_output {call} waits for more" in result.text


async def test_new_output_after_the_positions_of_both_streams_is_returned() -> None:
    proxy: Answers = {PIPE_OUTPUT: piped_output("ab", 2, stderr="1234 z", stderr_end=6)}
    arguments = BOX | {"session": COMMAND, "after": 1, "stderr_after": 5}

    result = await call_tool("get_prompt_output", arguments, proxy, pipes=True)

    assert result.content is not None
    assert (result.content["output"], result.content["stderr"]) == ("b", "z")
    assert (result.content["next_after"], result.content["next_stderr_after"]) == (2, 6)


@pytest.mark.parametrize("output", ['{"a": 1}', "7", ""])
async def test_the_text_is_not_json_when_the_output_is(output: str) -> None:
    result = await call_tool(
        "send_prompt_to_sandbox", BOX | {"command": "x"}, {EXEC: executed(output)}
    )

    assert not is_json(result.text)
    assert result.content is not None
    assert result.content["output"] == output


async def test_a_running_command_has_its_session_its_tail_and_the_next_call() -> None:
    output = "x" * 10_000 + "the end\n"
    answers: Answers = {EXEC: executed("", None, "running"), VIEW: view_of(output)}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    lines = result.text.splitlines()
    assert lines[0] == f"[still running in session '{SESSION}', after 45.0 s]"
    assert lines[1] == (
        "[The command keeps running. get_prompt_output"
        f' {{"name": "box", "session": "{SESSION}", "after": 10008}} waits for more'
        " output; cancel_prompt kills it.]"
    )
    assert lines[3] == "[… 6008 characters left out; after=0 shows them …]"
    assert lines[4].endswith("the end")
    assert result.content is not None
    assert (result.content["status"], result.content["next_after"]) == ("running", 10_008)
    assert "exit_code" not in result.content
    assert not result.is_error


async def test_a_killed_command_has_no_exit_code() -> None:
    answers = {EXEC: executed("so far", None, "terminated")}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert result.text.splitlines()[0] == "[killed, after 0.0 s]"
    assert result.content is not None
    assert result.content["status"] == "killed"
    assert "exit_code" not in result.content


async def test_run_agent_starts_the_agent_without_waiting() -> None:
    arguments = BOX | {"prompt": "fix it's bug; rm -rf /"}

    result = await call_tool("run_agent", arguments, {EXEC: executed("", None, "running")})

    assert result.text.startswith("[still running in session")
    assert "get_prompt_output" in result.text
    assert result.text.endswith("\n[It has printed nothing.]")


async def test_output_after_a_position_is_the_new_part() -> None:
    answers = {VIEW: view_of("known, and new")}

    result = await call_tool("get_prompt_output", BOX | {"session": "s1", "after": 11}, answers)

    assert result.text.startswith("[still running in session 's1']\n")
    assert result.text.endswith("]\nnew")
    assert result.content is not None
    assert (result.content["output"], result.content["next_after"]) == ("new", 14)


async def test_a_long_output_can_be_read_to_its_end_page_by_page() -> None:
    output = "".join(f"{number}\n" for number in range(20_000))
    answers = {VIEW: view_of(output, "completed", 0)}
    collected, after = "", 0
    for _ in range(10):
        arguments = BOX | {"session": "s1", "after": after}
        result = await call_tool("get_prompt_output", arguments, answers)
        assert len(result.text) < 31_000
        assert result.content is not None
        place = result.content["next_after"]
        assert isinstance(place, int)
        collected += str(result.content["output"])[: place - after]
        after = place
        if not result.content["left_out"]:
            break
    assert collected == output
    assert after == len(output)


async def test_output_without_a_session_lists_the_sessions() -> None:
    listed = session_list(
        s1={"status": "completed", "last_used_at": "2"}, s2={"status": "completed"}
    )
    views = [view_of("a\nb\n", "completed", 3, command="make"), view_of("", command="sleep 9")]

    result = await call_tool("get_prompt_output", BOX, {SESSIONS: listed, VIEW: views})

    assert result.text.splitlines() == [
        "2 sessions of 'box', newest first:",
        "- s1 ended with exit code 3: make",
        "    b",
        "- s2 runs sleep 9",
        "get_prompt_output with one of them as session shows its output.",
    ]
    assert result.content is not None
    assert result.content["count"] == 2


async def test_cancel_returns_how_the_command_ended_and_its_output() -> None:
    views = [view_of("so far\n"), view_of("so far\n^C", "completed", 130)]

    result = await call_tool(
        "cancel_prompt", BOX | {"session": "s1"}, {VIEW: views, TYPE: succeeded()}
    )

    assert result.text.startswith("[exit code 130, ended by Ctrl-C]\n")
    assert result.text.endswith("\nso far\n^C")
    assert result.content is not None
    assert result.content["signals"] == ["SIGINT"]


async def test_cancel_of_an_ended_command_says_that_nothing_was_killed() -> None:
    answers = {VIEW: view_of("all\n", "completed", 3)}

    result = await call_tool("cancel_prompt", BOX | {"session": "s1"}, answers)

    assert result.text.startswith("[it had ended before (exit code 3): nothing was killed]\n")
    assert result.text.endswith("\nall")


async def test_an_error_ends_with_the_output_so_far() -> None:
    answers: Answers = {
        EXEC: executed("", None, "running"),
        VIEW: [view_of("so far\n"), error_reply(503, "Sandbox not ready")],
        GET: ALPHA_PAUSED.response(),
    }

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert result.is_error
    assert result.text.startswith("Sandbox 'box' is paused; no result")
    assert result.text.endswith("\n[Below: 6 characters of output.]\nso far")


async def test_a_long_list_of_sessions_is_shown_in_part() -> None:
    many: dict[str, dict[str, object]] = {f"s{n}": {"status": "completed"} for n in range(500)}

    result = await call_tool(
        "get_prompt_output", BOX, {SESSIONS: session_list(**many), VIEW: view_of("x")}
    )

    assert result.text.startswith("500 sessions of 'box'")
    assert "\n… and 450 more" in result.text
    assert len(result.text) < 10_000


async def test_a_long_output_is_cut_in_text_and_object() -> None:
    output = "head" + "x" * 100_000 + "tail"
    answers = {EXEC: executed(output), VIEW: view_of(output, "completed", 0)}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert len(result.text) < 31_000
    assert result.content is not None
    shown = result.content["output"]
    assert isinstance(shown, str)
    assert shown.startswith("head")
    assert shown.endswith("tail")
    assert "[… 70008 characters left out; after=15000 shows them …]" in shown
    assert result.content["left_out"] == 70_008
    assert shown in result.text


@pytest.mark.parametrize("seconds", [-1, 241])
async def test_a_wait_out_of_bounds_names_the_bounds(seconds: int) -> None:
    arguments = BOX | {"command": "x", "wait_seconds": seconds}

    result = await call_tool("send_prompt_to_sandbox", arguments, {})

    assert result.is_error
    assert f"'wait_seconds' has value {seconds}" in result.text
    assert "from 0 to 240" in result.text


async def test_a_pause_that_is_not_visible_yet_states_the_state() -> None:
    result = await call_tool(
        "pause_sandbox", BOX, {PAUSE: succeeded(), GET: ALPHA_READY.response()}
    )

    assert result.text == (
        "The pause of sandbox 'box' was accepted and does not show yet after 15 s"
        f" (ready: {ALPHA_READY.message}). Check with get_sandbox_status in a while, and do"
        " not resume before it shows."
    )
    assert result.content == {"name": "box", "state": "ready"}
    assert not result.is_error


async def test_resume_of_a_ready_sandbox_says_so() -> None:
    result = await call_tool(
        "resume_sandbox", BOX, {RESUME: succeeded(), GET: ALPHA_READY.response()}
    )

    assert result.text == "Sandbox 'box' is ready, and was ready before."
    assert result.content is not None
    assert (result.content["ready"], result.content["was_ready"]) == (True, True)


async def test_pause_keeps_the_files_and_delete_removes_them() -> None:
    paused = await call_tool(
        "pause_sandbox", BOX, {PAUSE: succeeded(), GET: ALPHA_PAUSED.response()}
    )
    deleted = await call_tool("delete_sandbox", BOX, {DELETE: succeeded()})

    assert "/sandbox stays, /home/gem and /tmp are emptied. resume_sandbox" in paused.text
    assert paused.content == {"name": "box", "state": "paused"}
    assert "may keep its /sandbox" in deleted.text
    assert deleted.content == {"name": "box", "deleted": True}


_FAULTS: dict[str, tuple[str, Answers, str]] = {
    "bad key": ("pause_sandbox", {PAUSE: error_reply(401, "API key has expired")}, "has expired"),
    "not yours": ("pause_sandbox", {PAUSE: error_reply(403, "no access")}, "list_sandboxes"),
    "exists": (
        "create_sandbox",
        {CREATE: error_reply(409, "Sandbox 'box' already exists"), GET: ALPHA_READY.response()},
        "already: it is ready",
    ),
    "quota": ("create_sandbox", {CREATE: error_reply(500, "exceeded quota")}, "delete_sandbox"),
    "unreachable": ("delete_sandbox", {DELETE: httpx.ConnectError("x")}, "cannot be reached"),
    "page": (
        "delete_sandbox",
        {DELETE: html_page(502), GET: error_reply(401, "x"), LIST: html_page(502)},
        "an HTML page",
    ),
    "broken": ("get_sandbox_status", {GET: httpx.Response(200, text="?")}, "not JSON"),
    "failed": (
        "pause_sandbox",
        {PAUSE: error_reply(500, "disk full"), GET: html_page(502), LIST: html_page(502)},
        "disk full",
    ),
    "bad name": ("pause_sandbox", {}, "cannot be a sandbox's name"),
}


@pytest.mark.parametrize("fault", _FAULTS)
async def test_every_error_is_three_lines(fault: str) -> None:
    tool, answers, words = _FAULTS[fault]
    arguments = {"name": "../me"} if fault == "bad name" else BOX

    result = await call_tool(tool, arguments, answers)

    assert result.is_error
    event, cause, step = result.text.splitlines()
    assert event
    assert cause.startswith("Cause: ")
    assert step.startswith("Next: ")
    assert words in result.text


async def test_advice_names_tools_and_no_commands() -> None:
    answers = {EXEC: error_reply(503, "Sandbox not ready"), GET: ALPHA_PAUSED.response()}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "ls"}, answers)

    assert "Resume it first with resume_sandbox" in result.text
    assert "remote-sandbox" not in result.text
    assert "{" not in result.text


def test_every_verb_has_a_tool() -> None:
    assert {format_verb(verb) for verb in get_args(Verb)} >= set(TOOLS_BY_NAME)


@pytest.mark.parametrize("port", [0, 65536])
async def test_an_invalid_port_is_named(port: int) -> None:
    result = await call_tool("create_sandbox", BOX | {"port": port}, {CREATE: created()})

    assert result.is_error
    assert f"'port' has value {port}" in result.text
    assert "65535" in result.text


async def test_braces_in_an_output_are_kept() -> None:
    result = await call_tool(
        "send_prompt_to_sandbox", BOX | {"command": "x"}, {EXEC: executed("use {delete} now")}
    )

    assert "use {delete} now" in result.text


async def test_braces_in_a_reason_are_kept() -> None:
    body = PROFILES[0].pending.body() | {"readyMessage": "template {delete} left"}
    answers = {CREATE: created(), GET: httpx.Response(200, json=body)}

    result = await call_tool("create_sandbox", BOX, answers)

    assert "template {delete} left" in result.text


def test_every_tool_has_an_output_schema() -> None:
    for tool in TOOLS_BY_NAME.values():
        assert json.dumps(tool.output_schema())
        assert "name" in tool.output or not tool.arguments


async def test_a_missing_agent_is_named_with_its_command_line() -> None:
    answers: Answers = {EXEC: executed("bash: line 1: gemini: command not found\n", 127)}

    result = await call_tool("run_agent", BOX | {"prompt": "x"}, answers)

    assert "[The sandbox lacks a program of the agent's command line: " in result.text


async def test_an_unset_variable_of_the_agent_is_named() -> None:
    config = replace(CONFIG, agent_environment=("MISSING",))
    answers: Answers = {EXEC: executed("", None, "running")}
    async with client_over(RouteStub(answers), config=config) as client:
        result = await call_with_client(client, "run_agent", BOX | {"prompt": "x"})

    assert "[agentEnvironment names MISSING, which is not set on this machine: " in result.text


async def test_a_missing_program_and_bytes_that_are_not_utf_8_are_explained() -> None:
    result = await call_tool(
        "send_prompt_to_sandbox", BOX | {"command": "x"}, {EXEC: executed("\ufffd\ufffd\n", 127)}
    )

    assert result.text.splitlines()[1:3] == [
        "[Exit code 127: the shell did not find a program.]",
        "[2 characters may be bytes that are not UTF-8, shown as \ufffd.]",
    ]


async def test_output_has_no_key_no_control_characters_and_only_the_last_frame() -> None:
    output = f"\x1b[31m10%\r20% {KEY}\n"

    result = await call_tool(
        "send_prompt_to_sandbox", BOX | {"command": "x"}, {EXEC: executed(output)}
    )

    assert result.text.splitlines()[-1] == f"20% {masked(KEY, KEY)}"
    assert result.content is not None
    assert result.content["output"] == f"20% {masked(KEY, KEY)}\n"


async def test_a_very_long_output_states_how_much_is_lost() -> None:
    half = "x" * 5_000_000
    kept = f"{half}\n[... 7000 characters left out ...]\n{half}"
    answers = {VIEW: view_of(kept, "completed", 0)}
    arguments = BOX | {"session": "s1"}

    result = await call_tool("get_prompt_output", arguments | {"after": 5_000_000}, answers)

    assert result.content is not None
    assert (result.content["gone"], result.content["next_after"]) == (7_000, 5_037_000)
    assert "7000 are gone: the runtime keeps only the start and the end" in result.text


async def test_output_of_a_sandbox_without_sessions_names_the_next_tool() -> None:
    result = await call_tool("get_prompt_output", BOX, {SESSIONS: session_list()})

    assert result.text == (
        "Sandbox 'box' has no sessions: no command has run since its start, or none in the last"
        " hour. send_prompt_to_sandbox runs a command."
    )


async def test_an_unreachable_command_states_the_reason() -> None:
    views: list[Answer] = [view_of("a"), httpx.ConnectError("x")]
    answers: Answers = {EXEC: executed("", None, "running"), VIEW: views}

    result = await call_tool("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert re.search(
        r"^\[in the end it could not be reached for \d+ s: ", result.text, re.MULTILINE
    )
    assert "keeps running" not in result.text


async def test_delete_with_a_lost_reply_says_that_the_sandbox_is_gone() -> None:
    answers: Answers = {DELETE: html_page(502), GET: error_reply(404, "Sandbox not found")}

    result = await call_tool("delete_sandbox", BOX, answers)

    assert result.text == "Sandbox 'box' no longer exists; the proxy's response was lost."
