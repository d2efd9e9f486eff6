"""The progress of a copy in the terminal: a bar, or a line for each file."""

from __future__ import annotations

import contextlib
import posixpath
import time
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from sandbox_client.files.model import CopyListener, Skipped, printable
from sandbox_client.files.outage import ALL_PARTS, LEFTOVER
from sandbox_client.text import format_size, pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import Task

    from sandbox_client.files.model import FileEntry, Tree

    from .console import Console

_MAX_PATH = 30  # columns in the progress bar
_QUIET = 5.0  # seconds without progress, before the bar says so


class CopyProgress(CopyListener):
    """The files of a copy, done and pending: a bar in a terminal, otherwise a line per file."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self.copied: list[FileEntry] = []
        self.pending: list[FileEntry] = []
        self.directories = 0
        self.names_in_target: list[str] = []  # of the sources that are copied into the target
        self.is_new_directory = False  # the target is the copy of a directory, not around it
        self.skipped: list[Skipped] = []
        self.not_executable: list[FileEntry] = []
        self.leftovers: list[str] = []
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._gives_up_at: float | None = None  # while the proxy does not answer
        self._progressed_at = self._start

    @property
    def seconds(self) -> float:
        """The duration of the copy until now."""
        return self._clock() - self._start

    @property
    def bytes(self) -> int:
        """The total size of the copied files."""
        return sum(entry.size for entry in self.copied)

    @contextlib.contextmanager
    def bar(self) -> Generator[None]:
        """Show a progress bar during the body, in an interactive terminal."""
        if not self._console.is_live:
            yield
            return
        columns = (
            _ActivityColumn(self),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            DownloadColumn(binary_units=False),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with self._console.progress(*columns) as bar:
            self._bar, self._task = bar, bar.add_task("listing files", total=None, count="")
            try:
                yield
            finally:
                self._bar = None

    def begin(self, tree: Tree, *, into: bool) -> None:
        """Add the files of `tree` to the pending ones."""
        self.names_in_target += [tree.name] if into else []
        self.is_new_directory = not into and not tree.is_file and bool(tree.name)
        self.pending += tree.files
        self.directories += len(tree.directories) + (not tree.is_file)
        for each in tree.skipped:
            self._skip(each)
        if self._bar is not None:
            total = self.bytes + sum(entry.size for entry in self.pending)
            self._bar.update(self._task, total=total, count=self._count)

    def transferred(self, entry: FileEntry, size: int) -> None:
        """Advance the bar by `size` bytes of a file."""
        self._gives_up_at, self._progressed_at = None, self._clock()
        if self._bar is not None:
            self._bar.update(self._task, advance=size, description=_shorten(entry.path))

    def finished(self, entry: FileEntry) -> None:
        """Count a file as copied."""
        self.pending.remove(entry)
        self.copied.append(entry)
        if self._bar is not None:
            self._bar.update(self._task, count=self._count)
        elif not self._console.as_json:
            self._console.say(f"copied {printable(entry.path)} ({format_size(entry.size)})")

    def lost_mode(self, entry: FileEntry) -> None:
        """Count a file that can no longer be executed."""
        self.not_executable.append(entry)

    def unanswered(self, seconds: float) -> None:
        """Show an outage and the seconds that are left: in the bar, or once in a line."""
        if seconds and self._gives_up_at is None and self._bar is None:
            self._console.say(f"the proxy does not answer: trying for {seconds:.0f} s more")
        self._gives_up_at = self._clock() + seconds if seconds else None

    def left_behind(self, pattern: str) -> None:
        """Keep which temporary files may remain."""
        self.leftovers.append(pattern)

    def print_leftovers(self) -> None:
        """Print which temporary files may remain: all of a directory in one line."""
        whole = {each for each in self.leftovers if each.endswith(ALL_PARTS)}
        directories = {each.removesuffix(ALL_PARTS) for each in whole}
        alone = [each for each in self.leftovers if posixpath.dirname(each) not in directories]
        for pattern in sorted({*whole, *alone}):
            self._console.say(f"{LEFTOVER}{self._console.name}:{printable(pattern)}")

    def activity(self, description: str) -> str:
        """Return `description`, or the outage or the silence that lasts, with its seconds."""
        now = self._clock()
        if self._gives_up_at is None:
            idle = now - self._progressed_at
            return description if idle < _QUIET else f"{description}, no progress for {idle:.0f} s"
        return f"no answer, trying {max(self._gives_up_at - now, 0):.0f} s more"

    def left_out(self, entry: FileEntry, reason: str) -> None:
        """Count a file as skipped."""
        self.pending.remove(entry)
        self._skip(Skipped(entry.path, reason))

    @property
    def _count(self) -> str:
        total = len(self.copied) + len(self.pending)
        return f"{len(self.copied)}/{pluralize(total, 'file')}"

    def _skip(self, skipped: Skipped) -> None:
        self.skipped.append(skipped)
        self._console.say(f"skipped {printable(skipped.path)}: {skipped.reason}")


class _ActivityColumn(ProgressColumn):
    """The file that is copied, or an outage with its seconds, which go on counting."""

    def __init__(self, progress: CopyProgress) -> None:
        super().__init__(Column(no_wrap=True))
        self._progress = progress

    def render(self, task: Task) -> Text:
        return Text(self._progress.activity(task.description))


def _shorten(path: str) -> str:
    line = printable(path)
    return line if len(line) <= _MAX_PATH else f"…{line[1 - _MAX_PATH :]}"
