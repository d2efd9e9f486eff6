"""The runtime's file API: fields in, one call on the volume, and its result in the wrapper."""

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

from .errors import FileError, faults
from .listing import ORDERS, ListingOptions, writable
from .patterns import Glob
from .search import InvalidExpression
from .transfer import RunInThread, decoded, download, failed, upload
from .volume import Volume

_AT_ONCE = 4  # calls on one sandbox's files


class Files:
    """The files in /sandbox and /home/gem, which are made on first use."""

    def __init__(self, paths: SandboxPaths) -> None:
        self._volume = Volume({WORK: paths.work, HOME: paths.home}, owner=paths.owner)
        # Its own: slow searches do not hold up other sandboxes.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="files")
        self._stops = 0
        self._running: set[asyncio.Future[Any]] = set()

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the routes for one request: they work until the next `stop`."""
        run = partial(self._run, self._stops)
        return file_routes(self._volume, run)

    async def stop(self) -> None:
        """Start no call that was allowed before, and wait for those that have started."""
        self._stops += 1
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, stops: int, call: Callable[[], Any]) -> Any:
        self._check(stops)
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, self._make_and_call, stops, call)
        self._running.add(working)
        working.add_done_callback(self._forget)
        return await asyncio.shield(working)

    def _forget(self, working: asyncio.Future[Any]) -> None:
        self._running.discard(working)
        if not working.cancelled():
            working.exception()  # its caller may be gone

    def _make_and_call(self, stops: int, call: Callable[[], Any]) -> Any:
        self._check(stops)  # again, as it may have waited for a thread
        self._volume.make()
        return call()

    def _check(self, stops: int) -> None:
        if stops != self._stops:
            raise RuntimeUnreachable("The sandbox was stopped before its files could be reached")


# The blocking call for a request, and the message and data of its answer.
_Call = Callable[[], tuple[str, JsonObject]]
_Reading = Callable[[Volume, BodyFields], _Call]


def file_routes(
    volume: Volume, run: RunInThread = asyncio.to_thread
) -> Mapping[str, Mapping[str, Handler]]:
    """Return the paths and methods of the file API over one sandbox's volume."""
    readings: dict[str, _Reading] = {
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
        f"/v1/file/{name}": {"POST": partial(_answer, volume, run, reading)}
        for name, reading in readings.items()
    }


async def _answer(
    volume: Volume, run: RunInThread, reading: _Reading, request: Request
) -> Response:
    body = BodyFields(await read_fields(request))
    body.flag("sudo")  # taken and without effect: there is one account, and no more it may do
    call = reading(volume, body)
    body.check()
    try:
        return envelope(*await run(call))
    except FileError as exc:
        return failed(exc)
    except InvalidExpression as exc:
        message = f"No regular expression: {exc}"
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
    before, after = body.flag("leading_newline"), body.flag("trailing_newline")
    if encoding == "utf-8":  # the other two are bytes, and have no lines
        content = "\n" * before + content + "\n" * after

    def call() -> tuple[str, JsonObject]:
        with faults("write", file):
            data = decoded(content, encoding)
        written = volume.write(file, data, append=append)
        return "File written", {"file": file, "bytes_written": written}

    return call


def _list(volume: Volume, body: BodyFields) -> _Call:
    path = body.text("path")
    recursive, max_depth = body.flag("recursive"), body.number("max_depth", minimum=1)
    hidden = body.flag("show_hidden", default=True)
    view = ListingOptions(
        extensions=body.texts("file_types"),
        order=body.choice("sort_by", *ORDERS),
        descending=body.flag("sort_desc"),
        sizes=body.flag("include_size", default=True),
        permissions=body.flag("include_permissions"),
    )

    def call() -> tuple[str, JsonObject]:
        depth = max_depth if recursive else 1
        entries, more = volume.listing(path, depth=depth, hidden=hidden)
        shown = view.of(entries)
        directories = sum(entry.is_directory for entry in shown)
        return "Directory listed", {
            "path": path,
            "files": [view.described(entry) for entry in shown],
            "total_count": len(shown),
            "directory_count": directories,
            "file_count": len(shown) - directories,
        } | _cut(more=more)

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
        found = volume.search(file, regex)
        data = {"file": file, "matches": found.matches, "line_numbers": found.line_numbers}
        return "File searched", data | _cut(more=found.truncated)

    return call


def _find(volume: Volume, body: BodyFields) -> _Call:
    path, pattern = body.text("path"), body.text("glob")
    glob = None
    try:
        glob = Glob(pattern)
    except ValueError as exc:
        body.add_issue("glob", str(exc), "value_error")

    def call() -> tuple[str, JsonObject]:
        assert glob is not None  # noqa: S101  (checked before it is called)
        found, more = volume.find(path, glob)
        return "Files found", {
            "path": path,
            "files": [writable(each) for each in found],
        } | _cut(more=more)

    return call


def _cut(*, more: bool) -> JsonObject:
    """Say that a result is not all there is; the runtime says nothing otherwise."""
    return {"truncated": True} if more else {}
