"""What this program keeps in a repository, in `.git/remote-sandbox`: a record of each push.

A record says what was sent, so that a later transfer sends only what is new, and so that what comes
back is compared with it. It is written before the sandbox unpacks anything: what a sandbox says
that it has then always leads to a record, also after a push that broke off. Records are separate
for each proxy and name; whether a sandbox of that name is still the same one, only its content
says. The objects of the snapshots are in a bare repository of its own, whose alternate is the
person's: no object, ref or index of the person's is written.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_client.errors import InvalidInput, LocalFileError, RepositoryRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from .git import Git
    from .local import Repository

_LEFTOVER_AGE = 24 * 3600.0  # seconds after which the directory of a killed process is removed
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_RECORDS = 4  # of one directory of a sandbox, the newest
_PACKS = 12  # of the store; with more, it is packed again
_UNREACHABLE = "1.day.ago"  # until then, objects that no record needs may be in use


@dataclass(frozen=True)
class Withheld:
    """A tracked file that was left out, as it is in the snapshot."""

    mode: str
    object_id: str
    path: str


@dataclass(frozen=True)
class Sent:
    """What a sandbox has of a repository.

    `head` is the commit that was checked out here, empty if there was none; `snapshot` is the
    working tree as a commit on it, `commit` is what the sandbox has of that: the same, unless
    tracked files were withheld. `boundary` has the commits at which the sandbox's history ends.
    `pulled` is the last commit that came back, and `imported` what it is here.
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

    @property
    def known(self) -> tuple[str, ...]:
        """The commits of the sandbox that nothing is lost of when they are replaced there."""
        return tuple(each for each in (self.commit, self.pulled) if each)

    def after_pull(self, pulled: str, imported: str) -> Sent:
        """Return the record after a pull."""
        return replace(self, pulled=pulled, imported=imported)


@dataclass(frozen=True)
class Stage:
    """A temporary bare repository that sees the objects of others; it is removed after use."""

    git: Git
    path: Path

    @property
    def objects(self) -> Path:
        """The directory of its own objects."""
        return self.path / "objects"

    def end_history_at(self, commits: Iterable[str]) -> None:
        """Let its history end at these commits, as that of a shallow clone does."""
        text = "".join(f"{each}\n" for each in sorted(set(commits)))
        (self.path / "shallow").write_text(text, encoding="ascii")


@dataclass(frozen=True)
class Store:
    """The records and objects of one repository, for the sandboxes of one proxy.

    `clock` returns seconds since 1970.
    """

    repository: Repository
    proxy: str = ""  # its URL
    clock: Callable[[], float] = time.time

    @property
    def path(self) -> Path:
        """The bare repository with the objects of the snapshots."""
        return self.repository.store_dir / "store.git"

    @property
    def git(self) -> Git:
        """Git on the store."""
        return self.repository.git.on(self.path)

    @property
    def identity(self) -> str:
        """A random text by which a sandbox knows this repository again.

        Raises:
            LocalFileError: it cannot be read, or made.
        """
        self._prepare()
        path = self.path / "remote-sandbox-identity"
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, ValueError):
            text = ""
        if not _IDENTITY.fullmatch(text):
            raise LocalFileError(
                f"{path} cannot be read",
                advice=f"Remove {self.repository.store_dir}; then name another directory with"
                " `remote-sandbox push --directory DIR`.",
            )
        return text

    def load(self, sandbox: str, directory: str | None = None) -> Sent | None:
        """Return the newest record of a sandbox, or of one of its directories, if there is any.

        Raises:
            LocalFileError: the record cannot be read.
        """
        for path in self._records(sandbox):
            sent = self._read(path)
            if directory in {None, sent.directory}:
                return sent
        return None

    def find(self, sandbox: str, directory: str, commit: str) -> Sent | None:
        """Return the record of a commit that a directory of a sandbox has, if there is any."""
        path = self._record(sandbox, directory, commit)
        return self._read(path) if path.exists() else None

    def require(self, sandbox: str, directory: str | None = None) -> Sent:
        """Return the newest record of a sandbox, or of one of its directories.

        Raises:
            RepositoryRefused: nothing was sent to it.
        """
        sent = self.load(sandbox, directory)
        if sent is None:
            where = f" to {directory}" if directory else ""
            raise RepositoryRefused(
                f"Nothing of this repository was sent to sandbox '{sandbox}'{where}",
                advice="Send it with {push}, or go to the repository that was sent.",
            )
        return sent

    def all(self) -> list[Sent]:
        """Return the newest record of each sandbox, by the sandboxes' names."""
        folders = (self.repository.store_dir / "sent").glob(f"*.{self._proxy_key}")
        names = sorted(each.name.removesuffix(f".{self._proxy_key}") for each in folders)
        return [sent for sent in map(self.load, names) if sent is not None]

    def save(self, sent: Sent) -> None:
        """Write a record, as a whole or not at all."""
        path = self._record(sent.sandbox, sent.directory, sent.commit)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False
        ) as file:
            json.dump(asdict(sent), file)
        Path(file.name).replace(path)

    def keep(self, stage: Stage, sent: Sent) -> None:
        """Keep the objects of a snapshot for later transfers; then write the record."""
        self._prepare()
        ends = dict.fromkeys((sent.snapshot, sent.commit))
        for number, commit in enumerate(ends):
            move_objects(stage.git, self.git, [commit], [sent.head] if sent.head else [])
            self.git.run("update-ref", "--no-deref", f"{self._refs(sent)}/{number}", commit)
        self.save(sent)
        self._forget_old(sent)
        self._pack_if_needed()

    def is_complete(self, sent: Sent) -> bool:
        """Check that the commits of a record are still here.

        A commit that the person has amended or rebased away is in no branch; git removes it later.
        """
        ids = dict.fromkeys(filter(None, (sent.head, sent.snapshot, sent.commit)))
        lines = "".join(f"{each}^{{tree}}\n" for each in ids)
        output = self.git.run("cat-file", "--batch-check=%(objecttype)", stdin=lines.encode())
        return output.split() == [b"tree"] * len(ids)

    @contextmanager
    def stage(self, git: Git | None = None) -> Generator[Stage]:
        """Make a temporary repository that sees the person's objects and those of the store."""
        self._prepare()
        self._tidy()
        path = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.repository.store_dir))
        try:
            stage = Stage((git or self.repository.git).on(path), path)
            sources = (self.repository.objects, str(self.path / "objects"))
            init_bare(stage.git, path, self.repository.object_format, sources)
            stage.end_history_at(self.repository.shallow)
            yield stage
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _prepare(self) -> None:
        try:
            self.repository.store_dir.mkdir(mode=0o700, exist_ok=True)
            if not self.path.exists():
                self._make()
        except OSError as exc:
            raise LocalFileError(f"{self.path} cannot be made: {exc.strerror}") from exc

    def _make(self) -> None:
        """Make the store, as a whole or not at all: another process may make it, too."""
        path = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.repository.store_dir))
        git = self.repository.git.on(path)
        init_bare(git, path, self.repository.object_format, [self.repository.objects])
        (path / "remote-sandbox-identity").write_text(secrets.token_hex(16), encoding="ascii")
        try:
            path.rename(self.path)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            if not self.path.exists():
                raise

    def _tidy(self) -> None:
        for each in self.repository.store_dir.glob("tmp-*"):
            try:
                is_old = each.stat().st_mtime < self.clock() - _LEFTOVER_AGE
            except FileNotFoundError:  # another process has removed it
                continue
            if is_old:
                shutil.rmtree(each, ignore_errors=True)

    def _forget_old(self, sent: Sent) -> None:
        """Remove all records of a directory but the newest ones."""
        here = [each for each in self._records(sent.sandbox) if _is_beside(each, sent)]
        for path in here[_RECORDS:]:
            self._drop(path)

    def _drop(self, path: Path) -> None:
        refs = f"refs/sent/{path.parent.name}/{path.stem}"
        for number in (0, 1):
            self.git.ask("update-ref", "--no-deref", "-d", f"{refs}/{number}")
        path.unlink(missing_ok=True)

    def _pack_if_needed(self) -> None:
        """Remove what no record needs, if the store has many packs; a failure changes nothing."""
        if len(list((self.path / "objects" / "pack").glob("*.pack"))) > _PACKS:
            old = f"--unpack-unreachable={_UNREACHABLE}"
            self.git.ask("repack", "-A", "-d", "-l", "--quiet", old)
            self.git.ask("prune", f"--expire={_UNREACHABLE}")

    def _read(self, path: Path) -> Sent:
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            withheld = tuple(Withheld(**each) for each in fields.pop("withheld"))
            boundary = tuple(fields.pop("boundary"))
            return Sent(**fields, boundary=boundary, withheld=withheld)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            raise LocalFileError(
                f"The record of what was sent to a sandbox cannot be read: {path}",
                advice="Remove that file; then name another directory with"
                " `remote-sandbox push --directory DIR`.",
            ) from exc

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

    def _refs(self, sent: Sent) -> str:
        path = self._record(sent.sandbox, sent.directory, sent.commit)
        return f"refs/sent/{path.parent.name}/{path.stem}"


def _directory_key(directory: str) -> str:
    return hashlib.sha256(directory.encode()).hexdigest()[:16]


def _is_beside(path: Path, sent: Sent) -> bool:
    """Check whether a record is of the same directory as another one."""
    return path.name.startswith(f"{_directory_key(sent.directory)}-")


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # another process has removed it
        return 0


def init_bare(git: Git, path: Path, object_format: str, alternates: Sequence[str]) -> None:
    """Make a bare repository without templates, which sees the objects of others."""
    kind = [f"--object-format={object_format}"] if object_format != "sha1" else []
    git.at("/").run("init", "--quiet", "--bare", "--template=", *kind)
    lines = b"".join(_quoted(each) + b"\n" for each in alternates)
    (path / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (path / "objects" / "info" / "alternates").write_bytes(lines)


def move_objects(source: Git, target: Git, tips: Sequence[str], known: Sequence[str]) -> None:
    """Copy what `tips` reach, and `known` do not, from one object store to another."""
    lines = "".join([*(f"{each}\n" for each in tips), *(f"^{each}\n" for each in known)])
    with tempfile.TemporaryFile(dir=source.directory) as pack:
        source.run(
            *("pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset"),
            stdin=lines.encode(),
            stdout=pack,
        )
        pack.seek(0)
        target.run("index-pack", "--stdin", stdin=pack)


def _quoted(path: str) -> bytes:
    """Return a path for a file of alternates, quoted as C does where it has odd characters."""
    raw = path.encode("utf-8", "surrogateescape")
    if not raw.startswith((b'"', b"#")) and b"\n" not in raw:
        return raw
    return b'"' + b"".join(_octal(each) for each in raw) + b'"'


def _octal(byte: int) -> bytes:
    plain = 0x20 <= byte < 0x7F and byte not in b'"\\'
    return bytes([byte]) if plain else f"\\{byte:03o}".encode()
