"""Named pipes between the fake and the shells of a sandbox, which may be in a jail."""

import os
from pathlib import Path

from sandbox_fakeproxy.runtime.paths import SandboxPaths

from .descriptors import NonBlockingWriter

_CHANNEL_LIMIT = 64 * 1024 * 1024  # bytes; more than a request may have


def create_pipe(paths: SandboxPaths, name: str) -> Path:
    """Create a named pipe in a sandbox's folder of channels, and return its path.

    Raises:
        OSError: it cannot be created.
    """
    path = paths.channels / name
    os.mkfifo(path, 0o600)
    paths.set_owner(path)
    return path


class Channel:
    """A named pipe from which a shell reads its commands, each field followed by a NUL."""

    def __init__(self, paths: SandboxPaths, name: str) -> None:
        self.name = name
        self.command_path = paths.channel_command_path(name)
        self._path = create_pipe(paths, name)
        # Opened for both ways: neither side waits for the other, and the shell never reads EOF.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._writer = NonBlockingWriter(self._descriptor, _CHANNEL_LIMIT)

    def send(self, *fields: str) -> None:
        """Send fields, now or when the shell reads."""
        self._writer.send(b"".join(field.encode() + b"\0" for field in fields))

    def close(self) -> None:
        """Close and remove the pipe."""
        if self._descriptor >= 0:
            self._writer.close()
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)
