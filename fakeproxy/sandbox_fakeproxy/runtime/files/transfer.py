"""Whole files in and out of a sandbox: multipart up, octets down, and the encodings of a write."""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from sandbox_fakeproxy.runtime.api import Unprocessable, envelope, issue
from sandbox_fakeproxy.runtime.paths import HOME

from .errors import FileError, FileRejected
from .volume import OpenFile, Volume

_PLACE = f"{HOME}/"  # of an upload without a path
# How a call on the volume is made: it blocks, and the loop must not.
RunInThread = Callable[[Callable[[], Any]], Awaitable[Any]]


def failed(fault: FileError, status: int = 200) -> Response:
    """Word a fault: the API has worked, the file has not."""
    data = {
        "path": fault.path,
        "operation": fault.operation,
        "message": fault.message,
        "error_type": fault.error_type,
        "retryable": fault.retryable,
    }
    return envelope(fault.message, data, success=False, status=status)


async def upload(volume: Volume, run: RunInThread, request: Request) -> Response:
    """Answer `POST /v1/file/upload`; without a path, a file goes home under its own name."""
    try:
        async with request.form() as form:
            file, path = form.get("file"), form.get("path")
            if not isinstance(file, UploadFile):
                raise Unprocessable(issue("file", "Field required: a file", "missing"))
            if not isinstance(path, str | None):
                raise Unprocessable(issue("path", "Input should be a valid string", "string_type"))
            data, path = await file.read(), path or _PLACE + _own_name(file)
    except (MultiPartException, FormParserError) as exc:  # the latter before Starlette 1.10
        return JSONResponse({"detail": str(exc)}, 400)
    try:
        size = await run(partial(volume.write, path, data, operation="upload"))
    except FileError as exc:
        return failed(exc)
    return envelope("File uploaded", {"file_path": path, "file_size": size, "success": True})


async def download(volume: Volume, run: RunInThread, request: Request) -> Response:
    """Answer `GET /v1/file/download`, reading while it is sent."""
    path = request.query_params.get("path")
    if path is None:
        raise Unprocessable({"loc": ["query", "path"], "msg": "Field required", "type": "missing"})
    try:
        file: OpenFile = await run(partial(volume.open, path))
    except FileError as exc:
        return failed(exc, 404 if exc.error_type == "not_found" else 400)
    headers = {
        "content-length": str(file.size),
        "content-disposition": _attachment(path.rstrip("/").rpartition("/")[2]),
    }
    return StreamingResponse(_blocks(file), headers=headers, media_type="application/octet-stream")


async def _blocks(file: OpenFile) -> AsyncGenerator[bytes]:
    left = file.size
    try:
        while left and (block := await asyncio.to_thread(file.read, left)):
            left -= len(block)
            yield block
    finally:
        file.close()


def _own_name(file: UploadFile) -> str:
    """Return an uploaded file's name, if it is one and no path."""
    name = file.filename or ""
    if "/" in name or name in {"", ".", ".."}:
        raise Unprocessable(issue("path", f"Needed, as '{name}' is no file's name", "missing"))
    return name


def _attachment(name: str) -> str:
    quoted = quote(name)
    if quoted == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=utf-8''{quoted}"


def decoded(content: str, encoding: str) -> bytes:
    """Return the bytes that a content stands for: `utf-8`, `base64`, or `raw`, a byte a character.

    Raises:
        FileRejected: it is not in that encoding.
    """
    if encoding == "utf-8":
        return content.encode()
    if encoding == "raw":
        try:
            return content.encode("latin-1")
        except UnicodeEncodeError as exc:
            message = f"Character {exc.start} of the content is more than one byte"
            raise FileRejected("decode_error", message) from exc
    try:
        # Lines, as the base64 command writes them, are base64 too.
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise FileRejected("decode_error", f"The content is not base64: {exc}") from exc
