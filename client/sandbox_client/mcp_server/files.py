"""The tools for files: read one, write one, list a directory."""

from typing import TYPE_CHECKING, Annotated, Final

from sandbox_client.api.files import absolute, absolute_file, check_content
from sandbox_client.api.runtime import quote
from sandbox_client.api.sandboxes import WORK
from sandbox_client.errors import InvalidInput
from sandbox_client.files.model import printable
from sandbox_client.text import pluralize
from sandbox_client.truncation import lines

from .sandboxes import Name
from .tool import Parameter, Result, tool

if TYPE_CHECKING:
    from sandbox_client.api.files import Entry
    from sandbox_client.client import Client

MAX_SHOWN: Final = 300  # characters of a name in the text; the object has all of it
MAX_ENTRIES: Final = 200  # of a directory in one result

FilePath = Annotated[str, Parameter(f"Absolute, or relative to {WORK}.")]


@tool(
    "read",
    output={"name": "string", "content": "string", "next_line?": "integer"},
    read_only=True,
    idempotent=True,
)
async def read_sandbox_file(
    client: "Client",
    *,
    name: Name,
    path: FilePath,
    start_line: Annotated[int, Parameter("From 1.", minimum=1)] = 1,
    end_line: Annotated[int | None, Parameter("The last line to read.", minimum=1)] = None,
) -> Result:
    """Read a text file in a sandbox.

    Use it when its path is known. Returns its lines, 30000 characters at most, and the line to go
    on with; of a binary file only the size.
    """
    if end_line is not None and end_line < start_line:
        raise InvalidInput(
            f"end_line has value {end_line}, before start_line {start_line}",
            advice="Give the last line to read, or leave it out.",
        )
    text = await client.read_file(name, path, first=start_line, last=end_line)
    page = lines(text, start_line, quote(absolute(path)))
    content: dict[str, object] = {"name": name, "content": page.text}
    if page.left_out and page.after:
        content["next_line"] = page.after
    return Result(page.text or "(the file is empty)", content)


@tool("write", output={"name": "string", "bytes": "integer"}, destructive=True)
async def write_sandbox_file(
    client: "Client",
    *,
    name: Name,
    path: FilePath,
    content: Annotated[str, Parameter("The text.")],
    append: Annotated[bool, Parameter("Add to the end.")] = False,
) -> Result:
    """Write a text file in a sandbox, and the directories it is in.

    Use it to create one, replace it as a whole, or append. Returns the number of bytes.
    """
    absolute_path, data = absolute_file(path), check_content(content)
    await client.write_file(name, absolute_path, data, append=append)
    done = f"{pluralize(len(data), 'byte')} {'appended' if append else 'written'}"
    return Result(
        f"{done} to {printable(absolute_path)} in sandbox '{name}'.",
        {"name": name, "bytes": len(data)},
    )


@tool(
    "files",
    output={"name": "string", "entries": "array", "left_out": "integer"},
    read_only=True,
    idempotent=True,
)
async def list_sandbox_files(
    client: "Client",
    *,
    name: Name,
    path: Annotated[str, Parameter(f"The directory; {WORK} if left out.")] = "",
) -> Result:
    """List a directory in a sandbox.

    Use it when a path is not known. Returns 200 entries at most, each with its name, size and
    kind, and how many are left out.
    """
    absolute_path = absolute(path)
    listing = await client.list_files(name, absolute_path)
    entries = listing.entries[:MAX_ENTRIES]
    left_out = len(listing.entries) - len(entries)
    count = pluralize(len(listing.entries), "entry")
    text = [f"{printable(absolute_path)} in sandbox '{name}' has {count}:"]
    text += [f"- {_format_entry(entry)}" for entry in entries]
    if left_out or not listing.is_whole:
        more = f"{left_out}" if listing.is_whole else f"{left_out} or more"
        text.append(f"[… {more} left out; list a subdirectory, or use a command …]")
    content = {
        "name": name,
        "entries": [_entry_content(entry) for entry in entries],
        "left_out": left_out,
    }
    return Result("\n".join(text), content)


def _entry_content(entry: "Entry") -> dict[str, object]:
    content: dict[str, object] = {"name": entry.name, "is_directory": entry.is_directory}
    return content if entry.size is None else {**content, "size": entry.size}


def _format_entry(entry: "Entry") -> str:
    name = printable(entry.name)
    if len(name) > MAX_SHOWN:
        name = f"{name[: MAX_SHOWN - 1]}…"
    if entry.is_directory:
        return f"{name}/"
    return name if entry.size is None else f"{name} ({pluralize(entry.size, 'byte')})"
