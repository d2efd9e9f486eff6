"""Replace files of the working tree, all or none, also if this process is killed in the middle.

The new files are made in a directory below `.git` first. Then each old file is moved there, and the
new one to its place. A journal in that directory has the state of each file before and after: with
it, a failure is undone at once, and the work of a process that was killed by the next one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox_client.errors import RepositoryRefused
from sandbox_client.text import pluralize

from .file_moves import (
    BLOCKED,
    State,
    digest_of,
    is_directory,
    is_same,
    join,
    move,
    parents_of,
    remove_empty,
    state_of,
    status_of,
)
from .names import join_shown, shown

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from .local import Repository

_LOCK, _JOURNAL = "apply.lock", "journal.json"
_UNFINISHED, _KEPT = "apply-", "kept-"
AS_IT_WAS = "The working tree is as it was."


class Replacement(NamedTuple):
    """A path with the state of its old and of its new file; None stands for no file.

    The journal has the digest of the new file as well: some edits keep the state.
    """

    path: str
    old: State | None
    new: State | None
    digest: str = ""


def is_unfinished(repository: Repository) -> bool:
    """Return whether files of the working tree are in part old and in part new."""
    return any(_base(repository).glob(f"{_UNFINISHED}*/{_JOURNAL}"))


def require_finished(repository: Repository) -> None:
    """Check that no change is unfinished, before the working tree is sent.

    Raises:
        RepositoryRefused: one is, or another process makes one just now.
    """
    if is_unfinished(repository):
        raise RepositoryRefused(
            "An --apply to this working tree has not ended: its files are in part old, in part new",
            advice="If it still runs, wait for its end. If it was killed, undo it with"
            " {pull --apply}, which puts the old files back first.",
        )


def undo_unfinished(repository: Repository) -> int:
    """Undo a change that a killed process has left; return the number of files put back.

    Raises:
        RepositoryRefused: another process makes one, or it cannot be undone completely.
    """
    try:
        with _locked(repository) as base:
            return _undo_all(repository, base)
    except OSError as exc:
        raise _not_undone(exc.strerror, "Try again when the cause is gone.") from exc


@contextmanager
def workspace(repository: Repository) -> Generator[Workspace]:
    """Make the directory for the new files of a working tree; undo an unfinished change first.

    Raises:
        RepositoryRefused: another process has one, or the change cannot be undone completely.
        OSError: it cannot be made.
    """
    with _locked(repository) as base:
        _undo_all(repository, base)
        made = Workspace(repository.top, Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=base)))
        try:
            yield made
        finally:
            made.remove()


@contextmanager
def _locked(repository: Repository) -> Generator[Path]:
    base = _base(repository)
    base.mkdir(mode=0o700, exist_ok=True)
    with (base / _LOCK).open("ab") as lock:  # ends with the process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RepositoryRefused(
                "Another process applies work to this working tree",
                advice="Wait until that has ended; then try again.",
            ) from None
        yield base


def _base(repository: Repository) -> Path:
    return Path(repository.git_dir, "remote-sandbox")


def _undo_all(repository: Repository, base: Path) -> int:
    left = [Workspace(repository.top, each) for each in sorted(base.glob(f"{_UNFINISHED}*"))]
    return sum(each.undo() for each in left)


def _not_undone(reason: str | None, advice: str) -> RepositoryRefused:
    return RepositoryRefused(f"An unfinished --apply cannot be undone: {reason}", advice=advice)


@dataclass(frozen=True)
class Workspace:
    """A directory with new files for the working tree `top`, below `new`."""

    top: str
    path: Path

    @property
    def new(self) -> str:
        """The directory of the new files, each below its path."""
        return str(self.path / "new")

    def state_of_new(self, path: str) -> State:
        """Return the state of a new file.

        Raises:
            FileNotFoundError: it was not made.
        """
        found = state_of(self.new, path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "it was not made", path)
        return found

    @property
    def _old(self) -> str:
        return str(self.path / "old")

    @property
    def _journal(self) -> Path:
        return self.path / _JOURNAL

    def remove(self) -> None:
        """Remove the directory, unless its change is unfinished."""
        if not self._journal.exists():
            shutil.rmtree(self.path, ignore_errors=True)

    def replace(self, files: Sequence[Replacement]) -> None:
        """Replace files by those of `new`, and remove those without a new one.

        Raises:
            RepositoryRefused: one is not in its old state any more, or cannot be put back.
            OSError: one cannot be moved; the working tree is as it was.
        """
        directories = self._directories(files)
        noted = [
            each._replace(digest=digest_of(join(self.new, each.path))) if each.new else each
            for each in files
        ]
        self._save({"files": noted, "directories": directories})
        try:
            # Removed first: a directory that gets empty may become a file.
            for each in sorted(files, key=lambda each: each.new is not None):
                self._replace(each)
            self._journal.unlink()
        except BaseException:
            self.undo()
            raise

    def undo(self) -> int:
        """Put the old files back; leave each file that was edited since, and keep the old one.

        Return the number of files that are not as they were found.

        Raises:
            RepositoryRefused: some were left, or cannot be put back.
        """
        count = 0
        if self._journal.exists():
            try:
                count, left = self._undo()
                if left:
                    raise self._keep(left)
                self._journal.unlink()
            except (OSError, ValueError, TypeError, KeyError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else "its journal is damaged"
                raise _not_undone(
                    reason,
                    f"The files as they were before are in {shown(self._old)}. Try again,"
                    " which goes on with that; or move them back and remove"
                    f" {shown(str(self.path))}.",
                ) from exc
        self.remove()
        return count

    def _directories(self, files: Iterable[Replacement]) -> dict[str, int]:
        """Return the modes of the directories that are at, or above, these paths."""
        found: dict[str, int] = {}
        for each in files:
            for path in (*parents_of(each.path), each.path):
                status = None if path in found else status_of(join(self.top, path))
                if status and stat.S_ISDIR(status.st_mode):
                    found[path] = stat.S_IMODE(status.st_mode)
        return found

    def _save(self, journal: dict[str, Any]) -> None:
        part = self.path / "journal.part"
        with part.open("w", encoding="ascii") as file:
            json.dump(journal, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._journal)

    def _replace(self, each: Replacement) -> None:
        place = join(self.top, each.path)
        if each.old == BLOCKED or state_of(self.top, each.path) != each.old:
            raise RepositoryRefused(
                f"A file was changed while the work was applied: {shown(each.path)}",
                advice="Nothing was applied. Commit or stash the change, or merge the branch.",
            )
        if each.old:
            self._move(place, join(self._old, each.path))
        if each.new is None:
            remove_empty(join(self.top, parent) for parent in reversed(parents_of(each.path)))
            return
        if is_directory(place):
            os.rmdir(place)  # noqa: PTH106
        self._move(join(self.new, each.path), place)

    def _undo(self) -> tuple[int, list[str]]:
        """Undo the change; return the number of files it has changed, and the paths left."""
        journal = json.loads(self._journal.read_text(encoding="ascii"))
        files = [
            Replacement(path, _read(old), _read(new), *digest)
            for path, old, new, *digest in journal["files"]
        ]
        directories: dict[str, int] = journal["directories"]
        before = [state_of(self.top, each.path) for each in files]
        self._remove_parts(files)
        left = [each.path for each in files if not self._remove_new(each)]
        added = [each for each in files if each.old is None]
        made = {parent for each in added for parent in parents_of(each.path)} - directories.keys()
        for path in sorted(made, reverse=True):
            if state_of(self.top, path) is None:
                remove_empty([join(self.top, path)])
        for path, mode in sorted(directories.items()):
            place = join(self.top, path)
            if state_of(self.top, path) is None and not is_directory(place):
                os.mkdir(place)  # noqa: PTH102  # a name may not be UTF-8
                os.chmod(place, mode)  # noqa: PTH101
        left += [each.path for each in files if each.old and not self._put_back(each)]
        after = [state_of(self.top, each.path) for each in files]
        return sum(one != other for one, other in zip(before, after, strict=True)), left

    def _move(self, source: str, target: str) -> None:
        move(source, target, self._part_name)

    @property
    def _part_name(self) -> str:
        return f".remote-sandbox-{self.path.name}"

    def _remove_parts(self, files: Iterable[Replacement]) -> None:
        """Remove the copy that a killed process was making for another file system."""
        for parent in {each.path.rpartition("/")[0] for each in files}:
            part = join(parent, self._part_name)
            if state_of(self.top, part) not in {None, BLOCKED}:
                os.unlink(join(self.top, part))  # noqa: PTH108

    def _remove_new(self, each: Replacement) -> bool:
        """Remove a new file, as the old ones may need its room; an edited one stays.

        Return whether it does not, or has an old one, about which `_put_back` decides.
        """
        if each.old and not os.path.lexists(join(self._old, each.path)):
            return True  # not moved yet
        found = state_of(self.top, each.path)
        place = join(self.top, each.path)
        if found and found == each.new and each.digest in {"", digest_of(place)}:
            os.unlink(place)  # noqa: PTH108
            return True
        return bool(each.old) or found is None or os.path.lexists(join(self.new, each.path))

    def _put_back(self, each: Replacement) -> bool:
        """Put an old file back; return whether it is in its place."""
        kept, place = join(self._old, each.path), join(self.top, each.path)
        if not os.path.lexists(kept):
            return True  # it was not moved yet, or is back
        if found := state_of(self.top, each.path):
            return found != BLOCKED and is_same(kept, place)
        if is_directory(place):
            remove_empty([place])
            if is_directory(place):
                return False
        self._move(kept, place)
        return True

    def _keep(self, left: Sequence[str]) -> RepositoryRefused:
        """Keep the old files of paths that were left; return the error that names them."""
        kept = self.path.with_name(self.path.name.replace(_UNFINISHED, _KEPT, 1))
        self.path.rename(kept)
        (kept / _JOURNAL).unlink()
        shutil.rmtree(kept / "new", ignore_errors=True)
        return RepositoryRefused(
            f"An unfinished --apply was undone, but for {pluralize(len(left), 'file')} that changed"
            f" since: {join_shown(left)}",
            advice="They were left as they are. The files that were in their places before are in"
            f" {shown(str(kept / 'old'))}.",
        )


def _read(state: list[int] | None) -> State | None:
    return None if state is None else State(*state)
