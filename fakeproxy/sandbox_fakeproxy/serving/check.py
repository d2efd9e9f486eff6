"""Report which limits hold for the commands of sandboxes on this machine."""

import os
import platform
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator

from sandbox_fakeproxy.runtime.local.bubblewrap import HOST_UID, Bubblewrap
from sandbox_fakeproxy.runtime.local.isolation import choose_isolation
from sandbox_fakeproxy.runtime.local.limits import DEFAULT_LIMITS

_COUNTS_IN_A_NAMESPACE = (5, 14)  # the version of Linux from which on RLIMIT_NPROC does
_TIMEOUT = 10.0  # seconds
_COLUMN = 25  # of the texts
_WIDTH = 100


def check() -> int:
    """Print the report; return 0 if jails work on this machine, or else 1."""
    jail = choose_isolation("auto").jail
    lines = _without_jail() if jail is None else _in_a_jail(jail)
    print("What holds for the commands of a sandbox on this machine:\n")
    width = min(shutil.get_terminal_size().columns, _WIDTH)
    for name, text in lines:
        indent = " " * (_COLUMN + 2)
        print(textwrap.fill(f"  {name:{_COLUMN}}{text}", width, subsequent_indent=indent))
    return 1 if jail is None else 0


def _in_a_jail(jail: Bubblewrap) -> Iterator[tuple[str, str]]:
    limits = DEFAULT_LIMITS
    yield "jail", f"works, with {_version_of(jail.program)}"
    yield (
        "files",
        (
            "enforced: writes to its own /sandbox, /home/gem and /tmp, reads the system's folders;"
            " sees no home, no state of the fake and no other sandbox"
        ),
    )
    yield "devices", "enforced: a terminal, null, zero, full, random and its own shared memory"
    yield "processes", "enforced: sees and signals those of its sandbox; they end with the fake"
    outside = f"user {HOST_UID}" if os.getuid() == 0 else "you"
    yield "user", f"enforced: gem, without privileges; to the rest of the machine it is {outside}"
    yield (
        "network",
        (
            "not enforced, unless with --sandbox-network none: it reaches what you reach, also by"
            " abstract Unix sockets"
        ),
    )
    if jail.syscall_filter is None:
        yield "keys", f"not enforced on {platform.machine()}: it uses the kernel's keyrings"
    else:
        yield "keys", "enforced: it has no keyrings of the kernel, and sees no keys there"
    yield "number of processes", _number_of_processes(limits.processes)
    yield "memory, files' size", "enforced for each process"
    if jail.groups is None:
        yield "memory together", "not enforced: no control group may be written here"
    else:
        gib = limits.total_memory // 1024**3
        yield "memory together", f"enforced: {gib} GiB for a sandbox, by a control group"
    yield "processor", f"enforced: {limits.cpu:,} s for each process"
    yield "room on disk", "watched every few seconds; over the limit, all that runs is killed"


def _number_of_processes(limit: int) -> str:
    if _linux_version() >= _COUNTS_IN_A_NAMESPACE:
        return f"enforced: at most {limit:,} in a sandbox"
    if os.getuid() == 0:
        return f"enforced: at most {limit:,}, but on this Linux in all sandboxes together"
    return f"at most {limit:,} in a sandbox; on this Linux, yours outside count too"


def _without_jail() -> Iterator[tuple[str, str]]:
    yield "jail", choose_isolation("auto").description
    yield "files, devices, network", "not enforced: it reads, writes and reaches what you do"
    yield "processes", "not enforced: it sees and signals yours, and the fake"
    yield "limits", "not enforced, but for the room on disk, which is watched"
    yield "the end of the fake", "ends all that has not shed its HOME and its process session"


def _version_of(program: str) -> str:
    done = subprocess.run(  # noqa: S603  (a program of the machine's own)
        [program, "--version"], capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    return done.stdout.strip() or program


def _linux_version() -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", platform.release())[:2])
