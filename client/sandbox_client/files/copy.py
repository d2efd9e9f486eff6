"""Copy files and directories between this machine and a sandbox, each file atomically.

Upload: list the local tree (`local`), create the directories, then upload and commit the files in
batches (`remote`). Download: a script lists the tree into a scratch directory of the sandbox and
packs blocks of files there; they are read through the file API and written by an `AtomicWriter`.
"""

from __future__ import annotations

import contextlib
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from sandbox_client.api import files
from sandbox_client.errors import FileChanged, FileRefused, NoSuchFile, SandboxError

from . import local, shell_scripts
from .local import AtomicWriter
from .model import Destination, FileEntry, Tree, base_name, destination, printable, temp_path
from .remote import new_token, no_hash_tool
from .shell_scripts import HOME, FileResult, PendingUpload, Slice

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

    from .remote import Files

# Characters of file arguments in one command. With its script a command stays under 4,096, the
# longest line that a terminal accepts in canonical mode.
MAX_ARGUMENTS = 2_400
MAX_BLOCKS = 32  # packed in the sandbox at the same time: 16 MB


class CopyListener:
    """Receive the progress of a copy; this class ignores it."""

    def begin(self, tree: Tree) -> None:
        """Receive a source before anything is copied."""

    def transferred(self, entry: FileEntry, size: int) -> None:
        """Receive the number of bytes that were copied since the last call."""

    def finished(self, entry: FileEntry) -> None:
        """Receive a file that is complete at its destination."""


@dataclass(frozen=True)
class Copy:
    """Copy between this machine and the sandbox `name`, and report progress to `listener`."""

    files: Files
    name: str
    listener: CopyListener

    async def upload(self, sources: Sequence[str], target: str, *, into: bool = False) -> None:
        """Copy local files and directories to `target` in the sandbox.

        They are copied into the directory `target` if it exists or ends with a slash, if there are
        several sources, or if `into` is set. All sources are listed before the first is copied.

        Raises:
            SandboxError: a file was not copied; complete files stay, and partial ones are removed.
        """
        target_path = files.absolute(target)
        trees = [await anyio.to_thread.run_sync(local.scan_tree, each) for each in sources]
        is_into = (
            into
            or len(trees) > 1
            or target.endswith("/")
            or await self.files.is_directory(self.name, target_path)
        )
        for tree in trees:
            self.listener.begin(tree)
        for tree in trees:
            await self._upload_tree(tree, destination(tree, target_path, into=is_into))

    async def download(self, sources: Sequence[str], target: str, *, into: bool = False) -> None:
        """Copy files and directories of the sandbox to the local `target`, as `upload` does.

        Raises:
            SandboxError: a file was not copied; complete files stay, and partial ones are removed.
        """
        async with contextlib.AsyncExitStack() as scratches:
            found = [await self._scan(scratches, files.absolute(each)) for each in sources]
            if target.endswith("/"):
                local.make_directory(Path(target))
            is_into = into or len(found) > 1 or local.is_directory(target)
            for tree, _ in found:
                self.listener.begin(tree)
            for tree, scratch in found:
                to = destination(tree, target.rstrip("/") or "/", into=is_into)
                await self._download_tree(tree, to, scratch)

    async def _upload_tree(self, tree: Tree, to: Destination) -> None:
        if not tree.is_file:
            await self._make_directories(to.base, tree.directories)
        for batch in _batch_files(tree.files):
            await self._upload_batch(tree, to, batch)

    async def _make_directories(self, base: str, directories: Sequence[str]) -> None:
        """Create `base` and directories below it.

        The file API creates the parents of a file, so writing a marker file creates `base`.
        """
        marker = temp_path("directory", new_token())
        async with self.files.cleanup(self.name, base, [marker]):
            await self.files.upload(self.name, base, marker, [b""])
            entries = [FileEntry(path, 0) for path in directories]
            for batch in [*_batch_files(entries)] or [[]]:
                script = shell_scripts.make_directories(marker, [each.path for each in batch])
                results = shell_scripts.read_results(await self._run(base, script))
                for number, result in sorted(results.items()):
                    where = self._where(posixpath.join(base, batch[number].path))
                    raise FileRefused(f"{where} was not created: {result.detail}")

    async def _upload_batch(self, tree: Tree, to: Destination, batch: Sequence[FileEntry]) -> None:
        temps: list[str] = []
        uploads: list[PendingUpload] = []
        async with self.files.cleanup(self.name, to.base, temps):
            for entry in batch:
                temps.append(temp_path(to.path(entry), new_token()))
                uploads.append(await self._upload_file(tree, to, entry, temps[-1]))
            await self.files.commit(
                self.name, to.base, uploads, lambda number: self.listener.finished(batch[number])
            )

    async def _upload_file(
        self, tree: Tree, to: Destination, entry: FileEntry, temp: str
    ) -> PendingUpload:
        piece_size = self.files.piece_size(to.base, temp)
        pieces = self._report(entry, local.read_pieces(Path(tree.base, entry.path), piece_size))
        size, sha256 = await self.files.upload(self.name, to.base, temp, pieces)
        mode: shell_scripts.WriteMode = "exec" if entry.is_executable else "plain"
        return PendingUpload(temp, to.path(entry), size, sha256, mode)

    def _report(self, entry: FileEntry, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces, and report each after it was sent."""
        for piece in pieces:
            yield piece
            self.listener.transferred(entry, len(piece))

    async def _scan(self, scratches: contextlib.AsyncExitStack, path: str) -> tuple[Tree, str]:
        """List a path of the sandbox; return its tree and its scratch directory."""
        base, root = await self._split(path)
        scratch = f".remote-sandbox-{new_token()}"
        await scratches.enter_async_context(self._scratch_directory(base, scratch))
        results = shell_scripts.read_results(
            await self._run(base, shell_scripts.scan(scratch, root))
        )
        for result in results.values():
            detail = result.detail
            raise FileRefused(f"{self._where(path)} cannot be read completely: {detail}")
        content = await self._read(f"{scratch}/list")
        tree = shell_scripts.read_tree(content, base, base_name(path), is_file=root != ".")
        if tree.is_file and not tree.files:
            raise FileRefused(f"{self._where(path)} is neither a file nor a directory")
        return tree, scratch

    async def _split(self, path: str) -> tuple[str, str]:
        """Return the directory to run the scripts in, and the path relative to it."""
        try:
            await self.files.list(self.name, path)
        except NoSuchFile:
            raise
        except FileRefused:  # not a directory: runtimes give it different error types
            return posixpath.split(path)
        return path, "."

    @contextlib.asynccontextmanager
    async def _scratch_directory(self, base: str, scratch: str) -> AsyncGenerator[None]:
        """Remove the scratch directory after the body, also in a cancelled task."""
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True), contextlib.suppress(SandboxError):
                await self._run(base, shell_scripts.remove_scratch(scratch))

    async def _download_tree(self, tree: Tree, to: Destination, scratch: str) -> None:
        if not tree.is_file:
            for path in ("", *tree.directories):
                local.make_directory(Path(to.base, path))
        writer: AtomicWriter | None = None
        sha256 = ""
        try:
            for batch in _batch_slices(tree):
                script = shell_scripts.pack(scratch, batch)
                results = shell_scripts.read_results(await self._run(tree.base, script))
                for part in batch:
                    result = results.get(part.number, FileResult())
                    self._check_packed(tree, part, result)
                    if writer is None:
                        writer = AtomicWriter(Path(to.base, to.path(part.entry)), new_token())
                        sha256 = result.detail
                    await self._download_slice(writer, part, scratch)
                    if part.is_last:
                        entry = part.entry
                        writer.commit(entry.size, sha256, is_executable=entry.is_executable)
                        writer = None
                        self.listener.finished(entry)
        finally:
            if writer is not None:
                writer.discard()

    def _check_packed(self, tree: Tree, part: Slice, result: FileResult) -> None:
        """Check that the file could be read, and has the size that the scan found.

        Raises:
            FileRefused: it cannot be read, or its hash cannot be computed.
            FileChanged: it has another size.
        """
        where = self._where(posixpath.join(tree.base, part.entry.path))
        if result.status == "failed" and result.detail:
            raise FileRefused(f"{where} cannot be read: {result.detail}")
        if result.status == "failed":
            raise no_hash_tool(where)
        if part.start == 0 and result.status != str(part.entry.size):
            raise FileChanged(f"{where} was written to while it was copied")

    async def _download_slice(self, writer: AtomicWriter, part: Slice, scratch: str) -> None:
        for name in part.block_names():
            block = shell_scripts.decode_block(await self._read(f"{scratch}/{name}"))
            writer.write(block)
            self.listener.transferred(part.entry, len(block))

    def _where(self, path: str) -> str:
        return f"{printable(path)} in sandbox '{self.name}'"

    async def _run(self, base: str, command: str) -> str:
        return await self.files.one_shot.run(self.name, base, command)

    async def _read(self, path: str) -> str:
        request = files.read(self.name, f"{HOME}/{path}")
        return files.read_content(await self.files.send(request))


def _batch_files(entries: Iterable[FileEntry]) -> Iterator[list[FileEntry]]:
    """Yield the files in batches; the arguments of a batch fit into one command."""
    batch: list[FileEntry] = []
    arguments = 0
    for entry in entries:
        length = shell_scripts.argument_length(entry.path)
        if batch and arguments + length > MAX_ARGUMENTS:
            yield batch
            batch, arguments = [], 0
        batch.append(entry)
        arguments += length
    if batch:
        yield batch


def _batch_slices(tree: Tree) -> Iterator[list[Slice]]:
    """Yield the slices of all files in batches for one command and `MAX_BLOCKS` blocks each."""
    batch: list[Slice] = []
    arguments = blocks = 0
    for number, entry in enumerate(tree.files):
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
