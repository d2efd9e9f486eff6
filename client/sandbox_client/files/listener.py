"""The progress of a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_client.errors import FileChanged

from .model import CHANGED

if TYPE_CHECKING:
    from sandbox_client.errors import SandboxError

    from .model import FileEntry, Tree


class CopyListener:
    """Receive the progress of a copy; this class ignores it."""

    def begin(self, tree: Tree, *, into: bool) -> None:
        """Receive a source before anything is copied, and whether the target is a directory."""

    def transferred(self, entry: FileEntry, size: int) -> None:
        """Receive the number of bytes that were copied since the last call.

        It is negative if they are copied again.
        """

    def finished(self, entry: FileEntry) -> None:
        """Receive a file that is complete at its destination."""

    def lost_mode(self, entry: FileEntry) -> None:
        """Receive a finished file that could be executed and cannot at its destination."""

    def completed(self, entry: FileEntry, *, mode_kept: bool) -> None:
        """Report a finished file, and whether it can still be executed."""
        self.finished(entry)
        if not mode_kept:
            self.lost_mode(entry)

    def unanswered(self, seconds: float) -> None:
        """Receive an outage: the seconds for which the copy goes on trying, 0 when it is over."""

    def left_behind(self, pattern: str) -> None:
        """Receive a path of the sandbox, or a pattern, of temporary files that may remain."""

    def left_out(self, entry: FileEntry, reason: str) -> None:
        """Receive a file of a directory that could not be copied, and the reason."""


def reason_of(error: SandboxError) -> str:
    """Return the reason why a file of a directory was left out."""
    if isinstance(error, FileChanged):
        return CHANGED
    return f"it cannot be read{error.message.partition(' cannot be read')[2]}"
