"""Copy trees of a sandbox to this machine: small files in archives, larger ones in blocks."""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from sandbox_client.api import files
from sandbox_client.errors import (
    CommandStateUnknown,
    FileChanged,
    FileRefused,
    FileUnreadable,
    InvalidResponse,
    NoSuchFile,
    SandboxError,
    SessionNotFound,
    WrongKind,
)

from . import archive, local, shell_scripts
from .local import AtomicWriter
from .model import LINK_TO_DIRECTORY, UNSIZED, base_name, printable, reason_of
from .remote import CANCEL_DEADLINE, new_token, no_hash_tool
from .shell_scripts import BLOCK_SIZE, FileResult, Slice
from .upload import MAX_ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from .model import CopyListener, Destination, FileEntry, Tree
    from .remote import Files

OPEN_FILES = 64  # of this machine, at the same time
MAX_BLOCKS = 32  # packed in the sandbox at the same time: 16 MB


@dataclass
class Download:
    """Copy trees out of the sandbox `name`, and report progress to `listener`.

    `has_tar` becomes False when the sandbox turns out to make no archive.
    """

    files: Files
    name: str
    listener: CopyListener
    has_tar: bool = field(default=True, init=False)
    _scratches: list[str] = field(default_factory=list[str], init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: object, error: BaseException | None, _traceback: object
    ) -> None:
        """Remove the scratch directories, also in a cancelled task."""
        if not self._scratches:
            return
        is_cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        deadline = CANCEL_DEADLINE if is_cancelled else self.files.cleanup_deadline
        with anyio.move_on_after(deadline, shield=True), contextlib.suppress(SandboxError):
            script = shell_scripts.remove_scratch(*self._scratches)
            await self.files.one_shot.run(self.name, files.HOME, script)
            return
        self.listener.left_behind("~/.remote-sandbox-*")

    async def scan(self, source: str) -> tuple[Tree, str]:
        """List a path of the sandbox; return its tree and its scratch directory.

        Raises:
            NoSuchFile: there is nothing at the path.
            WrongKind: it ends with a slash, and is a file.
            FileRefused: it cannot be read.
        """
        path = files.absolute(source)
        base, root = await self._split(path)
        tree, scratch = await self._scan(path, base, root)
        if root != "." and _is_directory(tree, root):  # one that the file API may not list
            tree, scratch = await self._scan(path, path, ".")
        if tree.is_file and [each.path for each in tree.files] != [root]:
            has_no_end = any(each.reason == UNSIZED for each in tree.skipped)
            reason = f"not copied: {UNSIZED}" if has_no_end else "neither a file nor a directory"
            raise FileRefused(f"{self._where(path)} is {reason}")
        if tree.is_file and source.endswith("/"):
            raise not_a_directory(path, self.name)
        return tree, scratch

    async def _scan(self, path: str, base: str, root: str) -> tuple[Tree, str]:
        async def list_to_new_directory() -> tuple[str, str]:
            scratch = f".remote-sandbox-{new_token()}"
            self._scratches.append(scratch)
            script = shell_scripts.scan(scratch, root)
            return scratch, await self.files.one_shot.run(self.name, base, script)

        scratch, output = await self.files.outage.survive(list_to_new_directory)
        results = shell_scripts.read_results(output)
        for result in results.values():
            detail = result.detail
            raise FileRefused(f"{self._where(path)} cannot be read completely: {detail}")
        content = await self._read(f"{scratch}/list")
        is_file = root != "."
        return shell_scripts.read_tree(content, base, base_name(path), is_file=is_file), scratch

    async def tree(self, tree: Tree, to: Destination, scratch: str) -> None:
        """Copy a tree to its destination."""
        done: set[str] = set()
        if not tree.is_file:
            for path in ("", *tree.directories):
                local.make_directory(Path(to.base, path))
            for batch in archive.batches(tree.files):
                if self.has_tar:
                    done.update(await self._download_archive(tree, to, scratch, batch))
        remaining = [each for each in enumerate(tree.files) if each[1].path not in done]
        await self._download_files(tree, to, scratch, remaining)

    async def rest(
        self, entry: FileEntry, scratch: str, first: int, write: Callable[[bytes], None]
    ) -> None:
        """Call `write` with each block of a file below HOME, from block `first` on.

        Raises:
            FileRefused: it cannot be read.
            FileChanged: it has another size.
        """
        for part in shell_scripts.split_file(0, entry, MAX_BLOCKS, first):
            output = await self._run(files.HOME, shell_scripts.pack(scratch, [part]))
            result = shell_scripts.read_results(output).get(0, FileResult())
            self._check_packed(files.HOME, part, result)
            await self._read_slice(files.HOME, scratch, part, write)

    async def _split(self, path: str) -> tuple[str, str]:
        """Return the directory to run the scripts in, and the path relative to it."""
        try:
            await self.files.list(self.name, path)
        except NoSuchFile:
            raise
        except FileRefused:  # not a directory: runtimes give it different error types
            return posixpath.split(path)
        return path, "."

    async def _download_archive(
        self, tree: Tree, to: Destination, scratch: str, batch: Sequence[FileEntry]
    ) -> list[str]:
        """Copy small files as one archive; return the paths of those that were copied.

        The others changed meanwhile, or cannot be read: they are copied on their own after it.
        """
        words = archive.words_of(batch)
        request = files.write(self.name, f"{files.HOME}/{scratch}/words", words, append=False)
        files.read_written(await self.files.send(request), len(words))
        try:
            output = await self._run(tree.base, archive.pack(scratch), is_idempotent=False)
        except (CommandStateUnknown, SessionNotFound):
            return []
        results = shell_scripts.read_results(output)
        count = archive.block_count(results)
        if count is None:
            self.has_tar = results.get(0, FileResult()).status != "missing"
            return []
        blocks = [await self._read_block(scratch, str(number)) for number in range(count)]
        contents = archive.read_files(b"".join(blocks), batch)
        complete = [entry for entry in batch if entry.path in contents]
        for start in range(0, len(complete), OPEN_FILES):
            await self._write(to, complete[start : start + OPEN_FILES], contents)
        return list(contents)

    async def _write(
        self, to: Destination, entries: Sequence[FileEntry], contents: Mapping[str, bytes]
    ) -> None:
        """Write small files; a disk syncs many at once hardly slower than one."""
        with contextlib.ExitStack() as stack:
            writers: list[AtomicWriter] = []
            for entry in entries:
                writers.append(AtomicWriter(Path(to.base, to.path(entry)), new_token()))
                stack.callback(writers[-1].discard)
                writers[-1].write(contents[entry.path])
            async with anyio.create_task_group() as tasks:
                for writer in writers:
                    tasks.start_soon(anyio.to_thread.run_sync, writer.sync)
            for writer, entry in zip(writers, entries, strict=True):
                self.listener.transferred(entry, entry.size)
                digest = hashlib.sha256(contents[entry.path]).hexdigest()
                self._commit(writer, entry, digest)

    def _commit(self, writer: AtomicWriter, entry: FileEntry, sha256: str) -> None:
        mode_kept = writer.commit(entry.size, sha256, mode=entry.mode)
        self.listener.completed(entry, mode_kept=mode_kept)

    async def _download_files(
        self, tree: Tree, to: Destination, scratch: str, entries: Sequence[tuple[int, FileEntry]]
    ) -> None:
        """Copy files one after the other, in blocks that one command packs for several of them."""
        incoming = _Incoming()
        with contextlib.closing(incoming):
            for batch in _batch_slices(entries):
                parts = [part for part in batch if part.number not in incoming.skipped]
                script = shell_scripts.pack(scratch, parts)
                results = shell_scripts.read_results(await self._run(tree.base, script))
                for part in parts:
                    if part.number in incoming.skipped:
                        continue
                    try:
                        result = results.get(part.number, FileResult())
                        await self._download_slice(tree, to, scratch, part, result, incoming)
                    except (FileChanged, FileUnreadable) as error:
                        if tree.is_file:
                            raise
                        incoming.skip(part.number)
                        self.listener.left_out(part.entry, reason_of(error))

    async def _download_slice(
        self,
        tree: Tree,
        to: Destination,
        scratch: str,
        part: Slice,
        result: FileResult,
        incoming: _Incoming,
    ) -> None:
        self._check_packed(tree.base, part, result)
        if incoming.writer is None:
            path = Path(to.base, to.path(part.entry))
            incoming.writer, incoming.sha256 = AtomicWriter(path, new_token()), result.detail
        await self._read_slice(tree.base, scratch, part, incoming.writer.write)
        if part.is_last:
            self._commit(incoming.writer, part.entry, incoming.sha256)
            incoming.writer = None

    async def _read_slice(
        self, base: str, scratch: str, part: Slice, write: Callable[[bytes], None]
    ) -> None:
        for name, size in part.blocks():
            block = await self._read_block(scratch, name)
            if len(block) != size:
                raise self._changed(base, part)
            write(block)
            self.listener.transferred(part.entry, len(block))

    def _check_packed(self, base: str, part: Slice, result: FileResult) -> None:
        """Check that the file could be read, and has the size that the scan found.

        Raises:
            FileUnreadable: it cannot be read.
            FileRefused: its hash cannot be computed.
            FileChanged: it has another size.
        """
        where = self._where(posixpath.join(base, part.entry.path))
        if result.status == "failed" and result.detail:
            raise FileUnreadable(f"{where} cannot be read: {result.detail}")
        if result.status == "failed":
            raise no_hash_tool(where)
        if part.start == 0 and result.status != str(part.entry.size):
            raise self._changed(base, part)

    def _changed(self, base: str, part: Slice) -> FileChanged:
        where = self._where(posixpath.join(base, part.entry.path))
        return FileChanged(f"{where} was written to while it was copied")

    def _where(self, path: str) -> str:
        return f"{printable(path)} in sandbox '{self.name}'"

    async def _run(self, base: str, command: str, *, is_idempotent: bool = True) -> str:
        return await self.files.run(self.name, base, command, is_idempotent=is_idempotent)

    async def _read_block(self, scratch: str, name: str) -> bytes:
        block = shell_scripts.decode_block(await self._read(f"{scratch}/{name}"))
        if len(block) > BLOCK_SIZE:
            raise InvalidResponse(f"The sandbox returned an invalid block: {len(block)} bytes")
        return block

    async def _read(self, path: str) -> str:
        request = files.read(self.name, f"{files.HOME}/{path}")
        return files.read_content(await self.files.send(request))


@dataclass
class _Incoming:
    """The file that is being written, with its hash, and the numbers of the skipped ones."""

    writer: AtomicWriter | None = None
    sha256: str = ""
    skipped: set[int] = field(default_factory=set[int])

    def skip(self, number: int) -> None:
        """Discard the file."""
        self.close()
        self.skipped.add(number)

    def close(self) -> None:
        """Remove the temporary file if there is one."""
        if self.writer is not None:
            self.writer.discard()
        self.writer = None


def not_a_directory(path: str, name: str) -> WrongKind:
    """Return the error for a file of sandbox `name` where a directory was expected."""
    return WrongKind(f"{printable(path)} in sandbox '{name}' is not a directory")


def _is_directory(tree: Tree, root: str) -> bool:
    """Return whether the list of a path, made as of a file, is that of a directory."""
    is_link = any(each.path == root and each.reason == LINK_TO_DIRECTORY for each in tree.skipped)
    return is_link or root in tree.directories or any(each.path != root for each in tree.files)


def _batch_slices(entries: Sequence[tuple[int, FileEntry]]) -> Iterator[list[Slice]]:
    """Yield the slices of all files in batches for one command and `MAX_BLOCKS` blocks each."""
    batch: list[Slice] = []
    arguments = blocks = 0
    for number, entry in entries:
        length = shell_scripts.argument_length(entry.path)
        for part in shell_scripts.split_file(number, entry, MAX_BLOCKS):
            if batch and (arguments + length > MAX_ARGUMENTS or blocks + part.count > MAX_BLOCKS):
                yield batch
                batch, arguments, blocks = [], 0, 0
            batch.append(part)
            arguments += length
            blocks += part.count
    if batch:
        yield batch
