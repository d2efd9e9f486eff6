"""The runtime's file API behind the proxy, pure: requests to a sandbox's files, replies in.

The deployed proxy forwards JSON bodies under 100 KB and no query string, and passes on replies that
are JSON: so files go in as base64, in pieces that fit, and the download route is not for us.
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

from .message import Request, as_object, check_text, member, optional, path_of
from .sandboxes import WORK, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Operation, Reply

MAX_BODY = 100_000  # bytes: under 100 KB, be a KB 1,000 or 1,024 bytes
MAX_PIECE = 72_000  # bytes of a file in one request: 96,000 of base64
MAX_PATH = 4_096  # bytes, as on Linux

_KINDS: dict[str, type[FileRefused]] = {
    "not_found": NoSuchFile,
    "invalid_target": WrongKind,
    "decode_error": NotText,
}
_ADVICE = {
    "permission_denied": "Choose a path below /sandbox, or look at who may do what there with"
    " {run}.",
    "read_only_filesystem": "Choose a path below /sandbox, which can be written.",
    "no_space_left": "Make room in the sandbox with {run}, then try again.",
    "io_error": "Try again; if it stays, look at the sandbox's disk with {run}.",
}


@dataclass(frozen=True)
class Entry:
    """One name in a directory; `size` in bytes, of files alone."""

    name: str
    is_directory: bool
    size: int | None = None


@dataclass(frozen=True)
class Listing:
    """The entries of a directory; `is_whole` unless the runtime says that there are more."""

    entries: tuple[Entry, ...]
    is_whole: bool = True


def absolute(path: str) -> str:
    """Return a path of the sandbox from the root on, without slashes at its end.

    Raises:
        InvalidInput: no file can be there.
    """
    check_text("The path", path)
    if "\0" in path:
        raise InvalidInput("The path holds a NUL character, which none can", advice="Leave it out.")
    size = len(path.encode())
    if size > MAX_PATH - len(WORK) - 1:
        raise InvalidInput(
            f"The path has {pluralize(size, 'byte')}", advice=f"Give {MAX_PATH - 16} at most."
        )
    whole = path if path.startswith("/") else f"{WORK}/{path}"
    return whole.rstrip("/") or "/"


def check_content(text: str) -> bytes:
    """Return the bytes of a text that is to be written.

    Raises:
        InvalidInput: it is not Unicode.
    """
    check_text("The content", text)
    return text.encode()


def room(path: str) -> int:
    """Return how many bytes of a file fit into one request that writes them to `path`."""
    frame = len(json.dumps(_written(path, b"", append=False)))  # escaped: at least as it is sent
    return min(MAX_PIECE, (MAX_BODY - frame) // 4 * 3)


def read(name: str, path: str, *, start: int | None = None, end: int | None = None) -> Request:
    """Ask for the text of a file, or its lines from `start` on and before `end`, from 0."""
    lines = {"start_line": start, "end_line": end}
    given = {key: value for key, value in lines.items() if value is not None}
    return _repeatable("read file", name, "read", {"file": path, **given})


def write(name: str, path: str, data: bytes, *, append: bool) -> Request:
    """Ask to write `data`, which has to fit, to a file or to its end; its parents are made.

    To append twice is not the same as once.
    """
    body = _written(path, data, append=append)
    request = _repeatable("write file", name, "write", body)
    if not append:
        return request
    return Request.to_change("write file", "POST", request.path, name, body)


def listing(name: str, path: str) -> Request:
    """Ask for the entries of a directory."""
    body = {"path": path, "recursive": False, "show_hidden": True}
    return _repeatable("list files", name, "list", body)


def read_content(reply: Reply) -> str:
    """Read the reply to `read`.

    Raises:
        NotText: the file is not UTF-8.
        FileRefused: it cannot be read.
    """
    # A lone surrogate is legal in JSON and in no output of ours.
    return member(_data(reply), "content", str).encode(errors="replace").decode()


def read_written(reply: Reply, size: int) -> None:
    """Read the reply to `write` of `size` bytes.

    Raises:
        FileRefused: they cannot be written.
    """
    written = member(_data(reply), "bytes_written", int)
    if written != size:
        raise InvalidResponse(f"The sandbox wrote {pluralize(written, 'byte')} of {size}")


def read_listing(reply: Reply) -> Listing:
    """Read the reply to `listing`.

    Raises:
        FileRefused: it is no directory, or cannot be read.
    """
    data = _data(reply)
    rows = cast("list[object]", member(data, "files", list))
    entries = tuple(_entry(as_object(row, "an entry of data.files")) for row in rows)
    return Listing(entries, is_whole=data.get("truncated") is not True)


def _written(path: str, data: bytes, *, append: bool) -> dict[str, object]:
    content = base64.b64encode(data).decode()
    return {"file": path, "encoding": "base64", "append": append, "content": content}


def _repeatable(operation: Operation, name: str, route: str, body: Mapping[str, object]) -> Request:
    path = path_of("proxy", check_name(name), "v1", "file", route)
    return Request(operation, "POST", path, name, body, repeatable=True)


def _data(reply: Reply) -> dict[str, object]:
    content = as_object(reply.json(), "the reply")
    data = as_object(content.get("data") or {}, "data")
    if content.get("success") is False:
        raise _refused(reply, data)
    return data


def _refused(reply: Reply, data: Mapping[str, object]) -> FileRefused:
    """Return the error for a fault of the file, which the runtime answers with 200."""
    kind = optional(data, "error_type")
    done = reply.clean(optional(data, "operation")) or "do it to"
    path = reply.clean(optional(data, "path")) or "the file"
    said = reply.clean(optional(data, "message")) or reply.words() or "no reason given"
    return _KINDS.get(kind, FileRefused)(
        f"The sandbox could not {done} {path}: {said}",
        advice=_ADVICE.get(kind),
        retryable=data.get("retryable") is True,
    )


def _entry(content: Mapping[str, object]) -> Entry:
    size = content.get("size")
    return Entry(
        name=member(content, "name", str).encode(errors="replace").decode(),
        is_directory=member(content, "is_directory", bool),
        size=member(content, "size", int) if size is not None else None,
    )
