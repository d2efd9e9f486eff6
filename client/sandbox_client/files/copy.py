"""Copying between this machine and a sandbox: each file whole or not at all."""

from __future__ import annotations

import contextlib
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from sandbox_client.api import files
from sandbox_client.errors import FileChanged, FileRefused, NoSuchFile, SandboxError

from . import local, shell_scripts
from .local import AtomicWriter
from .model import Destination, FileEntry, Tree, destination, name_of, shown, temp_path
from .remote import new_token, unhashed
from .shell_scripts import HOME, PendingUpload, Slice

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

    from .remote import Files

T = TypeVar("T")

# Characters for the files of one command: with its script under 4,096, which is what a terminal
# takes that edits no lines.
MAX_LINE = 2_400
MAX_BLOCKS = 32  # that lie packed in the sandbox at once: 16 MB


class Watcher:
    """Receive the progress of a copy; this class ignores it."""

    def begin(self, tree: Tree) -> None:
        """Take what is to be copied."""

    def moved(self, entry: FileEntry, size: int) -> None:
        """Take that so many bytes more of a file were copied."""

    def finished(self, entry: FileEntry) -> None:
        """Take that a file has its name."""


@dataclass(frozen=True)
class Copy:
    """Copy between this machine and the sandbox `name`, file by file, and tell `watcher`."""

    files: Files
    name: str
    watcher: Watcher

    async def up(self, sources: Sequence[str], target: str, *, into: bool = False) -> None:
        """Copy files and directories of this machine to `target` in the sandbox.

        Several sources are copied into it, and so is one if `into` is set or `target` is a
        directory. All sources are listed before the first is copied.

        Raises:
            SandboxError: something was not copied; what was has its name, and nothing is left half.
        """
        whole = files.absolute(target)
        trees = [await anyio.to_thread.run_sync(local.survey, each) for each in sources]
        is_into = (
            into
            or len(trees) > 1
            or target.endswith("/")
            or await self.files.is_directory(self.name, whole)
        )
        for tree in trees:
            self.watcher.begin(tree)
        for tree in trees:
            await self._send_tree(tree, destination(tree, whole, into=is_into))

    async def down(self, sources: Sequence[str], target: str, *, into: bool = False) -> None:
        """Copy files and directories of the sandbox to `target` on this machine, as `up` does.

        Raises:
            SandboxError: something was not copied; what was has its name, and nothing is left half.
        """
        async with contextlib.AsyncExitStack() as scratches:
            found = [await self._found(scratches, files.absolute(each)) for each in sources]
            if target.endswith("/"):
                local.make_directory(Path(target))
            is_into = into or len(found) > 1 or local.is_directory(target)
            for tree, _ in found:
                self.watcher.begin(tree)
            for tree, scratch in found:
                where = destination(tree, target.rstrip("/") or "/", into=is_into)
                await self._fetch_tree(tree, where, scratch)

    async def _send_tree(self, tree: Tree, where: Destination) -> None:
        if not tree.is_file:
            await self._arrange(where.base, tree.directories)
        for batch in _batches(tree.files, _itself):
            await self._send(tree, where, batch)

    async def _found(self, scratches: contextlib.AsyncExitStack, whole: str) -> tuple[Tree, str]:
        """List a path of the sandbox; return that and the scratch directory for its content."""
        base, root = await self._place(whole)
        scratch = f".remote-sandbox-{new_token()}"
        await scratches.enter_async_context(self._scratched(base, scratch))
        return await self._survey(whole, base, root, scratch), scratch

    async def _fetch_tree(self, tree: Tree, where: Destination, scratch: str) -> None:
        if not tree.is_file:
            for path in ("", *tree.directories):
                local.make_directory(Path(where.base, path))
        await self._fetch(tree, where, scratch)

    async def _arrange(self, base: str, directories: Sequence[str]) -> None:
        """Make the directories; the runtime makes the one in which a file is written."""
        marker = temp_path("directory", new_token())
        async with self.files.cleaned(self.name, base, [marker]):
            await self.files.send(self.name, base, marker, [b""])
            entries = [FileEntry(path, 0) for path in directories]
            for batch in [*_batches(entries, _itself)] or [[]]:
                script = shell_scripts.arrange(marker, [each.path for each in batch])
                told = shell_scripts.read_lines(await self._run(base, script))
                for number, (_, said) in sorted(told.items()):
                    path = shown(posixpath.join(base, batch[number].path))
                    raise FileRefused(f"{path} in sandbox '{self.name}' was not made: {said}")

    async def _send(self, tree: Tree, where: Destination, batch: Sequence[FileEntry]) -> None:
        parts: list[str] = []
        uploads: list[PendingUpload] = []
        async with self.files.cleaned(self.name, where.base, parts):
            for entry in batch:
                path = where.path(entry)
                parts.append(temp_path(path, new_token()))
                room = self.files.room(where.base, parts[-1])
                pieces = self._watched(entry, local.pieces(Path(tree.base, entry.path), room))
                sent = await self.files.send(self.name, where.base, parts[-1], pieces)
                uploads.append(
                    PendingUpload(parts[-1], path, *sent, "run" if entry.runs else "plain")
                )
            await self.files.commit(
                self.name, where.base, uploads, lambda number: self.watcher.finished(batch[number])
            )

    def _watched(self, entry: FileEntry, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces, and tell of each when it has gone."""
        for piece in pieces:
            yield piece
            self.watcher.moved(entry, len(piece))

    async def _place(self, whole: str) -> tuple[str, str]:
        """Return the directory from which a path is copied, and what it is called there."""
        try:
            await self.files.list(self.name, whole)
        except NoSuchFile:
            raise
        except FileRefused:  # no directory, in whichever of the runtime's words
            return posixpath.split(whole)
        return whole, "."

    @contextlib.asynccontextmanager
    async def _scratched(self, base: str, scratch: str) -> AsyncGenerator[None]:
        """Remove the scratch directory of the body."""
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True), contextlib.suppress(SandboxError):
                await self._run(base, shell_scripts.remove_scratch(scratch))

    async def _survey(self, whole: str, base: str, root: str, scratch: str) -> Tree:
        output = await self._run(base, shell_scripts.survey(scratch, root))
        for _, said in shell_scripts.read_lines(output).values():
            raise FileRefused(f"{shown(whole)} in sandbox '{self.name}' cannot all be read: {said}")
        found = await self._read(f"{scratch}/list")
        tree = shell_scripts.read_survey(found, base, name_of(whole), is_file=root != ".")
        if tree.is_file and not tree.files:
            where = f"{shown(whole)} in sandbox '{self.name}'"
            raise FileRefused(f"{where} is neither a file nor a directory")
        return tree

    async def _fetch(self, tree: Tree, where: Destination, scratch: str) -> None:
        writer: AtomicWriter | None = None
        digest = ""
        try:
            for batch in _batches(_slices(tree), lambda each: each.entry, lambda each: each.count):
                script = shell_scripts.pack(scratch, batch)
                told = shell_scripts.read_lines(await self._run(tree.base, script))
                for each in batch:
                    said = self._packed(tree, each, told.get(each.number))
                    if writer is None:
                        writer = AtomicWriter(Path(where.base, where.path(each.entry)), new_token())
                        digest = said
                    await self._take(writer, each, scratch)
                    if each.is_last:
                        writer.finish(each.entry.size, digest, runs=each.entry.runs)
                        writer = None
                        self.watcher.finished(each.entry)
        finally:
            if writer is not None:
                writer.discard()

    async def _take(self, writer: AtomicWriter, part: Slice, scratch: str) -> None:
        for name in part.names():
            block = shell_scripts.read_block(await self._read(f"{scratch}/{name}"))
            writer.take(block)
            self.watcher.moved(part.entry, len(block))

    def _packed(self, tree: Tree, part: Slice, told: tuple[str, str] | None) -> str:
        """Return the hash that the sandbox tells of a file with its first slice."""
        where = f"{shown(posixpath.join(tree.base, part.entry.path))} in sandbox '{self.name}'"
        word, said = told or ("", "")
        if word == "failed":
            raise FileRefused(f"{where} cannot be read: {said}") if said else unhashed(where)
        if part.start == 0 and word != str(part.entry.size):
            raise FileChanged(f"{where} was written to while it was copied")
        return said

    async def _run(self, base: str, command: str) -> str:
        return await self.files.one_shot.run(self.name, base, command)

    async def _read(self, path: str) -> str:
        request = files.read(self.name, f"{HOME}/{path}")
        return files.read_content(await self.files.ask(request))


def _slices(tree: Tree) -> Iterator[Slice]:
    for number, entry in enumerate(tree.files):
        yield from shell_scripts.slices(number, entry, MAX_BLOCKS)


def _itself(entry: FileEntry) -> FileEntry:
    return entry


def _batches(
    items: Iterable[T], entry: Callable[[T], FileEntry], cost: Callable[[T], int] = lambda _: 0
) -> Iterator[list[T]]:
    """Yield what goes into one command each: as much as its line may name and may lie packed."""
    batch: list[T] = []
    line = blocks = 0
    for item in items:
        room = shell_scripts.room(entry(item).path)
        line += room
        blocks += cost(item)
        if batch and (line > MAX_LINE or blocks > MAX_BLOCKS):
            yield batch
            batch, line, blocks = [], room, cost(item)
        batch.append(item)
    if batch:
        yield batch
