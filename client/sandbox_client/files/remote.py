"""Files of a sandbox: read, list and write them, through the file API and short shell commands.

`Client` uses `Files` for single files; copies and the transfers of repositories use its `upload`,
`commit` and `cleanup`. A file is uploaded in pieces to a temporary name in the same directory,
verified there by size and hash, and renamed: no reader sees a partial file.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import posixpath
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio

from sandbox_client.api import files
from sandbox_client.errors import (
    NOTHING_DONE,
    CommandStateUnknown,
    ConfigError,
    FileChanged,
    FileRefused,
    NoSuchFile,
    NotSent,
    NotText,
    ProxyRefused,
    RateLimited,
    SandboxError,
    WrongKind,
)
from sandbox_client.execution.remote_command import FIRST_LOOK_DEADLINE
from sandbox_client.http import MAX_RETRY_AFTER
from sandbox_client.polling import finish
from sandbox_client.prompts import INTERNAL_DEADLINE
from sandbox_client.text import last_line, pluralize
from sandbox_client.truncation import MAX_OUTPUT

from . import shell_scripts
from .model import final_names, printable, temp_path
from .outage import ALL_PARTS, LEFTOVER, Outage, is_outage
from .shell_scripts import FileResult, PendingUpload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

    from sandbox_client.api.files import Listing
    from sandbox_client.api.message import Reply, Request
    from sandbox_client.prompts import Prompts
    from sandbox_client.sandboxes import Sandboxes

    from .shell_scripts import WriteMode

MAX_LINES = MAX_OUTPUT + 1  # a line has at least one character: a reply never shows more lines
ATTEMPTS = 4  # for each piece of an upload
CLEANUP_DEADLINE = 10.0  # seconds: the error is not delayed for longer
# After a cancellation, such as Ctrl-C: seconds to finish a request, and to remove temporary files.
FINISH_DEADLINE, CANCEL_DEADLINE = 0.5, 1.2
PIECE_DEADLINE = 30.0  # seconds after which no other attempt begins
PAUSE = 1.0  # seconds after a failed attempt: the piece may arrive after a lost response


def new_token() -> str:
    """Return a random token that makes the name of a temporary file unique."""
    return secrets.token_hex(4)


@dataclass(frozen=True)
class OneShotCommands:
    """Run short commands of the client in a sandbox, each in a session that is closed after it.

    The response to a command's start counts as lost after `start_deadline` seconds.
    """

    prompts: Prompts
    start_deadline: float = FIRST_LOOK_DEADLINE

    async def run(
        self, name: str, directory: str, command: str, deadline: float = INTERNAL_DEADLINE
    ) -> str:
        """Run a command in a directory of the sandbox and return its output.

        After `deadline` seconds it is killed.

        Raises:
            CommandStateUnknown: nothing says how it has ended, or whether it was started.
            FileRefused: it was killed or timed out.
        """
        result = await self.prompts.run_internal(
            name,
            command,
            directory=directory,
            deadline=deadline,
            start_deadline=self.start_deadline,
        )
        if not result.has_ended:
            raise CommandStateUnknown(
                f"A command on the files of sandbox '{name}' was started, and its end is not known:"
                f" {result.read_error or 'it still runs'}",
                advice="Look at the files with {files} before you repeat it.",
            )
        if result.status.state != "completed":
            raise FileRefused(
                f"A command on the files of sandbox '{name}' failed"
                f" ({result.status.state}): {last_line(result.printed) or 'it printed nothing'}"
            )
        return result.printed


@dataclass(frozen=True)
class Files:
    """The files of `sandboxes`; `one_shot` runs the scripts for operations without a file API.

    `outage` says how long an operation is repeated while the proxy does not answer. `on_leftover`
    is called with a pattern of the temporary files that may remain after a cancellation. Their
    removal after an error takes at most `cleanup_deadline` seconds.
    """

    sandboxes: Sandboxes
    one_shot: OneShotCommands
    outage: Outage = field(default_factory=Outage)
    on_leftover: Callable[[str], None] = lambda _pattern: None
    cleanup_deadline: float = CLEANUP_DEADLINE

    async def read(self, name: str, path: str, *, first: int = 1, last: int | None = None) -> str:
        """Return lines `first` to `last` of a text file, at most `MAX_LINES` of them.

        Raises:
            NotText: the file is binary; the message has its size.
            FileRefused: the file cannot be read, or ends before line `first`.
        """
        absolute = files.absolute_file(path)
        max_end = first - 1 + MAX_LINES
        end = max_end if last is None else min(last, max_end)
        request = files.read(name, absolute, start=first - 1, end=end)
        try:
            text = files.read_content(await self.send(request))
        except NotText:
            text = "\0"
        where = f"{printable(absolute)} in sandbox '{name}'"
        if not text and first > 1:
            raise FileRefused(
                f"{where} ends before line {first}",
                advice="Start at an earlier line, or read the file from its first line.",
            )
        if "\0" in text:
            size = await self._format_size(name, absolute)
            raise NotText(f"{where} is binary, not text{size}")
        return text

    async def list(self, name: str, path: str) -> Listing:
        """Return the entries of a directory.

        Raises:
            FileRefused: `path` is not a directory, or cannot be read.
        """
        reply = await self.send(files.listing(name, files.absolute(path)))
        return files.read_listing(reply)

    async def is_directory(self, name: str, path: str) -> bool | None:
        """Check for a directory at `path`; None for a missing path, or one that is not shown."""
        try:
            await self.list(name, path)
        except WrongKind:
            return False
        except FileRefused:
            return None
        return True

    async def write(self, name: str, path: str, data: bytes, *, append: bool = False) -> None:
        """Replace a file atomically, or append to it once; an existing file keeps its mode.

        If `path` is a symbolic link, its target is written. Other hard links to a replaced file
        keep the old content. If the disk is full, an append may be partial; the error says so.

        Raises:
            FileRefused: the file cannot be written.
        """
        base, target = posixpath.split(files.absolute_file(path))
        temp = temp_path(target, new_token())
        mode: WriteMode = "append" if append else None
        async with self.cleanup(name, base, [temp]):
            pieces = split_bytes(data, self.piece_size(base, temp))
            size, sha256 = await self.upload(name, base, temp, pieces)
            await self.commit(name, base, [PendingUpload(temp, target, size, sha256, mode)])

    def piece_size(self, base: str, path: str) -> int:
        """Return the most bytes that one request can write to a file below `base`."""
        return files.piece_size(posixpath.join(base, path))

    async def upload(
        self, name: str, base: str, temp: str, pieces: Iterable[bytes], *, start: int = 0
    ) -> tuple[int, str]:
        """Write pieces to the new file `temp` below `base`; return its size, and their hash.

        The file has `start` bytes already, if that is not 0.

        Raises:
            FileRefused: they cannot be written; the error names the file that `temp` would become.
        """
        path = posixpath.join(base, temp)
        sha256, size = hashlib.sha256(), start
        for piece in pieces:
            # Finish a piece that was sent: it would arrive after the cleanup.
            try:
                await finish(
                    partial(self._send_piece, name, path, piece, size),
                    FINISH_DEADLINE,
                    partial(self.on_leftover, path),
                )
            except FileRefused as error:
                raise error.but(message=final_names(error.message)) from None
            sha256.update(piece)
            size += len(piece)
            await anyio.lowlevel.checkpoint()
        return size, sha256.hexdigest()

    async def commit(
        self,
        name: str,
        base: str,
        uploads: Sequence[PendingUpload],
        on_committed: Callable[[int, bool], None] = lambda _number, _mode_kept: None,
        script: str = "",
    ) -> bool:
        """Verify uploads and rename each to its path, atomically for each file.

        `on_committed` is called with the index of each file that was renamed, also if others fail,
        and with whether it kept its mode. Return False if `script`, which does it for an archive,
        cannot unpack that here.

        Raises:
            FileChanged: an upload differs from the data that was sent.
            FileRefused: a file cannot be written.
        """
        work = partial(self._commit, name, base, uploads, on_committed, script)
        # Finish it, so that `on_committed` is called for every rename.
        return await finish(work, FINISH_DEADLINE)

    async def _commit(
        self,
        name: str,
        base: str,
        uploads: Sequence[PendingUpload],
        on_committed: Callable[[int, bool], None],
        script: str,
    ) -> bool:
        failure: SandboxError | None = None
        is_idempotent = not script and all(each.mode != "append" for each in uploads)
        script = script or shell_scripts.commit(uploads)
        try:
            output = await self.run(name, base, script, is_idempotent=is_idempotent)
        except NOTHING_DONE:
            raise
        except SandboxError as error:
            raise _may_be_written(name, base, uploads, error) from None
        results = shell_scripts.read_results(output)
        if results.get(0, FileResult()).status == "unable":
            return False
        for number, upload in enumerate(uploads):
            result = results.get(number, FileResult())
            if result.status == "done":
                on_committed(number, result.detail != "mode")
            else:
                path = posixpath.join(base, upload.path)
                failure = failure or _commit_error(path, name, result)
        if failure is not None:
            raise failure
        return True

    @contextlib.asynccontextmanager
    async def cleanup(self, name: str, base: str, temps: Sequence[str]) -> AsyncGenerator[None]:
        """Remove the temporary files if the body fails; it may add to `temps`."""
        try:
            yield
        except SandboxError as error:
            if await self.remove(name, base, temps):
                raise
            remaining = f"{LEFTOVER}{printable(base)}{ALL_PARTS}"
            raise error.but(advice=f"{error.advice} {remaining}") from None
        except BaseException:
            if not await self.remove(name, base, temps, CANCEL_DEADLINE):
                self.on_leftover(f"{base}{ALL_PARTS}")
            raise

    async def send(self, request: Request) -> Reply:
        """Send a request of the file API.

        Raises:
            SandboxError: the request failed; if the sandbox is not ready, the error says so.
        """
        send = partial(self.sandboxes.proxy.send, request)
        try:
            return await (self.outage.survive(send) if request.repeatable else send())
        except SandboxError as error:
            not_done = (
                "the copy ended early" if self.outage.is_copy_under_way else "nothing was done"
            )
            raise await self.sandboxes.failures.explain(
                request.sandbox, error, not_done=not_done
            ) from None

    async def run(
        self, name: str, directory: str, script: str, *, is_idempotent: bool = True
    ) -> str:
        """Run a script in a directory of the sandbox and return its output.

        Raises:
            SandboxError: it was not run to its end, or nothing says whether it was started.
        """
        return await self.outage.survive(
            partial(self.one_shot.run, name, directory, script), is_idempotent=is_idempotent
        )

    async def remove(
        self, name: str, base: str, paths: Sequence[str], deadline: float | None = None
    ) -> bool:
        """Remove files, also in a cancelled task; return False if that failed or took too long."""
        limit = self.cleanup_deadline if deadline is None else deadline
        with anyio.move_on_after(limit, shield=True):
            try:
                await self.one_shot.run(name, base, shell_scripts.remove(paths))
            except NoSuchFile:
                return True  # not even their directory is there
            except SandboxError:
                return False
            return True
        return False

    async def _send_piece(self, name: str, path: str, piece: bytes, offset: int) -> None:
        """Write a piece at `offset`, the end of the file.

        An append must not be repeated if it succeeded: if the response is lost, the size of the
        file shows whether the piece arrived.
        """
        request = files.write(name, path, piece, append=offset > 0)
        failure: SandboxError
        start = self.sandboxes.timing.clock()
        for attempt in itertools.count(1):
            try:
                return files.read_written(await self.send(request), len(piece))
            except (RateLimited, NotSent) as error:
                failure, has_arrived = error, False
                pause = error.retry_after or PAUSE
                if pause > MAX_RETRY_AFTER:
                    raise
                self.outage.report(start, error)
                await self._pause(pause)
            except (ConfigError, ProxyRefused):
                raise
            except SandboxError as error:
                failure = error
                self.outage.report(start, error)
                await self._pause(PAUSE)
                has_arrived = await self._has_arrived(name, path, offset, len(piece), failure)
            if has_arrived:
                return None
            is_late = self.sandboxes.timing.clock() - start >= PIECE_DEADLINE
            if (is_late or attempt >= ATTEMPTS) and not self.outage.lasts(start, 0.0):
                raise failure
        raise AssertionError  # pragma: no cover  # the loop has no other end

    async def _has_arrived(
        self, name: str, path: str, offset: int, size: int, failure: SandboxError
    ) -> bool:
        """Compare the size of the file with `offset` and with the size after the piece.

        Raises:
            FileChanged: the file has another size.
            SandboxError: the size is unknown; this is `failure`, or an outage after it.
        """
        base, temp = posixpath.split(path)
        try:
            output = await self.run(name, base, shell_scripts.measure(temp))
        except SandboxError as error:
            raise (error if is_outage(error) else failure) from None
        detail = shell_scripts.read_results(output).get(0, FileResult()).detail
        actual = int(detail) if detail.isascii() and detail.isdigit() else 0
        if actual not in {offset, offset + size}:
            raise FileChanged(
                f"{printable(path)} in sandbox '{name}' has {pluralize(actual, 'byte')} in the"
                f" middle of the copy, where {offset} or {offset + size} were expected"
            )
        return actual == offset + size

    async def _pause(self, seconds: float) -> None:
        await self.sandboxes.timing.sleep(seconds)

    async def _format_size(self, name: str, path: str) -> str:
        """Return the end of a message with the size of a file; empty if the size is unknown."""
        base, target = posixpath.split(path)
        with contextlib.suppress(SandboxError):
            for entry in (await self.list(name, base)).entries:
                if entry.name == target and entry.size is not None:
                    return f": {pluralize(entry.size, 'byte')}"
        return ""


def split_bytes(data: bytes, size: int) -> Iterator[bytes]:
    """Yield `data` in pieces of at most `size` bytes; empty data is one empty piece."""
    for start in range(0, max(len(data), 1), size):
        yield data[start : start + size]


def no_hash_tool(where: str) -> FileRefused:
    """Return the error for a sandbox that cannot compute a SHA-256 hash."""
    return FileRefused(
        f"{where} cannot be verified: the sandbox has neither sha256sum, shasum nor python3",
        advice="Install one of them with {run} (coreutils has sha256sum), then try again.",
    )


def _may_be_written(
    name: str, base: str, uploads: Sequence[PendingUpload], error: SandboxError
) -> SandboxError:
    """Return the error for a commit whose answer was lost; `error` is about a command for it."""
    lost = error.__cause__ if isinstance(error.__cause__, SandboxError) else error
    more = f" and {len(uploads) - 1} more" if len(uploads) > 1 else ""
    return error.but(
        message=f"{printable(posixpath.join(base, uploads[0].path))}{more} in sandbox '{name}' may"
        f" have been written, and no answer says whether: {lost.message}",
        advice="Read it with {read} before you write it again.",
        session="",
    )


def _commit_error(path: str, name: str, result: FileResult) -> SandboxError:
    where = f"{printable(path)} in sandbox '{name}'"
    if result.status == "differs":
        return FileChanged(
            f"The copy of {where} differs from the file that was sent; it was discarded"
        )
    if result.status == "unhashed":
        return no_hash_tool(where)
    reason = final_names(result.detail) or "the shell gave no reason"
    advice = f"Look at it with {{run}} (ls -ld {printable(path)}, and its directory)."
    return FileRefused(f"{where} was not written: {reason}", advice=advice)
