"""What a person sees of a copy: a bar in a terminal, a line for each file where there is none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sandbox_client.files.copy import CopyListener
from sandbox_client.files.model import printable
from sandbox_client.text import pluralize

if TYPE_CHECKING:
    from collections.abc import Generator

    from sandbox_client.files.model import FileEntry, Skipped, Tree

    from .console import Console


class Copying(CopyListener):
    """A copy as it goes on, and what has come of it."""

    def __init__(self, console: Console) -> None:
        self.files: list[FileEntry] = []
        self.ahead: list[FileEntry] = []
        self.directories = 0
        self.skipped: list[Skipped] = []
        self._face = console
        self._bar: Progress | None = None
        self._task = TaskID(0)

    @property
    def bytes(self) -> int:
        """Return the size of what has been copied."""
        return sum(entry.size for entry in self.files)

    @contextlib.contextmanager
    def shown(self) -> Generator[None]:
        """Show a bar while the body copies, in a terminal."""
        if not self._face.is_live:
            yield
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=False),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with self._face.progress(*columns) as bar:
            self._bar, self._task = bar, bar.add_task("looking", total=None)
            try:
                yield
            finally:
                self._bar = None

    def begin(self, tree: Tree) -> None:
        """Take what is to be copied."""
        self.ahead += tree.files
        self.directories += len(tree.directories) + (not tree.is_file)
        self.skipped += tree.skipped
        for each in tree.skipped:
            self._face.say(f"skipped {printable(each.path)}: {each.reason}")
        if self._bar is not None:
            total = self.bytes + sum(entry.size for entry in self.ahead)
            self._bar.update(self._task, total=total)

    def transferred(self, entry: FileEntry, size: int) -> None:
        """Take that so many bytes more of a file were copied."""
        if self._bar is not None:
            self._bar.update(self._task, advance=size, description=_short(entry.path))

    def finished(self, entry: FileEntry) -> None:
        """Take that a file has its name."""
        self.ahead.remove(entry)
        self.files.append(entry)
        if self._bar is None:
            self._face.say(f"copied {printable(entry.path)} ({pluralize(entry.size, 'byte')})")


def _short(path: str) -> str:
    line = printable(path)
    return line if len(line) <= 30 else f"…{line[-29:]}"
