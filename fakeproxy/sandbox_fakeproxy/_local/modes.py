"""The modes in /sandbox on the deployed proxy: it is a bucket there, whose files have none."""

import os
import stat
import struct
from contextlib import suppress
from pathlib import Path

FILE = 0o666
DIRECTORY = 0o777

# The access control list of all that is made in a directory, where no umask matters then. It allows
# the owner, the group and others everything, so the mode is the one that a program asks for.
_ENTRIES = [(0x01, 7), (0x04, 7), (0x20, 7)]
_NO_ID = 0xFFFFFFFF
_DEFAULT_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, allowed, _NO_ID) for tag, allowed in _ENTRIES
)


def restore_modes(folder: Path) -> None:
    """Give each file and directory the mode that it has on the deployed proxy, whatever chmod did.

    Where the file system has access control lists, new files have it from their start.
    """
    if hasattr(os, "setxattr"):
        with suppress(OSError):  # there are none, or the folder is not there yet
            os.setxattr(folder, "system.posix_acl_default", _DEFAULT_LIST)
    for _, directories, files, descriptor in os.fwalk(folder):
        os.fchmod(descriptor, DIRECTORY)
        for name in directories:  # or the walk could not enter them
            _set_mode(name, descriptor, stat.S_IFDIR, DIRECTORY)
        for name in files:
            _set_mode(name, descriptor, stat.S_IFREG, FILE)


def _set_mode(name: str, directory: int, kind: int, mode: int) -> None:
    """Set the mode of a file of that kind, and never of the target of a link."""
    with suppress(OSError):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != kind or stat.S_IMODE(found.st_mode) == mode:
            return
        if os.chmod in os.supports_follow_symlinks:
            os.chmod(name, mode, dir_fd=directory, follow_symlinks=False)
            return
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
        try:
            if stat.S_IFMT(os.fstat(descriptor).st_mode) == kind:
                Path(f"/proc/self/fd/{descriptor}").chmod(mode)
        finally:
            os.close(descriptor)
