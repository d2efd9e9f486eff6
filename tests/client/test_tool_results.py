"""What a model reads: a text that says it all, and an object that fits the tool's own schema."""

from __future__ import annotations

import json
from typing import get_args

import httpx
import pytest
from sandbox_client._errors import Verb
from sandbox_client._tools import cut, spell

from tests.client.doubles import CREATED_AT, Answers, done, made, page, ran, says
from tests.client.states import ALPHA_PAUSED, PROFILES, ROWS, Profile, Row
from tests.client.tools import BY_NAME, is_json, use

BOX = {"name": "box"}
GET = "GET /api/sandboxes/box"
LIST = "GET /api/sandboxes"
CREATE = "POST /api/sandboxes"
EXEC = "POST /proxy/box/v1/shell/exec"
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

    assert result.text == f"1 sandbox, newest first:\n- box: paused, created {CREATED_AT}"
    assert result.content == {
        "count": 1,
        "sandboxes": [{"name": "box", "state": "paused", "created_at": CREATED_AT}],
    }


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
        "status": "completed",
        "output": "a\nb\n",
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


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("running", "not completed: it still runs in the sandbox"),
        ("no_change_timeout", "no new output for a long time; it still runs in the sandbox"),
        ("hard_timeout", "killed at its time limit"),
        ("terminated", "killed before it ended"),
        ("something_new", "not completed: something_new"),
    ],
)
async def test_a_command_without_an_end_says_so_and_has_no_exit_code(
    status: str, words: str
) -> None:
    answers = {EXEC: ran("so far", None, status)}

    result = await use("send_prompt_to_sandbox", BOX | {"command": "x"}, answers)

    assert words in result.text
    assert result.content is not None
    assert "exit_code" not in result.content
    assert result.content["status"] == status


async def test_long_output_is_cut_in_the_middle_in_text_and_object_alike() -> None:
    output = "head" + "x" * 100_000 + "tail"

    result = await use("send_prompt_to_sandbox", BOX | {"command": "x"}, {EXEC: ran(output)})

    assert len(result.text) < 31_000
    assert result.content is not None
    shown = result.content["output"]
    assert isinstance(shown, str)
    assert shown.startswith("head")
    assert shown.endswith("tail")
    assert "characters left out" in shown
    assert shown in result.text


@pytest.mark.parametrize("length", [0, 9, 10, 11, 12, 1000])
def test_cut_output_says_exactly_how_much_is_missing(length: int) -> None:
    shown = cut("x" * length, limit=10)

    left_out = int("".join(c for c in shown if c.isdigit()) or "0")
    assert shown.count("x") + left_out == length


async def test_pause_and_delete_say_what_became_of_the_files() -> None:
    paused = await use("pause_sandbox", BOX, {PAUSE: done()})
    deleted = await use("delete_sandbox", BOX, {DELETE: done()})

    assert "files stay. resume_sandbox" in paused.text
    assert paused.content == {"name": "box", "state": "paused"}
    assert "files were deleted" in deleted.text
    assert deleted.content == {"name": "box", "deleted": True}


_FAULTS: dict[str, tuple[str, Answers, str]] = {
    "bad key": ("pause_sandbox", {PAUSE: says(401, "API key has expired")}, "has expired"),
    "not yours": ("pause_sandbox", {PAUSE: says(403, "no access")}, "list_sandboxes"),
    "exists": ("create_sandbox", {CREATE: says(409, "Sandbox 'box' already exists")}, "taken"),
    "quota": ("create_sandbox", {CREATE: says(500, "exceeded quota")}, "delete_sandbox"),
    "unreachable": ("delete_sandbox", {DELETE: httpx.ConnectError("x")}, "cannot be reached"),
    "page": ("delete_sandbox", {DELETE: page(502)}, "an HTML page"),
    "broken": ("get_sandbox_status", {GET: httpx.Response(200, text="?")}, "not JSON"),
    "failed": ("pause_sandbox", {PAUSE: says(500, "disk full")}, "disk full"),
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
    assert [spell(verb) for verb in get_args(Verb)] == [
        "create_sandbox",
        "get_sandbox_status",
        "send_prompt_to_sandbox",
        "list_sandboxes",
        "delete_sandbox",
        "pause_sandbox",
        "resume_sandbox",
    ]


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_a_port_that_cannot_be_is_an_error_that_names_it(port: int) -> None:
    result = await use("create_sandbox", BOX | {"port": port}, {CREATE: made()})

    assert result.is_error
    assert f"port has value {port}" in result.text
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
        assert "name" in tool.output or tool.name == "list_sandboxes"
