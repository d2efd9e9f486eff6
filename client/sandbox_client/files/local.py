"""The files of this machine, as a copy needs them: surveyed, read, written whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_client.errors import FileChanged, LocalFileError

from .model import (
    LINK_TO_DIRECTORY,
    LINK_TO_NOTHING,
    NO_FILE,
    FileEntry,
    Skipped,
    Tree,
    name_of,
    shown,
    temp_path,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

ABANDONED = 3_600.0  # seconds after which nobody is at a part any more


def survey(path: str) -> Tree:
    """Return what is at `path`, links followed, and below it, where links to files are files.

    Raises:
        LocalFileError: there is nothing, or something of it cannot be looked at or named.
    """
    with _translated(path, "read"):
        status = os.stat(path)  # noqa: PTH116  # a Path forgets a slash and a dot at the end
        if stat.S_ISREG(status.st_mode):
            whole = Path(path)
            entry = FileEntry(_utf8(whole.name), status.st_size, _runs(status))
            return Tree(str(whole.parent), whole.name, is_file=True, files=(entry,))
        if not stat.S_ISDIR(status.st_mode):
            raise LocalFileError(f"{shown(path)} is neither a file nor a directory")
        return _surveyed(path)


def _surveyed(root: str) -> Tree:
    files: list[FileEntry] = []
    directories: list[str] = []
    skipped: list[Skipped] = []
    ahead = [""]
    while ahead:
        below = ahead.pop()
        for entry in sorted(os.scandir(os.path.join(root, below)), key=lambda each: each.name):  # noqa: PTH118
            path = _utf8(f"{below}/{entry.name}" if below else entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(path)
                ahead.append(path)
            elif entry.is_file():
                files.append(FileEntry(path, entry.stat().st_size, _runs(entry.stat())))
            elif entry.is_symlink():
                why = LINK_TO_DIRECTORY if entry.is_dir() else LINK_TO_NOTHING
                skipped.append(Skipped(path, why))
            else:
                skipped.append(Skipped(path, NO_FILE))
    name = name_of(root)
    return Tree(root, name, False, tuple(files), tuple(directories), tuple(skipped))


def pieces(path: Path, size: int) -> Iterator[bytes]:
    """Yield a file in pieces of at most `size` bytes: one, where it is empty.

    Raises:
        LocalFileError: it cannot be read.
        FileChanged: it was written to meanwhile.
    """
    with _translated(str(path), "read"), path.open("rb") as file:
        before = os.fstat(file.fileno())
        piece = file.read(size)
        while True:
            yield piece
            piece = file.read(size)
            if not piece:
                break
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileChanged(f"{shown(str(path))} was written to while it was copied")


class AtomicWriter:
    """A file that arrives: beside its own name until it is all there and what it should be.

    It takes the place of what is there, or of what a link there leads to, and keeps its mode;
    a hard link's other names keep what was there.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        with _translated(str(path), "written"):
            self._mode = _replaced_mode(path)
            self._target = Path(os.path.realpath(path))
            self._part = Path(temp_path(str(self._target), token))
            number = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(number, "wb")

    def take(self, block: bytes) -> None:
        """Write what comes next."""
        with _translated(str(self.path), "written"):
            self._file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def finish(self, size: int, digest: str, *, runs: bool) -> None:
        """Give the file its name, where its size and hash are these.

        Raises:
            FileChanged: they are others.
        """
        if (self.size, self._digest.hexdigest()) != (size, digest):
            raise FileChanged(
                f"What arrived for {shown(str(self.path))} is not what the sandbox has"
            )
        with _translated(str(self.path), "written"):
            self._file.flush()
            usual = (0o777 if runs else 0o666) & ~_umask()
            os.fchmod(self._file.fileno(), usual if self._mode is None else self._mode)
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._target)
        _remove_abandoned(self._part)

    def discard(self) -> None:
        """Remove what is left of a file that did not arrive."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)


def is_directory(path: str) -> bool:
    """Tell whether a directory is at `path`, or a link to one."""
    return os.path.isdir(path)  # noqa: PTH112  # paths are as they were typed


def make_directory(path: Path) -> None:
    """Make a directory in one that is there, unless it is there."""
    with _translated(str(path), "made"):
        path.mkdir(exist_ok=True)


def _replaced_mode(path: Path) -> int | None:
    """Return the mode of the file that is at `path`; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    where = shown(str(path))
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no file"
        raise LocalFileError(f"{where} is {kind}, and a file should have that name")
    if not os.access(path, os.W_OK):
        advice = "Lift that with `chmod u+w`, or copy to another name."
        raise LocalFileError(f"{where} is write-protected", advice=advice)
    return status.st_mode & 0o777


def _remove_abandoned(part: Path) -> None:
    """Remove what killed copies have left of the file whose part this was."""
    pattern = re.compile(re.escape(part.name.rpartition("-")[0]) + "-[0-9a-f]{8}")
    with contextlib.suppress(OSError), os.scandir(part.parent) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name) and _age(entry) > ABANDONED:
                Path(entry.path).unlink()


def _age(entry: os.DirEntry[str]) -> float:
    return time.time() - entry.stat(follow_symlinks=False).st_mtime


def _runs(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IXUSR)


def _umask() -> int:
    mask = os.umask(0o077)  # the only way to see it
    os.umask(mask)
    return mask


def _utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise LocalFileError(
            f"A name on this machine is not UTF-8: {name!a}",
            advice="Rename it, or copy what is beside it.",
        ) from None
    return name


@contextlib.contextmanager
def _translated(path: str, done: str) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or "no reason given"
        at = exc.filename if done == "read" and isinstance(exc.filename, str) else path
        raise LocalFileError(f"{shown(at)} cannot be {done}: {reason}") from exc
    except ValueError as exc:  # a NUL character
        raise LocalFileError(f"{path!r} cannot be a path of this machine") from exc
