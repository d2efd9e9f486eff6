"""The files of a sandbox as the tools and `cp` share them: read, listed, written under their name.

What is written goes to a name beside its own first, in pieces, is looked at there by size and hash,
and gets its own name in one step: nobody meets half a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import posixpath
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from sandbox_client.api import files
from sandbox_client.errors import (
    ConfigError,
    FileChanged,
    FileRefused,
    NotSent,
    NotText,
    ProxyRefused,
    RateLimited,
    SandboxError,
)
from sandbox_client.http import MAX_RETRY_AFTER
from sandbox_client.text import pluralize
from sandbox_client.truncation import MAX_OUTPUT

from . import shell_scripts
from .model import shown, temp_path
from .shell_scripts import PendingUpload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

    from sandbox_client.api.files import Listing
    from sandbox_client.api.message import Reply, Request
    from sandbox_client.sandboxes import Sandboxes

    from .errand import OneShotCommands
    from .shell_scripts import Manner

MAX_LINES = MAX_OUTPUT + 1  # a line has a character at least: more lines never go into a reply
ATTEMPTS = 4  # at one piece
PAUSE = 1.0  # seconds after a failed one, in which a piece arrives whose answer is lost


def new_token() -> str:
    """Return what tells one file that is being written from all others."""
    return secrets.token_hex(4)


@dataclass(frozen=True)
class Files:
    """Read and write the files of `sandboxes`; what the file API lacks is done by `errands`."""

    sandboxes: Sandboxes
    one_shot: OneShotCommands

    async def read(self, name: str, path: str, *, first: int = 1, last: int | None = None) -> str:
        """Return the text of a file from line `first` to line `last`, or more than a reply shows.

        Raises:
            NotText: it is binary; the message tells its size.
            FileRefused: it cannot be read, or ends before line `first`.
        """
        whole = files.absolute(path)
        most = first - 1 + MAX_LINES
        end = most if last is None else min(last, most)
        request = files.read(name, whole, start=first - 1, end=end)
        try:
            text = files.read_content(await self.ask(request))
        except NotText:
            text = "\0"
        if not text and first > 1:
            raise FileRefused(
                f"{shown(whole)} in sandbox '{name}' ends before line {first}",
                advice="Start at an earlier line, or read it from its first.",
            )
        if "\0" not in text:
            return text
        raise NotText(
            f"{shown(whole)} in sandbox '{name}' is binary, not text{await self._size(name, whole)}"
        )

    async def list(self, name: str, path: str) -> Listing:
        """Return what is in a directory.

        Raises:
            FileRefused: it is none, or cannot be read.
        """
        reply = await self.ask(files.listing(name, files.absolute(path)))
        return files.read_listing(reply)

    async def is_directory(self, name: str, path: str) -> bool:
        """Tell whether a directory is at `path`; nothing, and a file, are none."""
        try:
            await self.list(name, path)
        except FileRefused:
            return False
        return True

    async def write(self, name: str, path: str, data: bytes, *, append: bool = False) -> None:
        """Replace a file whole or not at all, or append to one once; its mode stays.

        Where `path` is a link, what it leads to is replaced; a hard link's other names keep what
        was there. Of what is appended a full disk may take a part, and the error says so.

        Raises:
            FileRefused: it cannot be written.
        """
        whole = files.absolute(path)
        base, target = posixpath.split(whole)
        part = temp_path(target, new_token())
        manner: Manner = "append" if append else "plain"
        async with self.cleaned(name, base, [part]):
            sent = await self.send(name, base, part, pieces_of(data, self.room(base, part)))
            await self.commit(name, base, [PendingUpload(part, target, *sent, manner)])

    def room(self, base: str, part: str) -> int:
        """Return how many bytes of a file go into one piece."""
        return files.room(posixpath.join(base, part))

    async def send(
        self,
        name: str,
        base: str,
        part: str,
        pieces: Iterable[bytes],
    ) -> tuple[int, str]:
        """Write pieces to a new file and return its size and hash."""
        path = posixpath.join(base, part)
        digest, size = hashlib.sha256(), 0
        for piece in pieces:
            # Let a piece end that is under way: it would land after what cleans up behind it.
            with anyio.CancelScope(shield=True):
                await self._send_piece(name, path, piece, size)
            digest.update(piece)
            size += len(piece)
            await anyio.lowlevel.checkpoint()
        return size, digest.hexdigest()

    async def commit(
        self,
        name: str,
        base: str,
        parts: Sequence[PendingUpload],
        settled: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Give what was sent its own names, each file in one step; `settled` is told which have.

        Raises:
            FileChanged: what is there is not what was sent.
            FileRefused: it cannot have that name.
        """
        failed: SandboxError | None = None
        with anyio.CancelScope(shield=True):  # else nobody knows which of them have their names
            output = await self.one_shot.run(name, base, shell_scripts.commit(parts))
            told = shell_scripts.read_lines(output)
            for number, each in enumerate(parts):
                word, said = told.get(number, ("", ""))
                if word == "done":
                    settled(number)
                else:
                    path = posixpath.join(base, each.path)
                    failed = failed or _unsettled(path, name, word, said)
        if failed is not None:
            raise failed

    @contextlib.asynccontextmanager
    async def cleaned(self, name: str, base: str, parts: Sequence[str]) -> AsyncGenerator[None]:
        """Remove what is left of `parts`, which may be added to, when the body fails."""
        try:
            yield
        except SandboxError as error:
            if await self._remove(name, base, parts):
                raise
            left = f"What was sent may be left: {shown(base)}/.*.part-*"
            raise error.but(advice=f"{error.advice} {left}") from None
        except BaseException:
            await self._remove(name, base, parts)
            raise

    async def _remove(self, name: str, base: str, parts: Sequence[str]) -> bool:
        """Remove files, also if this task is cancelled; return whether that succeeded."""
        with anyio.CancelScope(shield=True):
            try:
                await self.one_shot.run(name, base, shell_scripts.remove(parts))
            except SandboxError:
                return False
        return True

    async def ask(self, request: Request) -> Reply:
        """Send a request about files; a failure is told by the state that it comes from."""
        try:
            return await self.sandboxes.proxy.send(request)
        except SandboxError as error:
            raise await self.sandboxes.explain_failure(
                request.sandbox, error, not_done="nothing was done"
            ) from None

    async def _send_piece(self, name: str, path: str, piece: bytes, before: int) -> None:
        """Write a piece once, at the end of `before` bytes: appending twice would double it."""
        request = files.write(name, path, piece, append=before > 0)
        lost: SandboxError
        for attempt in itertools.count(1):
            try:
                return files.read_written(await self.ask(request), len(piece))
            except (RateLimited, NotSent) as error:
                lost, has_arrived = error, False
                await self._pause(min(error.retry_after or PAUSE, MAX_RETRY_AFTER))
            except (ConfigError, ProxyRefused):
                raise
            except SandboxError as error:
                lost = error
                await self._pause(PAUSE)
                has_arrived = await self._has_arrived(name, path, before, len(piece), lost)
            if has_arrived:
                return None
            if attempt == ATTEMPTS:
                raise lost
        raise AssertionError  # pragma: no cover  # the attempts end above

    async def _has_arrived(
        self, name: str, path: str, before: int, size: int, lost: SandboxError
    ) -> bool:
        """Tell whether a piece whose answer is lost is at the end of its file."""
        base, part = posixpath.split(path)
        try:
            output = await self.one_shot.run(name, base, shell_scripts.measure(part))
        except SandboxError:
            raise lost from None
        _, told = shell_scripts.read_lines(output).get(0, ("", ""))
        there = int(told) if told.isdigit() else 0
        if there not in {before, before + size}:
            raise FileChanged(
                f"{shown(path)} in sandbox '{name}' has {pluralize(there, 'byte')} in the middle of"
                f" the copy, where {before} or {before + size} were expected"
            )
        return there == before + size

    async def _pause(self, seconds: float) -> None:
        await self.sandboxes.timing.sleep(seconds)

    async def _size(self, name: str, path: str) -> str:
        """Return the words for a file's size; none where it is not told."""
        base, target = posixpath.split(path)
        with contextlib.suppress(SandboxError):
            for entry in (await self.list(name, base)).entries:
                if entry.name == target and entry.size is not None:
                    return f": {pluralize(entry.size, 'byte')}"
        return ""


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    """Yield `data` in pieces of at most `size`: one, where it is empty."""
    for start in range(0, max(len(data), 1), size):
        yield data[start : start + size]


def _unsettled(path: str, name: str, word: str, said: str) -> SandboxError:
    where = f"{shown(path)} in sandbox '{name}'"
    if word == "differs":
        return FileChanged(f"What arrived for {where} is not what was sent; it was thrown away")
    if word == "unhashed":
        return unhashed(where)
    return FileRefused(f"{where} was not written: {said or 'the shell did not say why'}")


def unhashed(where: str) -> FileRefused:
    """Return the error for a sandbox that cannot tell a hash: nothing is taken on trust."""
    return FileRefused(
        f"{where} cannot be verified: the sandbox has neither sha256sum, shasum nor python3",
        advice="Install one of them with {run} (coreutils has sha256sum), then try again.",
    )
