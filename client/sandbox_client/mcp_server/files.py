"""The tools for files: read one, write one, list a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from sandbox_client.api.files import absolute, check_content
from sandbox_client.api.runtime import quote
from sandbox_client.api.sandboxes import WORK
from sandbox_client.errors import InvalidInput
from sandbox_client.files.model import printable
from sandbox_client.text import pluralize
from sandbox_client.truncation import MAX_OUTPUT, lines

from .sandboxes import Name  # noqa: TC001  # the decorator reads it
from .tool import Argument, Result, tool

if TYPE_CHECKING:
    from sandbox_client.api.files import Entry
    from sandbox_client.client import Client

MAX_ENTRIES = 200

FilePath = Annotated[str, Argument(f"Absolute, or relative to {WORK}.")]


@tool(
    "Read a text file in a sandbox. Use it when its path is known. Returns its"
    f" lines, {MAX_OUTPUT} characters at most, and the line to go on with; of a binary file"
    " only the size.",
    output={"name": "string", "content": "string", "next_line?": "integer"},
    verb="read",
    read_only=True,
    idempotent=True,
)
async def read_sandbox_file(
    client: Client,
    *,
    name: Name,
    path: FilePath,
    start_line: Annotated[int, Argument("From 1.", 1)] = 1,
    end_line: Annotated[int | None, Argument("The last one read.", 1)] = None,
) -> Result:
    if end_line is not None and end_line < start_line:
        raise InvalidInput(
            f"end_line has value {end_line}, before start_line {start_line}",
            advice="Give the last line to read, or leave it out.",
        )
    text = await client.read_file(name, path, first=start_line, last=end_line)
    excerpt = lines(text, start_line, quote(absolute(path)))
    content: dict[str, object] = {"name": name, "content": excerpt.text}
    if excerpt.left_out and excerpt.after:
        content["next_line"] = excerpt.after
    return Result(excerpt.text or "(the file is empty)", content)


@tool(
    "Write a text file in a sandbox, and the directories it is in. Use it to make"
    " or replace one, whole or not at all, or append. Returns the number of bytes.",
    output={"name": "string", "bytes": "integer"},
    verb="write",
    destructive=True,
)
async def write_sandbox_file(
    client: Client,
    *,
    name: Name,
    path: FilePath,
    content: Annotated[str, Argument("The text.")],
    append: Annotated[bool, Argument("Add to the end.")] = False,
) -> Result:
    whole, data = absolute(path), check_content(content)
    await client.write_file(name, whole, data, append=append)
    done = f"{pluralize(len(data), 'byte')} {'appended' if append else 'written'}"
    text = f"{done} to {printable(whole)} in sandbox '{name}'."
    return Result(text, {"name": name, "bytes": len(data)})


@tool(
    "List a directory in a sandbox. Use it when a path is not known. Returns names,"
    f" sizes and what is a directory, of {MAX_ENTRIES} at most, and how many are left out.",
    output={"name": "string", "entries": "array", "left_out": "integer"},
    verb="files",
    read_only=True,
    idempotent=True,
)
async def list_sandbox_files(
    client: Client,
    *,
    name: Name,
    path: Annotated[str, Argument(f"The directory; {WORK} if left out.")] = "",
) -> Result:
    whole = absolute(path)
    listing = await client.list_files(name, whole)
    entries = listing.entries[:MAX_ENTRIES]
    left_out = len(listing.entries) - len(entries)
    content = {
        "name": name,
        "entries": [_entry_content(each) for each in entries],
        "left_out": left_out,
    }
    text = [
        f"{printable(whole)} in sandbox '{name}' has {pluralize(len(listing.entries), 'entry')}:"
    ]
    text += [f"- {_format_entry(each)}" for each in entries]
    if left_out or not listing.is_whole:
        more = f"{left_out}" if listing.is_whole else f"{left_out} or more"
        text.append(f"[… {more} left out; list a directory below it, or use a command …]")
    return Result("\n".join(text), content)


def _entry_content(entry: Entry) -> dict[str, object]:
    content: dict[str, object] = {"name": entry.name, "is_directory": entry.is_directory}
    return content if entry.size is None else {**content, "size": entry.size}


def _format_entry(entry: Entry) -> str:
    name = printable(entry.name)
    if entry.is_directory:
        return f"{name}/"
    return name if entry.size is None else f"{name} ({pluralize(entry.size, 'byte')})"
