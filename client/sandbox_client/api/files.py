"""Requests and replies of the runtime's file API, without I/O.

The deployed proxy forwards only JSON bodies under 100 KB, no query string, and only JSON replies.
Files are therefore written as base64, in pieces that fit, and the download route is not used.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sandbox_client.errors import (
    FileRefused,
    InvalidInput,
    InvalidResponse,
    NoSuchFile,
    NotText,
    WrongKind,
)
from sandbox_client.text import pluralize

from .message import Request, as_object, check_text, member, mismatch, optional, path_of
from .sandboxes import WORK, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Operation, Reply

MAX_BODY = 100_000  # bytes: under 100 KB, whether a KB has 1,000 or 1,024 bytes
MAX_PIECE = 72_000  # bytes of a file in one request: 96,000 of base64
HOME = "/home/gem"  # the home directory of commands, which a pause empties
MAX_PATH = 4_096  # bytes, as on Linux
MAX_FILE_NAME = 255  # bytes, as in most file systems
MAX_NAME = 1_024  # characters of a name in a listing: no file system of a sandbox has longer ones

_NAME_A_FILE = f"Name a file, such as {WORK}/notes.txt."

_ERRORS: dict[str, type[FileRefused]] = {  # by the runtime's error_type
    "not_found": NoSuchFile,
    "invalid_target": WrongKind,
    "decode_error": NotText,
}
_ADVICE = {
    "permission_denied": "Choose a path below /sandbox, or look at the permissions with {run}.",
    "read_only_filesystem": "Choose a path below /sandbox, which can be written.",
    "no_space_left": "Make room in the sandbox with {run}, then try again.",
    "io_error": "Try again; if it stays, look at the sandbox's disk with {run}.",
}


@dataclass(frozen=True)
class Entry:
    """An entry of a directory; `size` in bytes, None for a directory."""

    name: str
    is_directory: bool
    size: int | None = None


@dataclass(frozen=True)
class Listing:
    """The entries of a directory; `is_whole` unless the runtime has left some out."""

    entries: tuple[Entry, ...]
    is_whole: bool = True


def absolute(path: str) -> str:
    """Return an absolute path in the sandbox without trailing slashes.

    A relative path starts at WORK, and `~` is HOME.

    Raises:
        InvalidInput: the path is too long, blank, or has a character that no path can have.
    """
    check_text("The path", path)
    if path and not path.strip():
        raise InvalidInput(f"The path {path!r} is blank", advice=_NAME_A_FILE)
    if "\0" in path:
        raise InvalidInput("The path holds a NUL character, which none can", advice="Leave it out.")
    size = len(path.encode())
    if size > MAX_PATH - len(HOME) - 1:
        raise InvalidInput(
            f"The path has {pluralize(size, 'byte')}", advice=f"Give {MAX_PATH - 16} at most."
        )
    longest = max((len(each.encode()) for each in path.split("/")), default=0)
    if longest > MAX_FILE_NAME:
        raise InvalidInput(
            f"A name in the path has {pluralize(longest, 'byte')}",
            advice=f"Give names of {MAX_FILE_NAME} bytes at most.",
        )
    if path == "~" or path.startswith("~/"):
        path = HOME + path.removeprefix("~")
    whole = path if path.startswith("/") else f"{WORK}/{path}"
    return whole.rstrip("/") or "/"


def absolute_file(path: str) -> str:
    """Return the absolute path of a file.

    Raises:
        InvalidInput: the path is not that of a file, but empty or that of a directory.
    """
    whole = absolute(path)
    is_directory = path.endswith("/") or path == "~"
    if is_directory or not path or whole.rpartition("/")[2].strip() in {"", ".", ".."}:
        raise InvalidInput(f"The path {path!r} names no file", advice=_NAME_A_FILE)
    return whole


def check_content(text: str) -> bytes:
    """Encode the text of a file as UTF-8.

    Raises:
        InvalidInput: the text is not valid Unicode.
    """
    check_text("The content", text)
    return text.encode()


def piece_size(path: str) -> int:
    """Return how many bytes of a file fit into one request that writes to `path`."""
    # json.dumps escapes more than httpx does, so the frame is at least as long as the sent one.
    frame = len(json.dumps(_write_body(path, b"", append=False)))
    return min(MAX_PIECE, (MAX_BODY - frame) // 4 * 3)


def read(name: str, path: str, *, start: int | None = None, end: int | None = None) -> Request:
    """Return a request for the text of a file, or for the lines `start` to `end` - 1, from 0."""
    lines = {"start_line": start, "end_line": end}
    limits = {key: value for key, value in lines.items() if value is not None}
    return _file_request("read file", name, "read", {"file": path, **limits})


def write(name: str, path: str, data: bytes, *, append: bool) -> Request:
    """Return a request that writes or appends `data` to a file and creates its directories.

    `data` has at most `piece_size(path)` bytes. A request to append is sent only once.
    """
    body = _write_body(path, data, append=append)
    request = _file_request("write file", name, "write", body)
    if not append:
        return request
    return Request.to_change("write file", "POST", request.path, name, body)


def listing(name: str, path: str) -> Request:
    """Return a request for the entries of a directory."""
    body = {"path": path, "recursive": False, "show_hidden": True}
    return _file_request("list files", name, "list", body)


def read_content(reply: Reply) -> str:
    """Read the reply to `read`.

    Raises:
        NotText: the file is not UTF-8.
        FileRefused: the file cannot be read.
    """
    # JSON may contain lone surrogates, which UTF-8 cannot encode.
    return member(_data(reply), "content", str).encode(errors="replace").decode()


def read_written(reply: Reply, size: int) -> None:
    """Check the reply to `write` of `size` bytes.

    Raises:
        FileRefused: the file cannot be written.
        InvalidResponse: another number of bytes was written.
    """
    written = member(_data(reply), "bytes_written", int)
    if written != size:
        raise InvalidResponse(f"The sandbox wrote {pluralize(written, 'byte')} of {size}")


def read_listing(reply: Reply) -> Listing:
    """Read the reply to `listing`.

    Raises:
        FileRefused: the path is not a directory, or cannot be read.
    """
    data = _data(reply)
    rows = cast("list[object]", member(data, "files", list))
    entries = tuple(_entry(as_object(row, "an entry of data.files")) for row in rows)
    return Listing(entries, is_whole=data.get("truncated") is not True)


def _write_body(path: str, data: bytes, *, append: bool) -> dict[str, object]:
    content = base64.b64encode(data).decode()
    return {"file": path, "encoding": "base64", "append": append, "content": content}


def _file_request(
    operation: Operation, name: str, route: str, body: Mapping[str, object]
) -> Request:
    path = path_of("proxy", check_name(name), "v1", "file", route)
    return Request(operation, "POST", path, name, body, repeatable=True)


def _data(reply: Reply) -> dict[str, object]:
    content = as_object(reply.json(), "the reply")
    data = as_object(content.get("data") or {}, "data")
    if content.get("success") is False:
        raise _file_error(reply, data)
    return data


def _file_error(reply: Reply, data: Mapping[str, object]) -> FileRefused:
    """Return the error for a file operation that failed, which the runtime answers with 200."""
    kind = optional(data, "error_type")
    operation = reply.clean(optional(data, "operation")) or "do it to"
    path = reply.clean(optional(data, "path")) or "the file"
    reason = reply.clean(optional(data, "message")) or reply.message() or "no reason given"
    return _ERRORS.get(kind, FileRefused)(
        f"The sandbox could not {operation} {path}: {reason}",
        advice=_ADVICE.get(kind),
        retryable=data.get("retryable") is True,
    )


def _entry(content: Mapping[str, object]) -> Entry:
    name, size = member(content, "name", str), content.get("size")
    if len(name) > MAX_NAME:
        raise mismatch("name", f"{MAX_NAME} characters at most", name)
    return Entry(
        name=name.encode(errors="replace").decode(),
        is_directory=member(content, "is_directory", bool),
        size=member(content, "size", int) if size is not None else None,
    )
