"""The runtime's file API: read a request's fields, call the volume, and wrap the result."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.http import JsonObject
from sandbox_fakeproxy.runtime.api import (
    BodyFields,
    Handler,
    Unprocessable,
    envelope,
    issue,
    read_fields,
)
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import HOME, WORK, SandboxPaths

from .errors import FileError, file_errors
from .listing import SORT_KEYS, ListingOptions, json_safe
from .patterns import Glob
from .search import InvalidExpression
from .transfer import RunInThread, decode_content, download, file_error_response, upload
from .volume import Volume

_THREADS = 4  # for the files of one sandbox

# A blocking call on the volume; it returns the message and the data of the response.
_Call = Callable[[], tuple[str, JsonObject]]
# Reads the fields of a request and returns the call that they ask for.
_Operation = Callable[[Volume, BodyFields], _Call]


class FileAPI:
    """The file API of one sandbox: /sandbox and /home/gem, which are created on first use."""

    def __init__(self, paths: SandboxPaths) -> None:
        self._volume = Volume({WORK: paths.work, HOME: paths.home}, owner=paths.owner)
        # One pool for each sandbox: slow searches do not hold up other sandboxes.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")
        self._has_stopped = False
        self._running: set[asyncio.Future[Any]] = set()

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the paths of the API; they work until `stop`."""
        return file_routes(self._volume, self._run)

    async def stop(self) -> None:
        """Start no more calls, and wait for those that have started."""
        self._has_stopped = True
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, call: Callable[[], Any]) -> Any:
        self._require_running()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, self._prepare_and_call, call)
        self._running.add(future)
        future.add_done_callback(self._on_done)
        return await asyncio.shield(future)

    def _on_done(self, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        if not future.cancelled():
            future.exception()  # retrieved here, as the caller may be gone

    def _prepare_and_call(self, call: Callable[[], Any]) -> Any:
        self._require_running()  # once more, as the call may have waited for a thread
        self._volume.create_directories()
        return call()

    def _require_running(self) -> None:
        if self._has_stopped:
            raise RuntimeUnreachable("The sandbox was stopped before its files could be reached")


def file_routes(
    volume: Volume, run: RunInThread = asyncio.to_thread
) -> Mapping[str, Mapping[str, Handler]]:
    """Return the paths and methods of the file API over one sandbox's volume."""
    operations: dict[str, _Operation] = {
        "read": _read,
        "write": _write,
        "list": _list,
        "replace": _replace,
        "search": _search,
        "find": _find,
    }
    return {
        "/v1/file/upload": {"POST": partial(upload, volume, run)},
        "/v1/file/download": {"GET": partial(download, volume, run)},
    } | {
        f"/v1/file/{name}": {"POST": partial(_handle, volume, run, operation)}
        for name, operation in operations.items()
    }


async def _handle(
    volume: Volume, run: RunInThread, operation: _Operation, request: Request
) -> Response:
    body = BodyFields(await read_fields(request))
    body.flag("sudo")  # accepted without effect: there is one account, without more rights
    call = operation(volume, body)
    body.check()
    try:
        return envelope(*await run(call))
    except FileError as exc:
        return file_error_response(exc)
    except InvalidExpression as exc:
        message = f"Invalid regular expression: {exc}"
        raise Unprocessable(issue("regex", message, "value_error")) from exc


def _read(volume: Volume, body: BodyFields) -> _Call:
    file = body.text("file")
    start, end = body.number("start_line", minimum=0), body.number("end_line", minimum=0)

    def call() -> tuple[str, JsonObject]:
        return "File read", {"content": volume.read(file, start, end), "file": file}

    return call


def _write(volume: Volume, body: BodyFields) -> _Call:
    file, content = body.text("file"), body.text("content")
    encoding = body.choice("encoding", "utf-8", "base64", "raw")
    append = body.flag("append")
    leading, trailing = body.flag("leading_newline"), body.flag("trailing_newline")
    if encoding == "utf-8":  # the other two are bytes, and have no lines
        content = "\n" * leading + content + "\n" * trailing

    def call() -> tuple[str, JsonObject]:
        with file_errors("write", file):
            data = decode_content(content, encoding)
        bytes_written = volume.write(file, data, append=append)
        return "File written", {"file": file, "bytes_written": bytes_written}

    return call


def _list(volume: Volume, body: BodyFields) -> _Call:
    path = body.text("path")
    recursive, max_depth = body.flag("recursive"), body.number("max_depth", minimum=1)
    show_hidden = body.flag("show_hidden", default=True)
    options = ListingOptions(
        extensions=body.texts("file_types"),
        sort_by=body.choice("sort_by", *SORT_KEYS),
        descending=body.flag("sort_desc"),
        include_size=body.flag("include_size", default=True),
        include_permissions=body.flag("include_permissions"),
    )

    def call() -> tuple[str, JsonObject]:
        depth = max_depth if recursive else 1
        entries, truncated = volume.list_directory(path, depth=depth, show_hidden=show_hidden)
        selected = options.select(entries)
        directory_count = sum(entry.is_directory for entry in selected)
        return "Directory listed", {
            "path": path,
            "files": [options.describe(entry) for entry in selected],
            "total_count": len(selected),
            "directory_count": directory_count,
            "file_count": len(selected) - directory_count,
        } | _truncation(truncated=truncated)

    return call


def _replace(volume: Volume, body: BodyFields) -> _Call:
    file, old, new = body.text("file"), body.text("old_str", min_length=1), body.text("new_str")

    def call() -> tuple[str, JsonObject]:
        count = volume.replace(file, old, new)
        return "Text replaced", {"file": file, "replaced_count": count}

    return call


def _search(volume: Volume, body: BodyFields) -> _Call:
    file, regex = body.text("file"), body.text("regex")

    def call() -> tuple[str, JsonObject]:
        result = volume.search(file, regex)
        data = {"file": file, "matches": result.matches, "line_numbers": result.line_numbers}
        return "File searched", data | _truncation(truncated=result.truncated)

    return call


def _find(volume: Volume, body: BodyFields) -> _Call:
    path, pattern = body.text("path"), body.text("glob")
    glob = None
    try:
        glob = Glob(pattern)
    except ValueError as exc:
        body.add_issue("glob", str(exc), "value_error")

    def call() -> tuple[str, JsonObject]:
        assert glob is not None  # noqa: S101  (`_handle` checks the fields before it calls this)
        paths, truncated = volume.find(path, glob)
        files = [json_safe(file) for file in paths]
        return "Files found", {"path": path, "files": files} | _truncation(truncated=truncated)

    return call


def _truncation(*, truncated: bool) -> JsonObject:
    """Return the field that marks an incomplete result; the runtime omits it otherwise."""
    return {"truncated": True} if truncated else {}
