"""What a model reads: a text that says it all, and an object that fits the tool's own schema."""

from __future__ import annotations

import json
from typing import get_args

import httpx
import pytest
from sandbox_client._errors import Verb
from sandbox_client._tools.speech import spell

from tests.client.doubles import (
    CREATED_AT,
    EXEC,
    KILL,
    SESSION,
    SESSIONS,
    VIEW,
    Answers,
    done,
    made,
    opened,
    page,
    ran,
    says,
    sessions,
    viewed,
)
from tests.client.states import ALPHA_PAUSED, ALPHA_READY, PROFILES, ROWS, Profile, Row
from tests.client.tools import BY_NAME, is_json, use

BOX = {"name": "box"}
GET = "GET /api/sandboxes/box"
LIST = "GET /api/sandboxes"
CREATE = "POST /api/sandboxes"
PAUSE = "POST /api/sandboxes/box/pause"
RESUME = "POST /api/sandboxes/box/resume"
DELETE = "DELETE /api/sandboxes/box"

in_both_profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda it: str(it.name))


@in_both_profiles
async def test_create_says_from_what_and_that_it_is_ready(profile: Profile) -> None:
    answers: Answers = {
        CREATE: made(image="aio:1"),
        GET: [profile.new.response(), profile.ready.response()],
    }

    result = await use("create_sandbox", BOX, answers)

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


@in_both_profiles
@pytest.mark.parametrize("verb", ["create_sandbox", "resume_sandbox"])
async def test_a_wait_in_vain_says_not_ready_the_last_reason_and_what_to_do(
    verb: str, profile: Profile
) -> None:
    answers = {CREATE: made(), RESUME: done(), GET: profile.pending.response()}

    result = await use(verb, BOX, answers)

    what, fault, step = result.text.splitlines()
    assert what.endswith(f"is NOT ready after 60 s: pending: {profile.pending.message}")
    assert fault == "Fault: nobody's: the sandbox's state."
    assert step.startswith("Next: It may still become ready")
    assert "get_sandbox_status" in step
    assert result.content is not None
    assert (result.content["ready"], result.content["state"]) == (False, "pending")
    assert not result.is_error


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.state.is_over], ids=lambda row: str(row.id)
)
@pytest.mark.parametrize("verb", ["create_sandbox", "resume_sandbox"])
async def test_a_sandbox_that_is_over_is_an_error_with_the_controllers_words(
    verb: str, row: Row
) -> None:
    result = await use(verb, BOX, {CREATE: made(), RESUME: done(), GET: row.response()})

    what, fault, step = result.text.splitlines()
    assert what.endswith(f"but will not become ready: {row.state.value}: {row.message}")
    assert fault == "Fault: the sandbox's: its image, or the cluster it runs on."
    assert "Waiting does not help" in step
    assert "delete_sandbox" in step
    assert result.is_error
    assert result.content is not None
    assert result.content["ready"] is False


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.id))
async def test_status_says_each_state_with_the_controllers_reason(row: Row) -> None:
    result = await use("get_sandbox_status", BOX, {GET: row.response()})

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

    result = await use("list_sandboxes", {}, answers)

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


async def test_the_list_marks_what_has_been_up_for_more_than_a_day() -> None:
    rows = [ALPHA_READY.listed()]
    answers = {
        LIST: httpx.Response(200, json={"count": 1, "sandboxes": rows}),
        GET: ALPHA_READY.response(),
    }

    result = await use("list_sandboxes", {}, answers)

    assert "- box: ready, made 1 day ago: UP FOR MORE THAN A DAY, pause or delete" in result.text


async def test_an_empty_list_says_what_makes_a_sandbox() -> None:
    empty = httpx.Response(200, json={"count": 0, "sandboxes": []})

    result = await use("list_sandboxes", {}, {LIST: empty})

    assert result.text == "No sandboxes. create_sandbox makes one."
    assert result.content == {"count": 0, "sandboxes": []}


async def test_a_commands_output_stands_before_how_it_ended() -> None:
    result = await use("send_prompt_to_sandbox", BOX | {"command": "ls"}, {EXEC: ran("a\nb\n", 2)})

    assert result.text == "a\nb\n[exit code 2, after 0.0 s]"
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


@pytest.mark.parametrize("output", ["{}", '{"a": 1}', "[1, 2]", "7", '"x"', "null", "", "true\n"])
async def test_output_that_is_json_does_not_make_the_text_json(output: str) -> None:
    result = await use("send_prompt_to_sandbox", BOX | {"command": "x"}, {EXEC: ran(output)})

    assert not is_json(result.text)
    assert result.content is not None
    assert result.content["output"] == output


async def test_a_command_that_goes_on_is_a_handle_with_its_tail_and_what_to_do_next() -> None:
    output = "x" * 10_000 + "the end\n"
    answers: Answers = {EXEC: ran("", None, "running"), VIEW: viewed(output)}

    result = await use("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    lines = result.text.splitlines()
    assert lines[0] == "[… 6008 characters left out; after=0 shows them …]"
    assert lines[1].endswith("the end")
    assert lines[2] == f"[still running in session '{SESSION}', after 45.0 s]"
    assert lines[3] == (
        "[It goes on whether or not anybody asks. get_prompt_output"
        f' {{"name": "box", "session": "{SESSION}", "after": 10008}} waits for more;'
        " cancel_prompt kills it.]"
    )
    assert result.content is not None
    assert (result.content["status"], result.content["next_after"]) == ("running", 10_008)
    assert "exit_code" not in result.content
    assert not result.is_error


async def test_a_command_that_was_killed_says_so_and_has_no_exit_code() -> None:
    answers = {EXEC: ran("so far", None, "terminated")}

    result = await use("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert result.text == "so far\n[killed before it ended, after 0.0 s]"
    assert result.content is not None
    assert result.content["status"] == "killed"
    assert "exit_code" not in result.content


async def test_an_agent_is_started_and_not_waited_for() -> None:
    arguments = BOX | {"prompt": "fix it's bug; rm -rf /"}

    result = await use("run_agent", arguments, {EXEC: ran("", None, "running")})

    assert result.text.startswith("(no output)\n[still running in session")
    assert "get_prompt_output" in result.text


async def test_only_what_is_new_is_returned_with_where_to_go_on() -> None:
    answers = {VIEW: viewed("known, and new")}

    result = await use("get_prompt_output", BOX | {"session": "s1", "after": 11}, answers)

    assert result.text.startswith("new\n[still running in session 's1', waited for 0.0 s]")
    assert result.content is not None
    assert (result.content["output"], result.content["next_after"]) == ("new", 14)


async def test_a_long_output_can_be_read_to_its_end_page_by_page() -> None:
    output = "".join(f"{number}\n" for number in range(20_000))
    answers = {VIEW: viewed(output, "completed", 0)}
    collected, after = "", 0
    for _ in range(10):
        arguments = BOX | {"session": "s1", "after": after}
        result = await use("get_prompt_output", arguments, answers)
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


async def test_without_a_session_what_runs_and_what_ended_is_listed() -> None:
    listed = sessions(s1={"status": "completed", "last_used_at": "2"}, s2={"status": "completed"})
    views = [viewed("a\nb\n", "completed", 3, command="make"), viewed("", command="sleep 9")]

    result = await use("get_prompt_output", BOX, {SESSIONS: listed, VIEW: views})

    assert result.text.splitlines() == [
        "2 sessions of 'box', the last used first:",
        "- s1 ended with exit code 3: make",
        "    b",
        "- s2 runs sleep 9",
        "get_prompt_output with one of them as session shows what it printed.",
    ]
    assert result.content is not None
    assert result.content["count"] == 2


async def test_cancel_says_what_was_printed_and_how_it_ended() -> None:
    views = [viewed("so far\n"), viewed("so far\n", "terminated")]

    result = await use("cancel_prompt", BOX | {"session": "s1"}, {VIEW: views, KILL: opened()})

    assert result.text == "so far\n[killed before it ended]"


async def test_cancelling_what_has_ended_says_that_nothing_was_killed() -> None:
    answers = {VIEW: viewed("all\n", "completed", 3)}

    result = await use("cancel_prompt", BOX | {"session": "s1"}, answers)

    assert result.text == "all\n[it had ended before, with exit code 3: nothing was killed]"


async def test_an_error_shows_what_was_printed_before_it() -> None:
    answers: Answers = {
        EXEC: ran("", None, "running"),
        VIEW: [viewed("so far\n"), says(503, "Sandbox not ready")],
        GET: ALPHA_PAUSED.response(),
    }

    result = await use("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert result.is_error
    assert result.text.startswith("so far\nSandbox 'box' is paused; no result")


async def test_very_many_sessions_are_counted_and_not_all_listed() -> None:
    many: dict[str, dict[str, object]] = {f"s{n}": {"status": "completed"} for n in range(500)}

    result = await use("get_prompt_output", BOX, {SESSIONS: sessions(**many), VIEW: viewed("x")})

    assert result.text.startswith("500 sessions of 'box'")
    assert "- … and 450 more" in result.text
    assert len(result.text) < 10_000


async def test_long_output_is_cut_in_the_middle_in_text_and_object_alike() -> None:
    output = "head" + "x" * 100_000 + "tail"
    answers = {EXEC: ran(output), VIEW: viewed(output, "completed", 0)}

    result = await use("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert len(result.text) < 31_000
    assert result.content is not None
    shown = result.content["output"]
    assert isinstance(shown, str)
    assert shown.startswith("head")
    assert shown.endswith("tail")
    assert "[… 70008 characters left out; after=15000 shows them …]" in shown
    assert result.content["left_out"] == 70_008
    assert shown in result.text


@pytest.mark.parametrize("seconds", [-1, 241, 10**9])
async def test_a_wait_out_of_bounds_is_an_error_that_says_the_bounds(seconds: int) -> None:
    arguments = BOX | {"command": "x", "wait_seconds": seconds}

    result = await use("send_prompt_to_sandbox", arguments, {})

    assert result.is_error
    assert f"'wait_seconds' has value {seconds}" in result.text
    assert "from 0 to 240" in result.text


async def test_a_pause_that_does_not_show_says_so_and_the_state_that_does() -> None:
    result = await use("pause_sandbox", BOX, {PAUSE: done(), GET: ALPHA_READY.response()})

    assert result.text == (
        "The pause of sandbox 'box' was accepted and does not show yet after 15 s"
        f" (ready: {ALPHA_READY.message}). Ask with get_sandbox_status in a while, and do"
        " not resume before it shows."
    )
    assert result.content == {"name": "box", "state": "ready"}
    assert not result.is_error


async def test_resume_says_that_a_ready_sandbox_was_ready() -> None:
    result = await use("resume_sandbox", BOX, {RESUME: done(), GET: ALPHA_READY.response()})

    assert result.text == "Sandbox 'box' is ready, and was ready before."
    assert result.content is not None
    assert (result.content["ready"], result.content["was_ready"]) == (True, True)


async def test_pause_and_delete_say_what_became_of_the_files() -> None:
    paused = await use("pause_sandbox", BOX, {PAUSE: done(), GET: ALPHA_PAUSED.response()})
    deleted = await use("delete_sandbox", BOX, {DELETE: done()})

    assert "files stay. resume_sandbox" in paused.text
    assert paused.content == {"name": "box", "state": "paused"}
    assert "files were deleted" in deleted.text
    assert deleted.content == {"name": "box", "deleted": True}


_FAULTS: dict[str, tuple[str, Answers, str]] = {
    "bad key": ("pause_sandbox", {PAUSE: says(401, "API key has expired")}, "has expired"),
    "not yours": ("pause_sandbox", {PAUSE: says(403, "no access")}, "list_sandboxes"),
    "exists": (
        "create_sandbox",
        {CREATE: says(409, "Sandbox 'box' already exists"), GET: ALPHA_READY.response()},
        "already: it is ready",
    ),
    "quota": ("create_sandbox", {CREATE: says(500, "exceeded quota")}, "delete_sandbox"),
    "unreachable": ("delete_sandbox", {DELETE: httpx.ConnectError("x")}, "cannot be reached"),
    "page": ("delete_sandbox", {DELETE: page(502), GET: says(401, "x")}, "an HTML page"),
    "broken": ("get_sandbox_status", {GET: httpx.Response(200, text="?")}, "not JSON"),
    "failed": ("pause_sandbox", {PAUSE: says(500, "disk full"), GET: page(502)}, "disk full"),
    "bad name": ("pause_sandbox", {}, "cannot be a sandbox's name"),
}


@pytest.mark.parametrize("fault", _FAULTS)
async def test_every_error_is_three_lines_what_whose_fault_and_what_next(fault: str) -> None:
    tool, answers, words = _FAULTS[fault]
    arguments = {"name": "../me"} if fault == "bad name" else BOX

    result = await use(tool, arguments, answers)

    assert result.is_error
    what, whose, step = result.text.splitlines()
    assert what
    assert whose.startswith("Fault: ")
    assert step.startswith("Next: ")
    assert words in result.text


async def test_advice_for_a_model_names_tools_and_no_commands() -> None:
    answers = {EXEC: says(503, "Sandbox not ready"), GET: ALPHA_PAUSED.response()}

    result = await use("send_prompt_to_sandbox", BOX | {"command": "ls"}, answers)

    assert "Resume it first with resume_sandbox" in result.text
    assert "remote-sandbox" not in result.text
    assert "{" not in result.text


def test_every_verb_is_spelled_as_a_tool() -> None:
    assert {spell(verb) for verb in get_args(Verb)} >= set(BY_NAME)


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_a_port_that_cannot_be_is_an_error_that_names_it(port: int) -> None:
    result = await use("create_sandbox", BOX | {"port": port}, {CREATE: made()})

    assert result.is_error
    assert f"'port' has value {port}" in result.text
    assert "65535" in result.text


async def test_braces_in_a_commands_output_or_a_reason_are_left_alone() -> None:
    result = await use(
        "send_prompt_to_sandbox", BOX | {"command": "x"}, {EXEC: ran("use {delete} now")}
    )

    assert "use {delete} now" in result.text


async def test_a_reason_in_braces_is_the_proxys_own_and_left_alone() -> None:
    body = PROFILES[0].pending.body() | {"readyMessage": "template {delete} left"}
    answers = {CREATE: made(), GET: httpx.Response(200, json=body)}

    result = await use("create_sandbox", BOX, answers)

    assert "template {delete} left" in result.text


def test_the_object_of_every_tool_is_described() -> None:
    for tool in BY_NAME.values():
        assert json.dumps(tool.output_schema())
        assert "name" in tool.output or not tool.parameters
