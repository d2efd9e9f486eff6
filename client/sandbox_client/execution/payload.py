"""Files that go ahead of a command: its standard input, or a command that no request can hold.

The deployed proxy refuses bodies over 100 KB, so that they go in pieces, into a directory that only
its owner can read. The command removes the directory when it starts.
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

HOME = "/home/gem"  # the runtime's
Read = Callable[[int], Awaitable[bytes]]  # so many bytes, fewer only at the end
Run = Callable[[str], Awaitable[None]]  # a command of the client's own, which has to succeed
LONGEST_WORD = 120_000  # bytes: Linux allows 131,071 for an argument
OLD = 24 * 60  # minutes
_PREFIX = ".remote-sandbox-"
_FAREWELL = 5.0  # seconds to remove the files of a command that was not started


async def send_ahead(
    proxy: Proxy,
    name: str,
    task: Task,
    *,
    stdin: Read | None,
    exports: bool,
    run: Run,
    follower: OutputFollower,
) -> Payload:
    """Send the command and the input of a task ahead of it; if that fails, remove them again.

    With `exports`, its variables are in the file with the command, too.

    Raises:
        FileRefused: the sandbox has no room for it.
    """
    leaf = f"{_PREFIX}{secrets.token_hex(4)}"
    command = (exported(task.env) if exports else "") + task.command
    is_long = len(command.encode()) > LONGEST_WORD
    payload = Payload(f'"$HOME"/{leaf}', has_input=stdin is not None, is_long=is_long)
    if command.startswith("-"):  # an option of `eval`
        command = f" {command}"
    try:
        # Remove directories of killed clients as well; a directory in use is never that old.
        old = f'find "$HOME"/{_PREFIX}* -maxdepth 0 -mmin +{OLD} -exec rm -rf {{}} +'
        await run(f"{old} 2>/dev/null; mkdir -m 700 {payload.directory}")
        await _check_home(proxy, name, leaf)
        pieces = {
            "run": await _send(
                proxy, name, f"{HOME}/{leaf}/run", reader(command.encode()), follower
            )
        }
        if stdin is not None:
            pieces["in"] = await _send(proxy, name, f"{HOME}/{leaf}/in", stdin, follower)
        joins = [f"cat {file}.* >{file}" for file, count in pieces.items() if count > 1]
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
    """Remove the files of a command that was not started."""
    with anyio.move_on_after(_FAREWELL, shield=True), contextlib.suppress(SandboxError):
        await run(f"rm -rf {payload.directory}")


def exported(env: Mapping[str, str]) -> str:
    """Return a shell command that exports these variables, without a newline."""
    words = "".join(f" {name}={quote(value)}" for name, value in env.items())
    return f"export{words}; " if words else ""


async def _check_home(proxy: Proxy, name: str, leaf: str) -> None:
    """Look whether the private directory is where files will be written.

    Raises:
        FileRefused: it is not: files would be in a new directory, which others can read.
    """
    try:
        files.read_listing(await proxy.send(files.listing(name, f"{HOME}/{leaf}")))
    except NoSuchFile:
        raise FileRefused(
            f"The home directory of the shell in sandbox '{name}' is not {HOME}",
            advice="Make a sandbox with {create} from an image where it is.",
        ) from None


async def _send(proxy: Proxy, name: str, path: str, read: Read, follower: OutputFollower) -> int:
    """Write a file in numbered pieces, or as it is if one is enough; return their number."""
    size = files.piece_size(f"{path}.00000000")
    piece, total, count = await read(size), 0, 0
    is_one = len(piece) < size
    while piece or not count:
        target = path if is_one else f"{path}.{count:08}"
        request = files.write(name, target, piece, append=False)
        files.read_written(await proxy.send(request), len(piece))
        total, count = total + len(piece), count + 1
        follower.doing = f"sending the command's input: {math.ceil(total / 1000)} KB"
        piece = b"" if is_one else await read(size)
    return 1 if is_one else max(count, 2)


def reader(data: bytes) -> Read:
    """Return a function that reads `data`, so many bytes at a time."""
    left = memoryview(data)

    async def read(size: int) -> bytes:
        nonlocal left
        piece, left = bytes(left[:size]), left[size:]
        return piece

    return read
