"""The tools of files: read one, write one, list a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_client.api.files import absolute, check_content
from sandbox_client.api.runtime import quote
from sandbox_client.api.sandboxes import WORK
from sandbox_client.errors import InvalidInput
from sandbox_client.files.model import printable
from sandbox_client.provider import with_client
from sandbox_client.text import pluralize
from sandbox_client.truncation import MAX_OUTPUT, lines

from .sandboxes import NAME
from .tool import Arguments, Parameter, Result, Tool

if TYPE_CHECKING:
    from sandbox_client.api.files import Entry
    from sandbox_client.client import Client
    from sandbox_client.polling import ProgressCallback

MAX_ENTRIES = 200


async def _read(client: Client, arguments: Arguments, _: ProgressCallback) -> Result:
    name, path = arguments.text("name"), arguments.text("path")
    first, last = arguments.number("start_line") or 1, arguments.number("end_line")
    if last is not None and last < first:
        raise InvalidInput(
            f"end_line has value {last}, before start_line {first}",
            advice="Give the last line to read, or leave it out.",
        )
    text = await client.read_file(name, path, first=first, last=last)
    excerpt = lines(text, first, quote(absolute(path)))
    content: dict[str, object] = {"name": name, "content": excerpt.text}
    if excerpt.left_out and excerpt.after:
        content["next_line"] = excerpt.after
    return Result(excerpt.text or "(the file is empty)", content)


async def _write(client: Client, arguments: Arguments, _: ProgressCallback) -> Result:
    name, path = arguments.text("name"), absolute(arguments.text("path"))
    data = check_content(arguments.text("content"))
    append = arguments.flag("append")
    await client.write_file(name, path, data, append=append)
    done = f"{pluralize(len(data), 'byte')} {'appended' if append else 'written'}"
    content = {"name": name, "bytes": len(data)}
    return Result(f"{done} to {printable(path)} in sandbox '{name}'.", content)


async def _list(client: Client, arguments: Arguments, _: ProgressCallback) -> Result:
    name, path = arguments.text("name"), absolute(arguments.text("path"))
    listing = await client.list_files(name, path)
    entries = listing.entries[:MAX_ENTRIES]
    left_out = len(listing.entries) - len(entries)
    content = {
        "name": name,
        "entries": [_entry_content(each) for each in entries],
        "left_out": left_out,
    }
    told = [
        f"{printable(path)} in sandbox '{name}' has {pluralize(len(listing.entries), 'entry')}:"
    ]
    told += [f"- {_told(each)}" for each in entries]
    if left_out or not listing.is_whole:
        more = f"{left_out}" if listing.is_whole else f"{left_out} or more"
        told.append(f"[… {more} left out; list a directory below it, or use a command …]")
    return Result("\n".join(told), content)


def _entry_content(entry: Entry) -> dict[str, object]:
    content: dict[str, object] = {"name": entry.name, "is_directory": entry.is_directory}
    return content if entry.size is None else {**content, "size": entry.size}


def _told(entry: Entry) -> str:
    name = printable(entry.name)
    if entry.is_directory:
        return f"{name}/"
    return name if entry.size is None else f"{name} ({pluralize(entry.size, 'byte')})"


def _path(words: str, *, required: bool = True) -> Parameter:
    return Parameter("path", "string", words, required=required)


TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        name="read_sandbox_file",
        description="Read a text file in a sandbox. Use it when its path is known. Returns its"
        f" lines, {MAX_OUTPUT} characters at most, and the line to go on with; of a binary file"
        " only the size.",
        run=with_client(_read),
        parameters=(
            NAME,
            _path(f"Absolute, or relative to {WORK}."),
            Parameter("start_line", "integer", "From 1.", required=False, bounds=(1, None)),
            Parameter(
                "end_line", "integer", "The last one read.", required=False, bounds=(1, None)
            ),
        ),
        output={
            "name": "string",
            "content": "string",
            "next_line?": "integer",
        },
        read_only=True,
        idempotent=True,
    ),
    Tool(
        name="write_sandbox_file",
        description="Write a text file in a sandbox, and the directories it is in. Use it to make"
        " or replace one, whole or not at all, or append. Returns the number of bytes.",
        run=with_client(_write),
        parameters=(
            NAME,
            _path(f"Absolute, or relative to {WORK}."),
            Parameter("content", "string", "The text."),
            Parameter("append", "boolean", "Add to the end.", required=False),
        ),
        output={"name": "string", "bytes": "integer"},
        destructive=True,
    ),
    Tool(
        name="list_sandbox_files",
        description="List a directory in a sandbox. Use it when a path is not known. Returns names,"
        f" sizes and what is a directory, of {MAX_ENTRIES} at most, and how many are left out.",
        run=with_client(_list),
        parameters=(NAME, _path(f"The directory; {WORK} if left out.", required=False)),
        output={"name": "string", "entries": "array", "left_out": "integer"},
        read_only=True,
        idempotent=True,
    ),
)
