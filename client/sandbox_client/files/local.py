"""Files of this machine: list a tree, read a file in pieces, and replace a file atomically.

`copy` uses these functions for its local side. An `OSError` becomes a `LocalFileError` here.
"""

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
    LINK_TO_NO_FILE,
    MAX_UNSIZED,
    NO_FILE,
    NOT_UTF8,
    UNSIZED,
    FileEntry,
    Skipped,
    Tree,
    base_name,
    printable,
    temp_path,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

ABANDONED_AFTER = 3_600.0  # seconds: no copy still writes to an older temporary file


def scan_tree(path: str) -> Tree:
    """List a file, or a directory recursively.

    Links to files count as files; links to directories below `path`, names that are not UTF-8, and
    directories below `path` that cannot be read are skipped.

    Raises:
        LocalFileError: `path` does not exist, its name is not UTF-8, or it cannot be read.
    """
    with local_errors(path, "read"):
        status = os.stat(path)  # noqa: PTH116  # Path drops a slash or a dot at the end
        if stat.S_ISREG(status.st_mode):
            file = Path(path)
            entry = FileEntry(_utf8(file.name), status.st_size, status.st_mode & 0o777)
            return Tree(str(file.parent), file.name, is_file=True, files=(entry,))
        if not stat.S_ISDIR(status.st_mode):
            raise LocalFileError(f"{printable(path)} is neither a file nor a directory")
        return _scan_directory(path)


def _scan_directory(root: str) -> Tree:
    files: list[FileEntry] = []
    directories: list[str] = []
    skipped: list[Skipped] = []
    pending = [""]
    while pending:
        parent = pending.pop()
        try:
            entries = sorted(os.scandir(os.path.join(root, parent)), key=lambda each: each.name)  # noqa: PTH118
        except OSError as exc:
            if not parent:
                raise
            directories.remove(parent)
            skipped.append(Skipped(parent, f"it cannot be read: {exc.strerror}"))
            continue
        for entry in entries:
            path = f"{parent}/{entry.name}" if parent else entry.name
            if not _is_utf8(path):
                shown = os.fsencode(path).decode(errors="backslashreplace")
                skipped.append(Skipped(shown, NOT_UTF8))
            elif entry.is_dir(follow_symlinks=False):
                directories.append(path)
                pending.append(path)
            elif entry.is_file():
                status = entry.stat()
                size = status.st_size or measure(entry.path)
                if size > MAX_UNSIZED and not status.st_size:
                    skipped.append(Skipped(path, UNSIZED))
                else:
                    files.append(FileEntry(path, size, status.st_mode & 0o777))
            else:
                skipped.append(Skipped(path, _skip_reason(entry)))
    name = _utf8(base_name(root))
    return Tree(root, name, False, tuple(files), tuple(directories), tuple(skipped))


def _skip_reason(entry: os.DirEntry[str]) -> str:
    if not entry.is_symlink():
        return NO_FILE
    return LINK_TO_DIRECTORY if entry.is_dir() else LINK_TO_NO_FILE


def measure(path: str) -> int:
    """Return the bytes of a file that has none by its status, up to a few more than MAX_UNSIZED.

    Files of /proc have content. A file that cannot be read now has 0 bytes.
    """
    size = 0
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            while size <= MAX_UNSIZED and (piece := os.read(descriptor, 1024 * 1024)):
                size += len(piece)
        finally:
            os.close(descriptor)
    return size


def read_pieces(path: Path, size: int, limit: int | None = None) -> Iterator[bytes]:
    """Yield a file in pieces of at most `size` bytes; an empty file is one empty piece.

    Raises:
        LocalFileError: the file cannot be read.
        FileChanged: the file changed during the read, or has more than `limit` bytes by now.
    """
    changed = FileChanged(f"{printable(str(path))} was written to while it was copied")
    with local_errors(str(path), "read"), path.open("rb") as file:
        before = os.fstat(file.fileno())
        remaining = before.st_size or MAX_UNSIZED
        if limit is not None and before.st_size > limit:
            raise changed
        piece = file.read(size)
        while True:
            remaining -= len(piece)
            if remaining < 0:  # it might grow as fast as it is read
                raise changed
            yield piece
            piece = file.read(size)
            if not piece:
                break
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed


class AtomicWriter:
    """Write a file under a temporary name, verify it, and rename it to `path`.

    An existing file is replaced and keeps its mode. If `path` is a symbolic link, its target is
    replaced. Other hard links to a replaced file keep the old content. `token` makes the temporary
    name unique.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path = path
        self.size = 0
        self._is_synced = False
        self._sha256 = hashlib.sha256()
        with local_errors(str(path), "written"):
            self._mode = _mode_to_keep(path)
            self._target = Path(os.path.realpath(path))
            self._temp = Path(temp_path(str(self._target), token))
            descriptor = os.open(self._temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb")

    def write(self, block: bytes) -> None:
        """Append a block to the temporary file."""
        with local_errors(str(self.path), "written"):
            self._file.write(block)
        self._sha256.update(block)
        self.size += len(block)
        self._is_synced = False

    def sync(self) -> None:
        """Bring the content to the disk, in a worker thread: `commit` does it if this fails."""
        with contextlib.suppress(OSError):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._is_synced = True

    def commit(self, size: int, sha256: str, *, mode: int) -> bool:
        """Rename the temporary file to `path` if it has this size and hash.

        A new file gets the permissions `mode` without those of the umask. Return False if it should
        be executable and is not: a file that was there keeps its mode, and some file systems none.

        Raises:
            FileChanged: the size or the hash differs.
        """
        if (self.size, self._sha256.hexdigest()) != (size, sha256):
            raise FileChanged(
                f"The copy of {printable(str(self.path))} differs from the file in the sandbox; it"
                " was discarded"
            )
        with local_errors(str(self.path), "written"):
            if self._mode is not None and not os.access(self._target, os.W_OK):
                self._check_unchanged(sha256)
                return True
            self._file.flush()
            new_mode = mode & ~_umask()
            os.fchmod(self._file.fileno(), new_mode if self._mode is None else self._mode)
            kept_mode = os.fstat(self._file.fileno()).st_mode
            if not self._is_synced:
                os.fsync(self._file.fileno())
            self._file.close()
            self._temp.replace(self._target)
        _remove_abandoned(self._temp)
        return not new_mode & 0o100 or bool(kept_mode & 0o100)

    def _check_unchanged(self, sha256: str) -> None:
        """Leave a write-protected file that has this content: an earlier copy wrote it.

        Raises:
            LocalFileError: it has other content.
        """
        self.discard()
        with self._target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return
        advice = "Run `chmod u+w` on it, or copy to another name."
        raise LocalFileError(f"{printable(str(self.path))} is write-protected", advice=advice)

    def discard(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temp.unlink(missing_ok=True)


def is_directory(path: str) -> bool:
    """Check for a directory, or a link to one, at `path`."""
    return os.path.isdir(path)  # noqa: PTH112  # Path drops a slash or a dot at the end


def make_directory(path: Path) -> None:
    """Create a directory if it does not exist; its parent must exist."""
    require_no_file(str(path))
    with local_errors(str(path), "created"):
        path.mkdir(exist_ok=True)


def require_no_file(path: str) -> None:
    """Check that a path that is to be a directory is none of another kind.

    Raises:
        LocalFileError: it is.
    """
    whole = path.rstrip("/") or "/"
    if os.path.lexists(whole) and not is_directory(whole):
        raise LocalFileError(
            f"{printable(path)} is not a directory", advice="Remove it, or name another target."
        )


def _mode_to_keep(path: Path) -> int | None:
    """Return the permission bits of the file that would be replaced; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    where = printable(str(path))
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise LocalFileError(f"{where} is {kind}: a file cannot replace it")
    return status.st_mode & 0o777


def _remove_abandoned(temp: Path) -> None:
    """Remove the temporary files that killed copies of the same file have left."""
    pattern = re.compile(re.escape(temp.name.rpartition("-")[0]) + "-[0-9a-f]{8}")
    with contextlib.suppress(OSError), os.scandir(temp.parent) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name) and _age(entry) > ABANDONED_AFTER:
                Path(entry.path).unlink()


def _age(entry: os.DirEntry[str]) -> float:
    return time.time() - entry.stat(follow_symlinks=False).st_mtime


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _utf8(name: str) -> str:
    if not _is_utf8(name):
        raise LocalFileError(
            f"A name on this machine is not UTF-8: {name!a}",
            advice="Rename it, or copy the other files by their own paths.",
        )
    return name


@contextlib.contextmanager
def local_errors(path: str, done: str) -> Generator[None]:
    """Raise a `LocalFileError` for an `OSError` of the body; `done` is a participle."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or "no reason given"
        at = exc.filename if done == "read" and isinstance(exc.filename, str) else path
        raise LocalFileError(f"{printable(at)} cannot be {done}: {reason}") from exc
    except ValueError as exc:  # a NUL character
        raise LocalFileError(f"{path!r} cannot be a path of this machine") from exc
