"""Upload the payload of a command: its standard input, or a command that is too long for a request.

The deployed proxy refuses bodies over 100 KB, so the payload is sent in pieces, to a directory that
only its owner can read. The command removes the directory when it starts.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from sandbox_client.api import files
from sandbox_client.api.runtime import Payload, quote
from sandbox_client.errors import FileRefused, NoSuchFile, SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_client.api.runtime import Task
    from sandbox_client.http import Proxy

    from .follower import OutputFollower

Read = Callable[[int], Awaitable[bytes]]  # read this many bytes, fewer only at the end
Run = Callable[[str], Awaitable[None]]  # run an internal command, which has to succeed
MAX_WORD = 120_000  # bytes: Linux allows 131,071 for an argument
STALE_AFTER = 24 * 60  # minutes after which the directory of a killed client is removed
_PREFIX = ".remote-sandbox-"
_REMOVE_DEADLINE = 5.0  # seconds to remove the payload of a command that was not started


async def upload(
    proxy: Proxy,
    name: str,
    task: Task,
    *,
    stdin: Read | None,
    exports: bool,
    run: Run,
    follower: OutputFollower,
) -> Payload:
    """Upload the command and the standard input of a task; remove them again if that fails.

    With `exports`, the uploaded command also exports the variables of the task.

    Raises:
        FileRefused: the sandbox cannot store the payload.
    """
    directory = f"{_PREFIX}{secrets.token_hex(4)}"
    command = (export_command(task.env) if exports else "") + task.command
    is_long = len(command.encode()) > MAX_WORD
    payload = Payload(f'"$HOME"/{directory}', has_input=stdin is not None, is_long=is_long)
    if command.startswith("-"):  # `eval` would take it as an option
        command = f" {command}"
    inputs = {"run": reader(command.encode())} | ({"in": stdin} if stdin is not None else {})
    try:
        # Directories of killed clients are removed, too; a directory in use is never that old.
        find = f'find "$HOME"/{_PREFIX}* -maxdepth 0 -mmin +{STALE_AFTER} -exec rm -rf {{}} +'
        await run(f"{find} 2>/dev/null; mkdir -m 700 {payload.directory}")
        await _check_home(proxy, name, directory)
        joins: list[str] = []
        for file, read in inputs.items():
            count = await _send_pieces(
                proxy, name, f"{files.HOME}/{directory}/{file}", read, follower
            )
            joins += [f"cat {file}.* >{file}"] if count > 1 else []
        if joins:
            await run(f"cd {payload.directory} && {' && '.join([*joins, 'rm ./*.*'])}")
    except SandboxError as error:
        await remove(payload, run)
        raise error.but(not_done="The command was not run.") from None
    except BaseException:
        await remove(payload, run)
        raise
    return payload


async def remove(payload: Payload, run: Run) -> None:
    """Remove the payload of a command that was not started; errors are ignored."""
    with anyio.move_on_after(_REMOVE_DEADLINE, shield=True), contextlib.suppress(SandboxError):
        await run(f"rm -rf {payload.directory}")


def export_command(env: Mapping[str, str]) -> str:
    """Return a one-line shell command that exports these variables; empty if there are none."""
    words = "".join(f" {name}={quote(value)}" for name, value in env.items())
    return f"export{words}; " if words else ""


async def _check_home(proxy: Proxy, name: str, directory: str) -> None:
    """Check that the private directory, which the shell has made, is below HOME.

    Raises:
        FileRefused: the shell has another home directory. The file API would create a new
            directory, which others can read.
    """
    try:
        files.read_listing(await proxy.send(files.listing(name, f"{files.HOME}/{directory}")))
    except NoSuchFile:
        raise FileRefused(
            f"The home directory of the shell in sandbox '{name}' is not {files.HOME}",
            advice="Create a sandbox with {create} from an image whose shell has this home"
            " directory.",
        ) from None


async def _send_pieces(
    proxy: Proxy, name: str, path: str, read: Read, follower: OutputFollower
) -> int:
    """Write a file in numbered pieces, or as a whole if it fits; return the number of pieces."""
    size = files.piece_size(f"{path}.00000000")
    piece, total, count = await read(size), 0, 0
    is_one = len(piece) < size
    while piece or not count:
        target = path if is_one else f"{path}.{count:08}"
        request = files.write(name, target, piece, append=False)
        files.read_written(await proxy.send(request), len(piece))
        total, count = total + len(piece), count + 1
        follower.activity = f"sending the command's input: {math.ceil(total / 1000)} KB"
        piece = b"" if is_one else await read(size)
    return 1 if is_one else max(count, 2)


def reader(data: bytes) -> Read:
    """Return a function that reads `data` piece by piece."""
    rest = memoryview(data)

    async def read(size: int) -> bytes:
        nonlocal rest
        piece, rest = bytes(rest[:size]), rest[size:]
        return piece

    return read
