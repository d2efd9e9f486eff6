"""Upload files as multipart, download them as octets, and decode the content of a write."""

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

from sandbox_fakeproxy.errors import IncompleteResponse
from sandbox_fakeproxy.runtime.api import Unprocessable, envelope, issue
from sandbox_fakeproxy.runtime.paths import HOME

from .errors import FileError, FileRejected
from .volume import OpenFile, Volume

_UPLOAD_DIRECTORY = f"{HOME}/"  # of an upload without a path
# Runs a call on the volume in a thread: it blocks, and the event loop must not.
RunInThread = Callable[[Callable[[], Any]], Awaitable[Any]]


def file_error_response(error: FileError, status: int = 200) -> Response:
    """Return the response for a failed file operation: by default 200, as the API has worked."""
    data = {
        "path": error.path,
        "operation": error.operation,
        "message": error.message,
        "error_type": error.error_type,
        "retryable": error.retryable,
    }
    return envelope(error.message, data, success=False, status=status)


async def upload(volume: Volume, run: RunInThread, request: Request) -> Response:
    """Handle `POST /v1/file/upload`; without a path, the file goes to the home directory."""
    try:
        async with request.form() as form:
            file, path = form.get("file"), form.get("path")
            if not isinstance(file, UploadFile):
                raise Unprocessable(issue("file", "Field required: a file", "missing"))
            if not isinstance(path, str | None):
                raise Unprocessable(issue("path", "Input should be a valid string", "string_type"))
            data, path = await file.read(), path or _UPLOAD_DIRECTORY + _filename(file)
    except (MultiPartException, FormParserError) as exc:  # the latter before Starlette 1.10
        return JSONResponse({"detail": str(exc)}, 400)
    try:
        size = await run(partial(volume.write, path, data, operation="upload"))
    except FileError as exc:
        return file_error_response(exc)
    return envelope("File uploaded", {"file_path": path, "file_size": size, "success": True})


async def download(volume: Volume, run: RunInThread, request: Request) -> Response:
    """Handle `GET /v1/file/download`; the file is read while the response is sent."""
    path = request.query_params.get("path")
    if path is None:
        raise Unprocessable({"loc": ["query", "path"], "msg": "Field required", "type": "missing"})
    try:
        file: OpenFile = await run(partial(volume.open, path))
    except FileError as exc:
        return file_error_response(exc, 404 if exc.error_type == "not_found" else 400)
    headers = {
        "content-length": str(file.size),
        "content-disposition": _content_disposition(path.rstrip("/").rpartition("/")[2]),
    }
    return StreamingResponse(
        _iter_blocks(file), headers=headers, media_type="application/octet-stream"
    )


async def _iter_blocks(file: OpenFile) -> AsyncGenerator[bytes]:
    remaining = file.size
    try:
        while remaining and (block := await asyncio.to_thread(file.read, remaining)):
            remaining -= len(block)
            yield block
    finally:
        file.close()
    if remaining:
        raise IncompleteResponse("The file has become shorter since its size was sent")


def _filename(file: UploadFile) -> str:
    """Return the name of an uploaded file.

    Raises:
        Unprocessable: the name is missing, or is a path.
    """
    name = file.filename or ""
    if "/" in name or name in {"", ".", ".."}:
        raise Unprocessable(
            issue("path", f"Field required, as '{name}' is not a file name", "missing")
        )
    return name


def _content_disposition(name: str) -> str:
    quoted = quote(name)
    if quoted == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=utf-8''{quoted}"


def decode_content(content: str, encoding: str) -> bytes:
    """Decode the content of a write: `utf-8`, `base64`, or `raw` (one byte for each character).

    Raises:
        FileRejected: the content is not in that encoding.
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
        # The base64 command writes lines; their ends are removed.
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise FileRejected("decode_error", f"The content is not base64: {exc}") from exc
