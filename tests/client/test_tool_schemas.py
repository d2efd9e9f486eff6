"""The schemas, descriptions and annotations of tools, and the checks of their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import InvalidInput
from sandbox_client.mcp_server.files import MAX_ENTRIES
from sandbox_client.mcp_server.tools import INSTRUCTIONS, TOOLS
from sandbox_client.prompts import LINGER
from sandbox_client.readiness import READY_DEADLINE
from sandbox_client.truncation import MAX_OUTPUT

from tests.client.secrecy import is_one_printable_line
from tests.client.strategies import any_json, odd_texts, some_examples
from tests.client.tool_calls import TOOLS_BY_NAME, assert_is_schema, every_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_client.mcp_server.tool import Tool

_ARGUMENTS: dict[str, tuple[dict[str, str], list[str]]] = {
    "create_sandbox": ({"name": "string", "image": "string", "port": "integer"}, ["name"]),
    "get_sandbox_status": ({"name": "string"}, ["name"]),
    "send_prompt_to_sandbox": (
        {"name": "string", "command": "string", "wait_seconds": "integer", "session": "string"},
        ["name", "command"],
    ),
    "get_prompt_output": (
        {
            "name": "string",
            "session": "string",
            "wait_seconds": "integer",
            "after": "integer",
            "stderr_after": "integer",
        },
        ["name"],
    ),
    "cancel_prompt": ({"name": "string", "session": "string"}, ["name", "session"]),
    "run_agent": (
        {"name": "string", "prompt": "string", "directory": "string"},
        ["name", "prompt"],
    ),
    "send_repository": ({"name": "string", "directory": "string"}, ["name", "directory"]),
    "fetch_work": ({"name": "string", "directory": "string"}, ["name"]),
    "check_connection": ({}, []),
    "list_sandboxes": ({}, []),
    "delete_sandbox": ({"name": "string"}, ["name"]),
    "read_sandbox_file": (
        {"name": "string", "path": "string", "start_line": "integer", "end_line": "integer"},
        ["name", "path"],
    ),
    "write_sandbox_file": (
        {"name": "string", "path": "string", "content": "string", "append": "boolean"},
        ["name", "path", "content"],
    ),
    "list_sandbox_files": ({"name": "string", "path": "string"}, ["name"]),
    "pause_sandbox": ({"name": "string"}, ["name"]),
    "resume_sandbox": ({"name": "string"}, ["name"]),
}

_READ_ONLY = {
    "get_sandbox_status",
    "list_sandboxes",
    "get_prompt_output",
    "read_sandbox_file",
    "list_sandbox_files",
    "check_connection",
}


def _nested(schema: object) -> Iterator[dict[str, object]]:
    if isinstance(schema, dict):
        members: dict[str, object] = {str(k): v for k, v in schema.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any JSON
        yield members
        for value in members.values():
            yield from _nested(value)


def test_the_table_has_every_tool() -> None:
    assert {tool.name for tool in TOOLS} == set(_ARGUMENTS)


@every_tool
def test_each_tool_has_its_arguments(tool: Tool[...]) -> None:
    types, required = _ARGUMENTS[tool.name]
    schema = tool.input_schema()
    properties = schema["properties"]

    assert isinstance(properties, dict)
    assert {name: inner["type"] for name, inner in properties.items()} == types  # pyright: ignore[reportUnknownVariableType]  # any JSON
    assert schema.get("required", []) == required
    assert schema["type"] == "object"


@every_tool
def test_each_tool_is_described_in_the_form_that_every_client_reads(tool: Tool[...]) -> None:
    for schema in (tool.input_schema(), tool.output_schema()):
        assert_is_schema(schema)
        for inner in _nested(schema):
            assert not {"anyOf", "oneOf", "allOf", "$ref", "title", "default"} & set(inner)
            assert isinstance(inner.get("type", ""), str | dict), "a union of types"
    assert all(each.description.endswith((".", "-la")) for each in tool.arguments)
    assert 40 < len(tool.description) <= 300
    assert "Returns" in tool.description
    assert "\n" not in tool.description


def test_the_annotations_of_all_tools() -> None:
    assert {tool.name for tool in TOOLS if tool.read_only} == _READ_ONLY
    assert {tool.name for tool in TOOLS if tool.destructive} == {
        "delete_sandbox",
        "pause_sandbox",
        "send_prompt_to_sandbox",
        "cancel_prompt",
        "run_agent",
        "write_sandbox_file",
        "send_repository",
    }
    assert {tool.name for tool in TOOLS if tool.idempotent} == _READ_ONLY | {
        "cancel_prompt",
        "pause_sandbox",
        "resume_sandbox",
    }


def test_the_instructions_name_existing_tools_only() -> None:
    named = {word.strip(".,;()") for word in INSTRUCTIONS.split() if "_" in word}

    assert named <= set(TOOLS_BY_NAME)
    assert "delete_sandbox" in named


@pytest.mark.parametrize("name", ["pause_sandbox", "list_sandboxes"])
def test_wait_for_previous_is_accepted_and_ignored(name: str) -> None:
    arguments = TOOLS_BY_NAME[name].check({"name": "box", "wait_for_previous": True})

    assert "wait_for_previous" not in arguments


@pytest.mark.parametrize("arguments", [{"name": "box"}, {"": None}, {"random_string": 1, "a": []}])
@pytest.mark.parametrize("name", ["list_sandboxes", "check_connection"])
def test_a_tool_without_parameters_ignores_any_argument(
    name: str, arguments: dict[str, object]
) -> None:
    assert TOOLS_BY_NAME[name].check(arguments) == {}


@pytest.mark.parametrize("left_out", [None, ""])
def test_null_and_an_empty_string_omit_an_optional_argument(left_out: object) -> None:
    created = TOOLS_BY_NAME["create_sandbox"].check(
        {"name": "box", "image": left_out, "port": left_out}
    )
    written = TOOLS_BY_NAME["write_sandbox_file"].check(
        {"name": "box", "path": "/a", "content": "", "append": left_out}
    )

    assert created == {"name": "box"}
    assert written == {"name": "box", "path": "/a", "content": ""}


@pytest.mark.parametrize("value", [8888, 8888.0, "8888"])
def test_an_integer_may_be_a_float_or_a_string(value: float | str) -> None:
    arguments = TOOLS_BY_NAME["create_sandbox"].check({"name": "box", "port": value})

    assert arguments["port"] == 8888


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), (True, True)])
def test_a_boolean_may_be_a_string(value: object, expected: bool) -> None:
    arguments = TOOLS_BY_NAME["write_sandbox_file"].check(
        {"name": "box", "path": "/a", "content": "", "append": value}
    )

    assert arguments["append"] is expected


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("create_sandbox", {}, "Argument 'name' is missing"),
        ("create_sandbox", {"name": None}, "Argument 'name' is missing"),
        ("send_prompt_to_sandbox", {"name": "box"}, "Argument 'command' is missing"),
        ("pause_sandbox", {"name": "box", "force": True}, "Unknown argument 'force'"),
        ("pause_sandbox", {"sandbox": "box"}, "Unknown argument 'sandbox'"),
        ("create_sandbox", {"name": 1}, "Argument 'name' is a number, not a string"),
        ("create_sandbox", {"name": ["box"]}, "Argument 'name' is an array, not a string"),
        (
            "create_sandbox",
            {"name": "b", "port": "80.0"},
            "Argument 'port' is a string, not an integer",
        ),
        ("create_sandbox", {"name": "b", "port": " 80"}, "Argument 'port' is a string"),
        ("create_sandbox", {"name": "b", "port": "٨٠"}, "Argument 'port' is a string"),
        ("create_sandbox", {"name": "b", "port": "9" * 5000}, "Argument 'port' is a string"),
        ("create_sandbox", {"name": "b", "port": "70000"}, "Argument 'port' has value 70000"),
        (
            "write_sandbox_file",
            {"name": "b", "path": "/a", "content": "", "append": "True"},
            "Argument 'append' is a string, not a boolean",
        ),
        (
            "create_sandbox",
            {"name": "b", "port": True},
            "Argument 'port' is a boolean, not an integer",
        ),
        (
            "create_sandbox",
            {"name": "b", "port": 80.5},
            "Argument 'port' is a number, not an integer",
        ),
    ],
)
def test_a_missing_unknown_or_mistyped_argument_is_named(
    tool: str, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        TOOLS_BY_NAME[tool].check(arguments)

    assert words in caught.value.message
    assert caught.value.advice


@some_examples
@given(
    tool=st.sampled_from(TOOLS),
    arguments=st.dictionaries(st.sampled_from(["name", "port", "command"]) | odd_texts, any_json),
)
def test_any_arguments_are_accepted_or_refused_in_one_line(
    tool: Tool[...], arguments: dict[str, object]
) -> None:
    messages = ["accepted"]
    try:
        tool.check(arguments)
    except InvalidInput as error:
        messages.append(error.message)

    assert all(is_one_printable_line(line) for line in messages)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("create_sandbox", f"({READY_DEADLINE:.0f} s at most)"),
        ("resume_sandbox", f"({READY_DEADLINE:.0f} s at most)"),
        ("get_prompt_output", f"Returns {LINGER:.0f} s after"),
        ("get_prompt_output", f"{MAX_OUTPUT} characters at most"),
        ("read_sandbox_file", f"{MAX_OUTPUT} characters at most"),
        ("list_sandbox_files", f"{MAX_ENTRIES} entries at most"),
    ],
)
def test_a_description_states_the_limit_of_the_code(name: str, limit: str) -> None:
    assert limit in TOOLS_BY_NAME[name].description
