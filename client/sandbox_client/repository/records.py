"""The records of pushes: what each directory of a sandbox has of this repository.

A record is written before the sandbox unpacks anything: the commit that a sandbox names then always
leads to a record, also after a push that broke off. Records are separate for each proxy, sandbox
and directory. All worktrees of a repository share them, and each record names its worktree, since a
directory of a sandbox has the files of one. Only the content of a sandbox says whether it is still
the one that a record is about.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_client.errors import InvalidInput, LocalFileError, RepositoryRefused

from .names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .local import Repository

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_KEPT = 4  # records of one directory of a sandbox, the newest
_MOST_APPLIED = 8  # commits of one record, the newest


@dataclass(frozen=True)
class Withheld:
    """A tracked file that was left out, as it is in the snapshot."""

    mode: str
    object_id: str
    path: str


@dataclass(frozen=True)
class Sent:
    """The state of a repository that a directory of a sandbox has.

    `head` is the commit that was checked out here, empty if there was none; `snapshot` is the
    working tree as a commit on it, `commit` is the same in the sandbox: it differs only if tracked
    files were withheld. `boundary` has the commits at which the sandbox's history ends.
    `pulled` is the last commit that came back, and `imported` its id here; `applied` has those of
    the work that was applied to the working tree, the last one at the end. `worktree` is the one
    that was sent, as in `Repository.worktree`.
    """

    sandbox: str
    directory: str
    branch: str
    head: str
    snapshot: str
    commit: str
    boundary: tuple[str, ...] = ()
    has_history: bool = False
    withheld: tuple[Withheld, ...] = ()
    pulled: str = ""
    imported: str = ""
    applied: tuple[str, ...] = ()
    worktree: str = ""

    @property
    def known(self) -> tuple[str, ...]:
        """The commits of the sandbox that may be replaced there, as they are here, too."""
        return tuple(each for each in (self.commit, self.pulled) if each)

    def after_pull(self, pulled: str, imported: str) -> Sent:
        """Return the record after a pull."""
        return replace(self, pulled=pulled, imported=imported)

    def after_apply(self, applied: str) -> Sent:
        """Return the record after work was applied to the working tree."""
        earlier = [each for each in self.applied if each != applied]
        return replace(self, applied=(*earlier, applied)[-_MOST_APPLIED:])


@dataclass(frozen=True)
class Records:
    """The records of one repository, for the sandboxes of one proxy."""

    repository: Repository
    proxy: str = ""  # its URL

    def load(self, sandbox: str, directory: str | None = None) -> Sent | None:
        """Return the newest record of a sandbox, or of one of its directories, if there is any.

        A record of this worktree comes before those of others.

        Raises:
            LocalFileError: the record cannot be read.
        """
        found = [each for each in self.of(sandbox) if directory in {None, each.directory}]
        own = [each for each in found if each.worktree == self.repository.worktree]
        return next(iter([*own, *found]), None)

    def load_own(self, sandbox: str) -> Sent | None:
        """Return the newest record of a sandbox that is of this worktree, if there is any."""
        sent = self.load(sandbox)
        return sent if sent and sent.worktree == self.repository.worktree else None

    def find(self, sandbox: str, directory: str, commit: str) -> Sent | None:
        """Return the record of a commit that a directory of a sandbox has, if there is any."""
        path = self._record(sandbox, directory, commit)
        return _read(path) if path.exists() else None

    def require(self, sandbox: str, directory: str | None = None) -> Sent:
        """Return the newest record of a sandbox, or of one of its directories, as `load` does.

        Raises:
            RepositoryRefused: nothing was sent to it.
        """
        sent = self.load(sandbox, directory)
        if sent is None:
            where = f" to {shown(directory)}" if directory else ""
            raise RepositoryRefused(
                f"Nothing of this repository was sent to sandbox '{sandbox}'{where}",
                advice="Send it with {push}, or go to the repository that was sent.",
            )
        return sent

    def require_own(self, sandbox: str, directory: str) -> None:
        """Check that a directory of a sandbox does not have the files of another worktree.

        The directory of a worktree that was removed may be taken.

        Raises:
            RepositoryRefused: it has.
        """
        sent = next((each for each in self.of(sandbox) if each.directory == directory), None)
        if sent is None or sent.worktree == self.repository.worktree:
            return
        if place := self.repository.place_of(sent.worktree):
            raise RepositoryRefused(
                f"{directory} in sandbox '{sandbox}' has the files of another worktree of this"
                f" repository, {shown(place)}",
                advice="Nothing was sent. Name another directory with"
                " {push --directory DIR}, or send it from that worktree.",
            )

    def of(self, sandbox: str) -> list[Sent]:
        """Return the newest record of each directory of a sandbox, the newest first.

        Raises:
            LocalFileError: a record cannot be read.
        """
        newest: dict[str, Path] = {}
        for path in self._records(sandbox):
            newest.setdefault(path.name.partition("-")[0], path)
        return [_read(each) for each in newest.values()]

    def of_directory(self, sandbox: str, directory: str) -> list[Sent]:
        """Return all records of a directory of a sandbox that are kept, the newest first."""
        found = map(_read, self._records(sandbox))
        return [each for each in found if each.directory == directory]

    def imported(self, sandbox: str) -> list[tuple[str, str]]:
        """Return each directory of a sandbox with each commit here that was fetched from it."""
        found = map(_read, self._records(sandbox))
        return [(each.directory, each.imported) for each in found if each.imported]

    def all(self) -> list[Sent]:
        """Return the newest record of each directory of each sandbox, by the sandboxes' names."""
        folders = (self.repository.store_dir / "sent").glob(f"*.{self._proxy_key}")
        names = sorted(each.name.removesuffix(f".{self._proxy_key}") for each in folders)
        return [sent for name in names for sent in self.of(name)]

    def update(self, sent: Sent) -> None:
        """Write a record after a pull: it does not become the newest one."""
        path = self._record(sent.sandbox, sent.directory, sent.commit)
        pushed_at = _time_of(path)
        self.save(sent)
        os.utime(path, ns=(pushed_at, pushed_at))

    def save(self, sent: Sent) -> None:
        """Write a record after a push, as a whole or not at all."""
        path = self._record(sent.sandbox, sent.directory, sent.commit)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False
        ) as file:
            json.dump(asdict(sent), file)
        newest = max(map(_time_of, self._records(sent.sandbox)), default=0)
        Path(file.name).replace(path)
        if _time_of(path) <= newest:  # the clock was turned back
            os.utime(path, ns=(newest + 1, newest + 1))

    def refs(self, sent: Sent) -> str:
        """Return the prefix of the refs that keep the objects of a record."""
        return _refs(self._record(sent.sandbox, sent.directory, sent.commit))

    def forget_old(self, sent: Sent) -> Iterator[str]:
        """Remove all records of a directory but the newest; yield the prefix of the refs of each.

        A record is removed after its refs, when the next one is asked for.
        """
        start = f"{_directory_key(sent.directory)}-"
        here = [each for each in self._records(sent.sandbox) if each.name.startswith(start)]
        for path in here[_KEPT:]:
            yield _refs(path)
            path.unlink(missing_ok=True)

    @property
    def _proxy_key(self) -> str:
        return hashlib.sha256(self.proxy.encode()).hexdigest()[:16]

    def _folder(self, sandbox: str) -> Path:
        if not _NAME.fullmatch(sandbox):
            raise InvalidInput(f"{sandbox!r} is not a sandbox's name")
        return self.repository.store_dir / "sent" / f"{sandbox}.{self._proxy_key}"

    def _records(self, sandbox: str) -> list[Path]:
        """Return the files of the records of a sandbox, the newest first."""
        return sorted(self._folder(sandbox).glob("*.json"), key=_time_of, reverse=True)

    def _record(self, sandbox: str, directory: str, commit: str) -> Path:
        return self._folder(sandbox) / f"{_directory_key(directory)}-{commit}.json"


def _read(path: Path) -> Sent:
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        withheld = tuple(Withheld(**each) for each in fields.pop("withheld"))
        boundary = tuple(fields.pop("boundary"))
        applied = fields.pop("applied", ())
        if isinstance(applied, str):  # the last one alone, in records of earlier versions
            applied = [applied] if applied else []
        return Sent(**fields, boundary=boundary, withheld=withheld, applied=tuple(applied))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise LocalFileError(
            f"The record of what was sent to a sandbox cannot be read: {path}",
            advice="Remove that file; then name another directory with {push --directory DIR}.",
        ) from exc


def _refs(record: Path) -> str:
    return f"refs/sent/{record.parent.name}/{record.stem}"


def _directory_key(directory: str) -> str:
    return hashlib.sha256(directory.encode()).hexdigest()[:16]


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # another process has removed it
        return 0
