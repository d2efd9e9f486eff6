"""The directory `.git/remote-sandbox` of a repository: the records of pushes, and their objects.

A later transfer sends only what is new since the record, and a pull compares the work with it. The
objects of the snapshots are in a bare repository of its own, whose alternate is the person's: no
object, ref or index of the person's is written.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_client.errors import LocalFileError, RepositoryRefused

from .records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from .git import Git
    from .records import Sent

_LEFTOVER_AGE = 24 * 3600.0  # seconds after which the directory of a killed process is removed
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_IDENTITY_FILE, _PLACE_FILE = "remote-sandbox-identity", "remote-sandbox-place"
_PACKS = 12  # of the store; with more, it is packed again
_UNREACHABLE = "1.day.ago"  # until then, objects that no record needs may be in use


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
class Store(Records):
    """The records of one repository for one proxy, with the objects that they need.

    `clock` returns seconds since 1970.
    """

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

        A copy of the repository, such as one of `cp -r`, gets another one while the original is
        still at its place.

        Raises:
            LocalFileError: it cannot be read, or made.
        """
        self._prepare()
        text = _read_text(self.path / _IDENTITY_FILE)
        if not _IDENTITY.fullmatch(text):
            raise LocalFileError(
                f"{self.path / _IDENTITY_FILE} cannot be read",
                advice=f"Remove {self.repository.store_dir}; then name another directory with"
                " {push --directory DIR}.",
            )
        return text

    def keep(self, stage: Stage, sent: Sent) -> None:
        """Keep the objects of a snapshot for later transfers; then write the record."""
        self._prepare()
        ends = dict.fromkeys((sent.snapshot, sent.commit))
        for number, commit in enumerate(ends):
            move_objects(stage.git, self.git, [commit], [sent.head] if sent.head else [])
            self.git.run("update-ref", "--no-deref", f"{self.refs(sent)}/{number}", commit)
        self.save(sent)
        self._pack_if_needed()

    def forget_before(self, sent: Sent) -> None:
        """Remove all records of a directory but the newest ones, with their refs.

        Call it for a push that has arrived: after one that was refused, an older one is needed.
        """
        for refs in self.forget_old(sent):
            for number in (0, 1):
                self.git.ask("update-ref", "--no-deref", "-d", f"{refs}/{number}")

    def is_complete(self, sent: Sent) -> bool:
        """Check that the commits of a record are still here.

        A commit that the person has amended or rebased away is in no branch; git removes it later.
        """
        ids = dict.fromkeys(filter(None, (sent.head, sent.snapshot, sent.commit)))
        lines = "".join(f"{each}^{{tree}}\n" for each in ids)
        output = self.git.run("cat-file", "--batch-check=%(objecttype)", stdin=lines.encode())
        return output.split() == [b"tree"] * len(ids)

    def require_whole(self, stage: Stage, sent: Sent, tip: str) -> None:
        """Check that the work in `stage` brings back all that is missing here of what was sent.

        Raises:
            RepositoryRefused: older commits are missing here, too.
        """
        stage.end_history_at(self.repository.shallow)
        lines = "".join(f"{each}\n" for each in [tip, *(f"^{t}" for t in self.repository.tips)])
        words = ("rev-list", "--objects", "--quiet", "--stdin")
        if stage.git.ask(*words, stdin=lines.encode()).code != 0:
            raise base_is_gone(sent)

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
            elif _read_text(self.path / _PLACE_FILE) != str(self.path):
                self._adapt_to_place()
        except OSError as exc:
            raise LocalFileError(f"{self.path} cannot be made: {exc.strerror}") from exc

    def _adapt_to_place(self) -> None:
        """Let a store that was moved or copied find its objects; give a copy its own identity."""
        identity = _read_text(self.path / _IDENTITY_FILE)
        before = _read_text(self.path / _PLACE_FILE)
        if before and _read_text(Path(before, _IDENTITY_FILE)) == identity:
            identity = secrets.token_hex(16)
        _write_alternates(self.path, [self.repository.objects])
        if _IDENTITY.fullmatch(identity):
            _write_identity(self.path, identity, self.path)

    def _make(self) -> None:
        """Make the store, as a whole or not at all: another process may make it, too."""
        path = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.repository.store_dir))
        git = self.repository.git.on(path)
        init_bare(git, path, self.repository.object_format, [self.repository.objects])
        _write_identity(path, secrets.token_hex(16), self.path)
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

    def _pack_if_needed(self) -> None:
        """Remove unneeded objects if the store has many packs; a failure changes nothing."""
        if len(list((self.path / "objects" / "pack").glob("*.pack"))) > _PACKS:
            old = f"--unpack-unreachable={_UNREACHABLE}"
            self.git.ask("repack", "-A", "-d", "-l", "--quiet", old)
            self.git.ask("prune", f"--expire={_UNREACHABLE}")


def base_is_gone(sent: Sent) -> RepositoryRefused:
    """Return the error for work on a commit that is not here any more and cannot be fetched."""
    return RepositoryRefused(
        f"The commit {sent.head[:10]}, on which the work in the sandbox is based, is no longer in"
        " this repository",
        advice="It was amended or rebased away, and git has removed it since. Fetch it again if a"
        " remote has it. Else copy the files with `remote-sandbox cp`, remove the directory there"
        " with {run}, and send it again with {push}.",
    )


def _read_text(path: Path) -> str:
    """Return the content of a file, or an empty string if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _write_identity(path: Path, identity: str, place: Path) -> None:
    """Write the identity of a store at `path`, and its own path, by which a copy is found."""
    for name, text in ((_IDENTITY_FILE, identity), (_PLACE_FILE, str(place))):
        part = path / f"{name}.{secrets.token_hex(4)}"
        part.write_text(text, encoding="utf-8", errors="surrogateescape")
        part.replace(path / name)


def init_bare(git: Git, path: Path, object_format: str, alternates: Sequence[str]) -> None:
    """Make a bare repository without templates, which sees the objects of others."""
    kind = [f"--object-format={object_format}"] if object_format != "sha1" else []
    git.at("/").run("init", "--quiet", "--bare", "--template=", *kind)
    (path / "objects" / "info").mkdir(parents=True, exist_ok=True)
    _write_alternates(path, alternates)


def _write_alternates(path: Path, alternates: Sequence[str]) -> None:
    lines = b"".join(_quoted(each) + b"\n" for each in alternates)
    (path / "objects" / "info" / "alternates").write_bytes(lines)


def move_objects(source: Git, target: Git, tips: Sequence[str], known: Sequence[str]) -> None:
    """Copy the objects that `tips` reach, and `known` do not, to another object store."""
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
