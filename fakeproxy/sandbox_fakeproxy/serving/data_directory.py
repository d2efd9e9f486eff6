"""Where a person's fake keeps its state: one directory, used by one fake at a time."""

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
    """The state cannot be kept where it was asked to be."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The directory of one fake."""

    path: Path

    @property
    def database(self) -> Path:
        """Users, keys and sandboxes."""
        return self.path / "state.sqlite3"

    @property
    def sandboxes(self) -> Path:
        """A directory for each sandbox."""
        return self.path / "sandboxes"

    @property
    def admin_key_file(self) -> Path:
        """The admin key, if it was made here."""
        return self.path / "admin.key"

    def admin_key(self, ids: IdGenerator) -> tuple[str, bool]:
        """Return the key that is kept here, and whether it was made just now.

        Raises:
            DataUnusable: it can neither be read nor written.
        """
        with _failures_named(f"The admin key's file {self.admin_key_file}"):
            if kept := self._kept_admin_key():
                self.admin_key_file.chmod(0o600)  # it may have been changed
                return kept, False
            made = f"admin_{ids.token()}"
            with _private_file(self.admin_key_file) as file:
                os.write(file, f"{made}\n".encode())
            return made, True

    def _kept_admin_key(self) -> str:
        try:
            return self.admin_key_file.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return ""


@contextmanager
def opened(path: Path | None) -> Generator[DataDirectory]:
    """Hold the directory `path`, made if need be; without one, a temporary directory.

    Raises:
        DataUnusable: it cannot be written to, or another fake holds it.
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
    what = f"The data directory {data.path}"
    with _failures_named(what):
        data.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # The lock goes with the process, however that ends.
        _lock(lock, data.path)
        with _failures_named(what):
            data.sandboxes.mkdir(mode=0o700, exist_ok=True)
            with _private_file(data.database, os.O_APPEND):
                pass  # before SQLite makes it readable for all users
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
def _failures_named(what: str) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        raise DataUnusable(
            f"{what} cannot be used: {exc.strerror}. Choose another directory with --data."
        ) from exc


@contextmanager
def _private_file(path: Path, flags: int = os.O_TRUNC) -> Generator[int]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    try:
        os.fchmod(file, 0o600)  # it may have been there, for others to read
        yield file
    finally:
        os.close(file)
