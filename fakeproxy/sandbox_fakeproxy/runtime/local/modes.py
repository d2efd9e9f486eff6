"""The modes in /sandbox on the deployed proxy, where it is a bucket: they never change."""

import os
import stat
import struct
import sys
from contextlib import closing, suppress
from pathlib import Path

from sandbox_fakeproxy.clock import steady
from sandbox_fakeproxy.runtime.walk import set_mode, walk

FILE = 0o666
DIRECTORY = 0o777

_MODES = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY}
_LIMIT = 10.0  # seconds; commands that make files all the time could have a walk go on for ever

# The access control list of all that is made in a directory, where no umask matters then. It allows
# the owner, the group and others everything, so the mode is the one that a program asks for.
_ENTRIES = [(0x01, 7), (0x04, 7), (0x20, 7)]
_NO_ID = 0xFFFFFFFF
_DEFAULT_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, allowed, _NO_ID) for tag, allowed in _ENTRIES
)


def restore_modes(folder: Path) -> None:
    """Give each file and directory the mode that it has on the deployed proxy.

    Where the file system has access control lists, new files have it from their start. What cannot
    be changed keeps its mode, and so does what is not reached within some seconds.
    """
    deadline = steady() + _LIMIT
    with closing(walk(folder)) as directories:
        for number, (directory, entries) in enumerate(directories):
            if number == 0:
                _prepare(directory)
            for entry in entries:
                if steady() > deadline:
                    return
                _restore(entry, directory)


def _prepare(folder: int) -> None:
    with suppress(OSError):
        os.fchmod(folder, DIRECTORY)
    if sys.platform == "linux":
        with suppress(OSError):  # the file system has no such lists
            os.setxattr(folder, "system.posix_acl_default", _DEFAULT_LIST)


def _restore(entry: os.DirEntry[str], directory: int) -> None:
    with suppress(OSError):
        mode = entry.stat(follow_symlinks=False).st_mode
        kind = stat.S_IFMT(mode)
        wanted = _MODES.get(kind)
        if wanted is not None and stat.S_IMODE(mode) != wanted:
            set_mode(entry.name, directory, kind, wanted)
