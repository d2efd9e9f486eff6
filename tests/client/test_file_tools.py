"""The results of the file tools, with an in-memory sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.client.file_stub import SandboxStub, file_reply
from tests.client.stubs import client_over
from tests.client.tool_calls import call_with_client

if TYPE_CHECKING:
    from sandbox_client.mcp_server.tool import Result


async def call(sandbox: SandboxStub, name: str, **arguments: object) -> Result:
    """Return the result of a tool for the sandbox `box`."""
    async with client_over(sandbox) as client:
        return await call_with_client(client, name, {"name": "box", **arguments})


async def test_a_text_file_is_read() -> None:
    result = await call(SandboxStub({"/sandbox/f": b"one\ntwo\n"}), "read_sandbox_file", path="f")

    assert result.text == "one\ntwo\n"
    assert result.content == {"name": "box", "content": "one\ntwo\n"}


async def test_lines_are_read_from_the_first_to_the_last() -> None:
    sandbox = SandboxStub({"/sandbox/f": b"one\ntwo\nthree\nfour\n"})

    result = await call(sandbox, "read_sandbox_file", path="f", start_line=2, end_line=3)

    assert result.text == "two\nthree\n"


async def test_an_empty_file_is_reported_as_empty() -> None:
    result = await call(SandboxStub({"/sandbox/f": b""}), "read_sandbox_file", path="f")

    assert result.text == "(the file is empty)"
    assert result.content == {"name": "box", "content": ""}


async def test_a_long_file_names_the_next_line() -> None:
    sandbox = SandboxStub({"/sandbox/f": b"123456789\n" * 4_000})

    result = await call(sandbox, "read_sandbox_file", path="f", start_line=11)

    assert result.content is not None
    assert result.content["next_line"] == 3_011
    assert "start_line=3011 continues" in result.text


async def test_the_rest_of_a_long_last_line_has_no_next_line() -> None:
    sandbox = SandboxStub({"/sandbox/a b": b"x" * 50_000})

    result = await call(sandbox, "read_sandbox_file", path="a b")

    assert result.content is not None
    assert "next_line" not in result.content
    assert "sed -n 1p '/sandbox/a b' | cut -b 30001- prints it" in result.text


async def test_a_last_line_before_the_first_is_refused() -> None:
    sandbox = SandboxStub()

    result = await call(sandbox, "read_sandbox_file", path="f", start_line=2, end_line=1)

    assert result.is_error
    assert result.text.startswith("end_line has value 1, before start_line 2")
    assert sandbox.requested == []


async def test_a_missing_file_names_the_tool_that_lists_files() -> None:
    result = await call(SandboxStub(), "read_sandbox_file", path="none")

    assert result.is_error
    assert "/sandbox/none: no such file" in result.text
    assert "list_sandbox_files" in result.text


async def test_a_file_is_written_and_its_bytes_are_counted() -> None:
    sandbox = SandboxStub()

    result = await call(sandbox, "write_sandbox_file", path="a/f", content="grün\n")

    assert sandbox.files == {"/sandbox/a/f": "grün\n".encode()}
    assert result.text == "6 bytes written to /sandbox/a/f in sandbox 'box'."
    assert result.content == {"name": "box", "bytes": 6}


async def test_a_text_is_appended() -> None:
    sandbox = SandboxStub({"/sandbox/f": b"old"})

    result = await call(sandbox, "write_sandbox_file", path="f", content="+", append=True)

    assert sandbox.files == {"/sandbox/f": b"old+"}
    assert result.text == "1 byte appended to /sandbox/f in sandbox 'box'."


@pytest.mark.parametrize(
    "arguments",
    [{"path": "f", "content": "\ud800"}, {"path": "a\0b", "content": "x"}],
    ids=["content", "path"],
)
async def test_text_that_cannot_be_written_is_refused_before_it_is_sent(
    arguments: dict[str, str],
) -> None:
    sandbox = SandboxStub()

    result = await call(sandbox, "write_sandbox_file", **arguments)

    assert result.is_error
    assert sandbox.requested == []


async def test_a_directory_is_listed_with_sizes() -> None:
    sandbox = SandboxStub(
        {"/sandbox/new\nline": b"abc", "/sandbox/one": b"x"}, {"/sandbox", "/sandbox/d"}
    )

    result = await call(sandbox, "list_sandbox_files")

    assert result.text.splitlines() == [
        "/sandbox in sandbox 'box' has 3 entries:",
        "- 'new\\nline' (3 bytes)",
        "- one (1 byte)",
        "- d/",
    ]
    assert result.content == {
        "name": "box",
        "entries": [
            {"name": "new\nline", "is_directory": False, "size": 3},
            {"name": "one", "is_directory": False, "size": 1},
            {"name": "d", "is_directory": True},
        ],
        "left_out": 0,
    }


async def test_a_file_without_a_size_is_listed_by_its_name() -> None:
    entry = {"name": "socket", "is_directory": False}
    sandbox = SandboxStub(replies={"list": [file_reply({"files": [entry]})]})

    result = await call(sandbox, "list_sandbox_files", path="/run")

    assert result.text == "/run in sandbox 'box' has 1 entry:\n- socket"


async def test_a_long_listing_is_truncated_with_a_count() -> None:
    sandbox = SandboxStub({f"/sandbox/{number:03}": b"" for number in range(250)})

    result = await call(sandbox, "list_sandbox_files")

    assert result.content is not None
    assert result.content["left_out"] == 50
    assert "/sandbox in sandbox 'box' has 250 entries" in result.text
    assert result.text.endswith("[… 50 left out; list a subdirectory, or use a command …]")


async def test_a_listing_that_the_runtime_truncated_says_so() -> None:
    cut = file_reply({"files": [], "truncated": True})

    result = await call(SandboxStub(replies={"list": [cut]}), "list_sandbox_files")

    assert "[… 0 or more left out;" in result.text
