"""The data directory of `serve`, which one fake at a time may use."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox_fakeproxy.errors import CannotStart
from sandbox_fakeproxy.ids import IdGenerator
from sandbox_fakeproxy.runtime.cleanup.temporary import TemporaryDirectory


class DataUnusable(CannotStart):
    """The data directory cannot be used."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The paths in a data directory."""

    path: Path

    @property
    def database(self) -> Path:
        """The SQLite file of users, keys and sandboxes."""
        return self.path / "state.sqlite3"

    @property
    def sandboxes(self) -> Path:
        """The parent of the sandboxes' directories."""
        return self.path / "sandboxes"

    @property
    def admin_key_file(self) -> Path:
        """The file of a generated admin key."""
        return self.path / "admin.key"

    def admin_key(self, ids: IdGenerator) -> tuple[str, bool]:
        """Read the stored admin key, or generate and store one.

        Returns:
            The key, and whether it is new.

        Raises:
            DataUnusable: the file cannot be read or written.
        """
        with _reported_as_unusable(f"The admin key's file {self.admin_key_file}"):
            if key := self._read_admin_key():
                self.admin_key_file.chmod(0o600)  # its mode may have been changed
                return key, False
            created = f"admin_{ids.token()}"
            with _private_file(self.admin_key_file) as file:
                os.write(file, f"{created}\n".encode())
            return created, True

    def _read_admin_key(self) -> str:
        try:
            return self.admin_key_file.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return ""


@contextmanager
def open_data_directory(path: Path | None) -> Generator[DataDirectory]:
    """Create and lock the data directory `path`; without a path, use a temporary directory.

    Raises:
        DataUnusable: it cannot be written to, or another fake uses it.
    """
    if path is None:
        temporary = TemporaryDirectory()
        temporary.guard()
        try:
            yield DataDirectory(temporary.path)
        finally:
            temporary.remove()
        return
    data = DataDirectory(path.expanduser().absolute())
    subject = f"The data directory {data.path}"
    with _reported_as_unusable(subject):
        data.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # The kernel releases the lock when the process ends, even if it is killed.
        _lock(lock, data.path)
        with _reported_as_unusable(subject):
            data.sandboxes.mkdir(mode=0o700, exist_ok=True)
            with _private_file(data.database, os.O_APPEND):
                pass  # create it first: SQLite would make it readable for all users
        yield data
    finally:
        os.close(lock)


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise DataUnusable(
            f"The data directory {path} is in use by another sandbox-fakeproxy."
            " Stop that one, or choose another with --data, or use --ephemeral."
        ) from exc


@contextmanager
def _reported_as_unusable(subject: str) -> Generator[None]:
    """Raise DataUnusable, with a message about `subject`, instead of OSError."""
    try:
        yield
    except OSError as exc:
        raise DataUnusable(
            f"{subject} cannot be used: {exc.strerror}. Choose another directory with --data."
        ) from exc


@contextmanager
def _private_file(path: Path, flags: int = os.O_TRUNC) -> Generator[int]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    try:
        os.fchmod(file, 0o600)  # an existing file may be readable for others
        yield file
    finally:
        os.close(file)
