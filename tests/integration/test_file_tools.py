"""The file tools against a fake proxy in this process, with real files."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import jsonschema
import pytest
from sandbox_client import FileRefused, Paused, SandboxError
from sandbox_client.errors import NoSuchFile, NotText, WrongKind
from sandbox_client.mcp_server.tools import TOOLS

from tests.integration.conftest import PROXY_KINDS
from tests.integration.sandbox import BOX, ReadySandbox, ready_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from sandbox_client import Client, Config
    from sandbox_client.mcp_server.tool import Result

TOOLS_BY_NAME = {tool.name: tool for tool in TOOLS}


@dataclass
class SharedClient:
    """A client provider for one client, which the fixture closes."""

    shared: Client
    environ: Mapping[str, str]

    def connect(self, config: Config) -> Client:
        raise AssertionError

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        yield self.shared


@pytest.fixture
async def box(tmp_path: Path) -> AsyncGenerator[ReadySandbox]:
    async with ready_sandbox(tmp_path / "sandboxes") as made:
        yield made


async def call_tool(box: ReadySandbox, name: str, **arguments: object) -> Result:
    tool = TOOLS_BY_NAME[name]
    provider = SharedClient(box.client, {})
    result = await tool.run(provider, {"name": BOX, **arguments}, box.in_process.report)
    assert not result.is_error
    jsonschema.validate(result.content, tool.output_schema())  # pyright: ignore[reportUnknownMemberType]  # untyped
    return result


async def content_of(box: ReadySandbox, name: str, **arguments: object) -> dict[str, Any]:
    return dict((await call_tool(box, name, **arguments)).content or {})


async def test_a_file_is_written_read_appended_to_and_listed(box: ReadySandbox) -> None:
    text = 'grün "quoted" \\ 😀\r\nlast line without an end'
    written = await call_tool(box, "write_sandbox_file", path="a/b c/note.txt", content=text)
    assert "/sandbox/a/b c/note.txt" in written.text
    assert (box.work / "a/b c/note.txt").read_bytes() == text.encode()
    await call_tool(box, "write_sandbox_file", path="a/b c/note.txt", content="\nmore", append=True)
    read = await content_of(box, "read_sandbox_file", path="/sandbox/a/b c/note.txt")
    assert read["content"] == text + "\nmore"
    listed = await content_of(box, "list_sandbox_files", path="a/b c/")
    size = len(text.encode()) + 5
    assert listed["entries"] == [{"name": "note.txt", "is_directory": False, "size": size}]
    top = await call_tool(box, "list_sandbox_files")
    assert "- a/" in top.text
    assert await box.leftovers() == []


async def test_a_long_text_is_written_and_read_in_pieces(box: ReadySandbox) -> None:
    text = "".join(f"line {number} {'x' * (number % 90)}\n" for number in range(1, 9_001))
    await call_tool(box, "write_sandbox_file", path="log", content=text)
    assert (box.work / "log").read_text() == text
    found, line = "", 1
    for _ in range(30):
        answer = await content_of(box, "read_sandbox_file", path="log", start_line=line)
        assert len(answer["content"]) < 30_100
        shown, mark, _rest = answer["content"].partition("\n[… ")
        found += shown + ("\n" if mark else "")
        if "next_line" not in answer:
            break
        assert f"start_line={answer['next_line']} continues" in answer["content"]
        line = answer["next_line"]
    assert found == text


async def test_a_range_of_lines_is_read(box: ReadySandbox) -> None:
    (box.work / "f").write_text("one\ntwo\nthree\nfour\n")
    read = await content_of(box, "read_sandbox_file", path="f", start_line=2, end_line=3)
    assert read["content"] == "two\nthree\n"
    with pytest.raises(SandboxError, match="end_line has value 1, before start_line 2"):
        await call_tool(box, "read_sandbox_file", path="f", start_line=2, end_line=1)


async def test_a_line_longer_than_a_reply_is_truncated_with_a_note(box: ReadySandbox) -> None:
    (box.work / "f").write_text("x" * 50_000 + "\nsecond\n")
    read = await content_of(box, "read_sandbox_file", path="f")
    assert "20008 characters left out, the rest of line 1 among them" in read["content"]
    assert "start_line=2 continues" in read["content"]
    assert read["next_line"] == 2


@pytest.mark.parametrize("end", ["", "\n"])
async def test_the_command_in_the_note_prints_the_rest_of_a_long_line(
    box: ReadySandbox, end: str
) -> None:
    line = "".join(chr(0x4E00 + number % 5_000) for number in range(100_000))
    (box.work / "a b").write_text(f"first\n{line}{end}")
    read = await content_of(box, "read_sandbox_file", path="a b", start_line=2)
    assert "next_line" not in read
    assert "continues" not in read["content"]
    shown, _, mark = read["content"].partition("\n[… ")
    command = mark.partition("among them: ")[2].partition(" prints it")[0]
    assert "'/sandbox/a b'" in command
    here = command.replace("/sandbox", str(box.work))
    with anyio.fail_after(20):
        ran = await anyio.run_process(["sh", "-c", here])
    assert shown + ran.stdout.decode() == f"{line}\n", "`cut` ends its output with a newline"


async def test_reading_an_empty_file_is_no_error_but_reading_past_the_end_is(
    box: ReadySandbox,
) -> None:
    (box.work / "empty").touch()
    assert (await call_tool(box, "read_sandbox_file", path="empty")).text == "(the file is empty)"
    (box.work / "f").write_text("one\n")
    with pytest.raises(FileRefused, match="/sandbox/f in sandbox 'box' ends before line 9"):
        await call_tool(box, "read_sandbox_file", path="f", start_line=9)


async def test_no_more_lines_are_requested_than_a_reply_can_show(box: ReadySandbox) -> None:
    (box.work / "f").write_text("\n" * 200_000)
    read = await content_of(box, "read_sandbox_file", path="f")
    assert read["next_line"] == 30_001
    fields = json.loads(box.transport.file_requests("read")[-1].content)
    assert fields["end_line"] - fields["start_line"] == 30_001


@pytest.mark.parametrize("data", [bytes(range(256)), b"text with\0a nul"])
async def test_reading_a_binary_file_is_an_error_that_names_its_size(
    box: ReadySandbox, data: bytes
) -> None:
    (box.work / "blob").write_bytes(data)
    with pytest.raises(NotText, match=rf"/sandbox/blob .* is binary, not text: {len(data)} bytes"):
        await call_tool(box, "read_sandbox_file", path="blob")


async def test_a_long_listing_is_truncated_with_a_count(box: ReadySandbox) -> None:
    for number in range(250):
        (box.work / f"file-{number:03}").touch()
    listed = await call_tool(box, "list_sandbox_files")
    assert listed.content is not None
    assert listed.content["left_out"] == 50
    assert "250 entries" in listed.text
    assert "50 left out" in listed.text


async def test_a_replaced_file_keeps_its_mode(box: ReadySandbox) -> None:
    (box.work / "run.sh").write_text("old")
    (box.work / "run.sh").chmod(0o755)
    await call_tool(box, "write_sandbox_file", path="run.sh", content="new")
    assert os.access(box.work / "run.sh", os.X_OK)
    (box.work / "private").touch()
    (box.work / "private").chmod(0o600)
    await call_tool(box, "write_sandbox_file", path="private", content="new")
    assert stat.S_IMODE((box.work / "private").stat().st_mode) == 0o600
    await call_tool(box, "write_sandbox_file", path="plain", content="new")
    assert not os.access(box.work / "plain", os.X_OK)


async def test_missing_files_and_wrong_kinds_raise_specific_errors(box: ReadySandbox) -> None:
    with pytest.raises(NoSuchFile, match="/sandbox/none") as missing:
        await call_tool(box, "read_sandbox_file", path="none")
    assert "{files}" in missing.value.advice
    with pytest.raises(NoSuchFile):
        await call_tool(box, "list_sandbox_files", path="none")
    (box.work / "folder").mkdir()
    with pytest.raises(WrongKind, match="/sandbox/folder"):
        await call_tool(box, "read_sandbox_file", path="folder")
    with pytest.raises(FileRefused, match=r"/sandbox/folder .* was not written: it is a directory"):
        await call_tool(box, "write_sandbox_file", path="folder", content="x")
    (box.work / "file").touch()
    with pytest.raises(WrongKind):
        await call_tool(box, "write_sandbox_file", path="file/below", content="x")
    assert await box.leftovers() == []


@pytest.mark.parametrize("kind", PROXY_KINDS)
async def test_every_tool_raises_paused_in_a_paused_sandbox(
    tmp_path: Path, kind: dict[str, Any]
) -> None:
    async with ready_sandbox(tmp_path / "sandboxes", **kind) as box:
        await box.client.pause(BOX, on_progress=box.in_process.report)
        box.in_process.clock.advance(5)
        for name, arguments in (
            ("read_sandbox_file", {"path": "f"}),
            ("write_sandbox_file", {"path": "f", "content": "x"}),
            ("list_sandbox_files", {}),
        ):
            with pytest.raises(Paused):
                await call_tool(box, name, **arguments)


async def test_an_append_whose_response_is_lost_is_not_repeated(box: ReadySandbox) -> None:
    (box.work / "log").write_text("before\n")
    lost: list[str] = []

    def lose_first_response(request: Any) -> Any:
        if request.url.path in lost or "/shell/sessions/" in request.url.path:
            return "delivered"
        lost.append(request.url.path)
        return "answer lost"

    box.transport.delivery = lose_first_response
    await call_tool(box, "write_sandbox_file", path="log", content="after\n", append=True)
    assert (box.work / "log").read_text() == "before\nafter\n"
    assert any(path.endswith("/exec") for path in lost)
