"""File modes in /sandbox as on the deployed proxy, where it is a bucket: they never change."""

import os
import stat
import struct
import sys
from contextlib import closing, suppress
from pathlib import Path

from sandbox_fakeproxy.clock import steady
from sandbox_fakeproxy.runtime.walk import set_mode, walk

_DIRECTORY_MODE = 0o777
_MODES = {stat.S_IFREG: 0o666, stat.S_IFDIR: _DIRECTORY_MODE}
_TIME_LIMIT = 10.0  # seconds; the walk could go on for ever while commands create files

# The default access control list of a directory: new files get it, and the umask has no effect.
# It allows the owner, the group and others everything: a file gets the mode that its program asks
# for.
_ENTRIES = [(0x01, 7), (0x04, 7), (0x20, 7)]
_NO_ID = 0xFFFFFFFF
_DEFAULT_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, _NO_ID) for tag, permissions in _ENTRIES
)


def restore_modes(folder: Path) -> None:
    """Set each file and directory to the mode that it has on the deployed proxy.

    Where the file system has access control lists, later files are created with that mode. Files
    that cannot be changed, or are not reached within some seconds, keep their modes.
    """
    deadline = steady() + _TIME_LIMIT
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
        os.fchmod(folder, _DIRECTORY_MODE)
    if sys.platform == "linux":
        with suppress(OSError):  # the file system does not support such lists
            os.setxattr(folder, "system.posix_acl_default", _DEFAULT_LIST)


def _restore(entry: os.DirEntry[str], directory: int) -> None:
    with suppress(OSError):
        mode = entry.stat(follow_symlinks=False).st_mode
        kind = stat.S_IFMT(mode)
        deployed_mode = _MODES.get(kind)
        if deployed_mode is not None and stat.S_IMODE(mode) != deployed_mode:
            set_mode(entry.name, directory, kind, deployed_mode)
