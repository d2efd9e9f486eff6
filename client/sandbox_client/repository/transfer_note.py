"""The note by which a push or a pull goes on with the bundle of one that broke off."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO

from sandbox_client.files.local import local_errors


class TransferNote:
    """A file in the folder of a bundle that says where in the sandbox the bundle, or a part, is.

    It stays if the process is killed, for the next one to go on. Only the process that has locked
    it uses the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[str] | None = None

    def lock(self) -> bool:
        """Return whether this process has the folder; it must exist. The lock ends with it."""
        path = self.folder / "note"
        if self._file is None:
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                file = stack.enter_context(path.open("a+", encoding="ascii", errors="replace"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                    os.utime(self.folder)  # a day begins anew
                    self._file = file  # no other process has removed it before it was locked
                    stack.pop_all()
        return self.is_mine

    def close(self) -> None:
        """Let another process have the folder."""
        if self._file:
            self._file.close()
            self._file = None

    @property
    def is_mine(self) -> bool:
        """Whether this process has locked it."""
        return self._file is not None

    def read(self) -> str:
        """Return the text, empty if there is none."""
        if self._file is None:
            return ""
        self._file.seek(0)
        return self._file.read()

    def write(self, text: str) -> None:
        """Replace the text."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.write(text)
            self._file.flush()


def incoming_note(store_dir: Path, *key: str) -> TransferNote:
    """Return the note in the folder for a bundle that is fetched, of which a part may be there.

    While another process has that folder, it is a new one.
    """
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    folder = store_dir / f"tmp-incoming-{digest}"
    with local_errors(str(folder), "created"):
        folder.mkdir(mode=0o700, exist_ok=True)
        note = TransferNote(folder)
        if not note.lock():
            note = TransferNote(Path(tempfile.mkdtemp(prefix="tmp-", dir=store_dir)))
            note.lock()
    return note
