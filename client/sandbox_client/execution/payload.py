"""Upload the payload of a command: standard input, variables, or a command too long for a request.

The deployed proxy refuses bodies over 100 KB, so the payload is sent in pieces, to a directory that
only its owner can read. The command removes the directory when it starts.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import anyio

from sandbox_client.api import files
from sandbox_client.api.runtime import Payload, quote
from sandbox_client.errors import FileRefused, NoSuchFile, SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_client.api.runtime import Task
    from sandbox_client.http import Proxy

    from .follower import OutputFollower
    from .remote_command import RemoteCommand

Read = Callable[[int], Awaitable[bytes]]  # read this many bytes, fewer only at the end
Run = Callable[[str], Awaitable[None]]  # run an internal command, which has to succeed
MAX_WORD = 120_000  # bytes: Linux allows 131,071 for an argument
STALE_AFTER = 24 * 60  # minutes after which the directory of a killed client is removed
SECRET_LIFETIME = 600  # seconds after which a command with secrets has read them, or is gone
_PREFIX = ".remote-sandbox-"
_SECRET_PREFIX = f"{_PREFIX}agent-"
_ENCODED = re.compile(r"[A-Za-z0-9+/=]{24,}")  # content of a file, as a runtime may repeat it
_REMOVE_DEADLINE = 5.0  # seconds to remove the payload of a command that was not started


class _Place(NamedTuple):
    """A directory, as a word of the shell and as a path of the file API."""

    word: str
    path: str


_HOME = _Place('"$HOME"', files.HOME)
_MEMORY = _Place("/dev/shm", "/dev/shm")  # noqa: S108  # in a directory of its own


async def upload_if_needed(
    proxy: Proxy,
    remote: RemoteCommand,
    task: Task,
    *,
    stdin: Read | None,
    run: Run,
    follower: OutputFollower,
) -> Task:
    """Upload the standard input, a long command and variables if needed; return the new task.

    On a terminal, variables are always uploaded, so that no command line shows them. With pipes,
    they are uploaded together with a payload, so that they do not affect the shell that reads the
    payload, and if one is a secret.
    """
    is_long = len(json.dumps(remote.execute_request(task).body)) > files.MAX_BODY
    is_apart = remote.api == "terminal" or is_long or stdin is not None or task.has_secrets
    exports = bool(task.env) and is_apart
    if stdin is None and not exports and not is_long:
        return task
    uploaded = await upload(
        proxy, remote.name, task, stdin=stdin, exports=exports, run=run, follower=follower
    )
    return replace(task, payload=uploaded, env={} if exports else task.env)


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

    With `exports`, the uploaded command also exports the variables of the task. Secret ones are
    uploaded last, into memory if the sandbox has /dev/shm, and are removed after SECRET_LIFETIME
    even if this client is killed.

    Raises:
        FileRefused: the sandbox cannot store the payload.
    """
    command = (export_command(task.env) if exports else "") + task.command
    if command.startswith("-"):  # `eval` would take it as an option
        command = f" {command}"
    inputs = {"run": reader(command.encode())} | ({"in": stdin} if stdin is not None else {})
    names = sorted(inputs, reverse=not task.has_secrets)  # `in` is first if `run` has secrets
    directory = f"{_SECRET_PREFIX if task.has_secrets else _PREFIX}{secrets.token_hex(4)}"
    payload = Payload(
        f"{_HOME.word}/{directory}",
        has_input=stdin is not None,
        by_eval=exports or len(command.encode()) > MAX_WORD,
    )
    try:
        place = await _make_directory(proxy, name, directory, task, run)
        payload = replace(payload, directory=f"{place.word}/{directory}")
        joins: list[str] = []
        for file in names:
            if task.has_secrets and file == "run":
                await run(_guard(payload))
            path = f"{place.path}/{directory}/{file}"
            count = await _send_pieces(proxy, name, path, inputs[file], follower)
            joins += [f"cat {file}.* >{file}"] if count > 1 else []
        if joins:
            await run(f"cd {payload.directory} && {' && '.join([*joins, 'rm ./*.*'])}")
    except SandboxError as error:
        await remove(payload, run)
        message = _ENCODED.sub("…", error.message) if task.has_secrets else error.message
        raise error.but(message=message, not_done="The command was not run.") from None
    except BaseException:
        await remove(payload, run)
        raise
    return payload


async def _make_directory(proxy: Proxy, name: str, directory: str, task: Task, run: Run) -> _Place:
    """Make a directory that only its owner can read; return where it is."""
    # Directories of killed clients are removed, too; a directory in use is never that old.
    find = f'find "$HOME"/{_PREFIX}* -maxdepth 0 -mmin +{STALE_AFTER} -exec rm -rf {{}} +'
    if task.has_secrets and await _make_in_memory(proxy, name, directory, run):
        return _MEMORY
    await run(f"{find} 2>/dev/null; mkdir -m 700 {_HOME.word}/{directory}")
    await _check_home(proxy, name, directory)
    return _HOME


async def _make_in_memory(proxy: Proxy, name: str, directory: str, run: Run) -> bool:
    """Make the directory in memory; return False if there is none, or only the shell sees it."""
    find = (
        f'find {_MEMORY.word} "$HOME" -maxdepth 1 -name "{_SECRET_PREFIX}*"'
        f" -mmin +{SECRET_LIFETIME // 60} -exec rm -rf {{}} +"
    )
    try:
        await run(f"{find} 2>/dev/null; mkdir -m 700 {_MEMORY.word}/{directory}")
        await _list(proxy, name, f"{_MEMORY.path}/{directory}")
    except BaseException as error:
        await remove(Payload(f"{_MEMORY.word}/{directory}"), run)
        if isinstance(error, FileRefused):
            return False
        raise
    return True


def _guard(payload: Payload) -> str:
    """Return a script that prepares a private file `run`, and a process that removes it late.

    The substitution ends when that process has left the session, whose end would kill it.
    """
    wait = f"i=0; while [ -d {payload.directory} ] && [ $((i += 1)) -le {SECRET_LIFETIME} ]"
    late = f"exec >/dev/null; {wait}; do sleep 1; done; rm -rf {payload.directory}"
    return (
        f"(umask 077; : >{payload.directory}/run) &&"
        f' : "$(setsid sh -c {quote(late)} </dev/null 2>/dev/null &)"'
    )


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
        await _list(proxy, name, f"{files.HOME}/{directory}")
    except NoSuchFile:
        raise FileRefused(
            f"The home directory of the shell in sandbox '{name}' is not {files.HOME}",
            advice="Create a sandbox with {create} from an image whose shell has this home"
            " directory.",
        ) from None


async def _list(proxy: Proxy, name: str, path: str) -> None:
    files.read_listing(await proxy.send(files.listing(name, path)))


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
