"""Copy a tree of this machine into a sandbox: small files in archives, larger ones in pieces."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_client.errors import (
    CommandStateUnknown,
    FileChanged,
    FileRefused,
    LocalFileError,
    SessionNotFound,
)

from . import archive, local, shell_scripts
from .archive import ArchiveWriter
from .model import FileEntry, printable, reason_of, temp_path
from .remote import new_token, split_bytes
from .shell_scripts import PendingUpload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .model import CopyListener, Destination, Tree
    from .remote import Files

# Characters of file arguments in one command. With its script a command stays under 4,096, the
# longest line that a terminal accepts in canonical mode.
MAX_ARGUMENTS = 2_000
# Permissions that a new file gets in the sandbox: no others than the owner may write to it.
MODE_MASK = 0o755


@dataclass
class Upload:
    """Copy trees into the sandbox `name`, and report progress to `listener`.

    `has_tar` becomes False when the sandbox turns out to unpack no archive.
    """

    files: Files
    name: str
    listener: CopyListener
    has_tar: bool = field(default=True, init=False)

    async def tree(self, tree: Tree, to: Destination) -> None:
        """Copy a tree to its destination."""
        if not tree.is_file:
            await self._make_directories(to.base, tree.directories)
        remaining = tree.files
        if not tree.is_file and self.has_tar:
            done: set[str] = set()
            for batch in archive.batches(tree.files):
                done.update(await self._upload_archive(tree, to, batch))
            remaining = tuple(entry for entry in tree.files if entry.path not in done)
        for batch in _batch_files(remaining):
            await self._upload_batch(tree, to, batch)

    async def _make_directories(self, base: str, directories: Sequence[str]) -> None:
        """Create `base` and directories below it.

        The file API creates the parents of a file, so writing a marker file creates `base`.
        """
        marker = temp_path("", new_token())
        async with self.files.cleanup(self.name, base, [marker]):
            await self.files.upload(self.name, base, marker, [b""])
            entries = [FileEntry(path, 0) for path in directories]
            for batch in [*_batch_files(entries)] or [[]]:
                script = shell_scripts.make_directories(marker, [each.path for each in batch])
                output = await self.files.run(self.name, base, script)
                for number, result in sorted(shell_scripts.read_results(output).items()):
                    where = printable(posixpath.join(base, batch[number].path))
                    raise FileRefused(
                        f"{where} in sandbox '{self.name}' was not created: {result.detail}"
                    )

    async def _upload_archive(
        self, tree: Tree, to: Destination, batch: Sequence[FileEntry]
    ) -> list[str]:
        """Copy small files as one archive.

        Return the paths of those that were copied or skipped: none if the sandbox cannot unpack
        the archive, which the first attempt shows.
        """
        if not self.has_tar:
            return []
        token = new_token()
        archived, words = temp_path("archive", token), temp_path("words", token)
        writer = ArchiveWriter(words)
        entries = [entry for entry in batch if self._add(writer, tree, to, entry)]
        async with self.files.cleanup(self.name, to.base, [archived, words]):
            pieces = split_bytes(writer.finish(), self.files.piece_size(to.base, archived))
            reported = self._report_archive(entries, writer.ends, pieces)
            await self.files.upload(self.name, to.base, archived, reported)
            try:
                self.has_tar = await self.files.commit(
                    self.name,
                    to.base,
                    writer.uploads,
                    lambda number, kept: self.listener.completed(entries[number], mode_kept=kept),
                    archive.unpack(archived, words),
                )
            except (CommandStateUnknown, SessionNotFound):  # under other names, it may be repeated
                script = shell_scripts.remove([archived, words])
                await self.files.run(self.name, to.base, script)
                return self._take_back(entries)
        return [entry.path for entry in batch] if self.has_tar else self._take_back(entries)

    def _take_back(self, entries: Sequence[FileEntry]) -> list[str]:
        """Report the files of an archive as not transferred: each is sent again on its own."""
        for entry in entries:
            self.listener.transferred(entry, -entry.size)
        return []

    def _add(self, writer: ArchiveWriter, tree: Tree, to: Destination, entry: FileEntry) -> bool:
        """Add a file to an archive; return False if it cannot be read."""
        try:
            path_here = Path(tree.base, entry.path)
            data = b"".join(local.read_pieces(path_here, archive.MAX_FILE, archive.MAX_FILE))
        except (FileChanged, LocalFileError) as error:
            self.listener.left_out(entry, reason_of(error))
            return False
        digest = hashlib.sha256(data).hexdigest()
        path = to.path(entry)
        temp = temp_path(path, new_token())
        mode = entry.mode & MODE_MASK
        writer.add(PendingUpload(temp, path, len(data), digest, mode), data)
        return True

    def _report_archive(
        self, entries: Sequence[FileEntry], ends: Sequence[int], pieces: Iterable[bytes]
    ) -> Iterator[bytes]:
        """Yield the pieces of an archive, and report each file when all of it was sent."""
        position, reported = 0, 0
        for piece in pieces:
            yield piece
            position += len(piece)
            while reported < len(ends) and ends[reported] <= position:
                self.listener.transferred(entries[reported], entries[reported].size)
                reported += 1

    async def _upload_batch(self, tree: Tree, to: Destination, batch: Sequence[FileEntry]) -> None:
        temps: list[str] = []
        uploads: list[PendingUpload] = []
        entries: list[FileEntry] = []
        async with self.files.cleanup(self.name, to.base, temps):
            for entry in batch:
                temps.append(temp_path(to.path(entry), new_token()))
                try:
                    uploads.append(await self._upload_file(tree, to, entry, temps[-1]))
                except (FileChanged, LocalFileError) as error:
                    if tree.is_file:
                        raise
                    await self.files.remove(self.name, to.base, temps[-1:])
                    self.listener.left_out(entry, reason_of(error))
                else:
                    entries.append(entry)
            await self.files.commit(
                self.name,
                to.base,
                uploads,
                lambda number, kept: self.listener.completed(entries[number], mode_kept=kept),
            )

    async def _upload_file(
        self, tree: Tree, to: Destination, entry: FileEntry, temp: str
    ) -> PendingUpload:
        piece_size = self.files.piece_size(to.base, temp)
        pieces = self._report(entry, local.read_pieces(Path(tree.base, entry.path), piece_size))
        size, sha256 = await self.files.upload(self.name, to.base, temp, pieces)
        return PendingUpload(temp, to.path(entry), size, sha256, entry.mode & MODE_MASK)

    def _report(self, entry: FileEntry, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces, and report each after it was sent."""
        for piece in pieces:
            yield piece
            self.listener.transferred(entry, len(piece))


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
