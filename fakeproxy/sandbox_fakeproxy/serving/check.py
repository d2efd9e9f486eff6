"""Report which restrictions apply to the commands of sandboxes on this machine."""

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

_NPROC_PER_NAMESPACE = (5, 14)  # since this Linux, RLIMIT_NPROC counts per user namespace
_TIMEOUT = 10.0  # seconds
_COLUMN = 25  # width of the names
_WIDTH = 100


def check() -> int:
    """Print the report, and return the exit code: 0 if jails work on this machine, 1 otherwise."""
    jail = choose_isolation("auto").jail
    lines = _lines_without_jail() if jail is None else _lines_with_jail(jail)
    print("Restrictions of a sandbox's commands on this machine:\n")
    width = min(shutil.get_terminal_size().columns, _WIDTH)
    for name, text in lines:
        indent = " " * (_COLUMN + 2)
        print(textwrap.fill(f"  {name:{_COLUMN}}{text}", width, subsequent_indent=indent))
    return 1 if jail is None else 0


def _lines_with_jail(jail: Bubblewrap) -> Iterator[tuple[str, str]]:
    yield "jail", f"works, with {_version_of(jail.program)}"
    yield from _access_lines(jail)
    yield from _limit_lines(jail)


def _access_lines(jail: Bubblewrap) -> Iterator[tuple[str, str]]:
    yield (
        "files",
        (
            "enforced: writes to its own /sandbox, /home/gem and /tmp, reads the system's"
            " directories; sees no home directory, no state of the fake and no other sandbox"
        ),
    )
    yield "devices", "enforced: a terminal, null, zero, full, random and its own shared memory"
    yield "processes", "enforced: sees and signals those of its sandbox; they end with the fake"
    outer_user = f"user {HOST_UID}" if os.getuid() == 0 else "you"
    yield "user", f"enforced: gem, without privileges; outside the jail it is {outer_user}"
    yield (
        "network",
        (
            "not enforced without --sandbox-network none: reaches the network that you reach, and"
            " abstract Unix sockets"
        ),
    )
    if jail.syscall_filter is None:
        yield "keys", f"not enforced on {platform.machine()}: uses the kernel's keyrings"
    else:
        yield "keys", "enforced: cannot use the kernel's keyrings or see keys in them"


def _limit_lines(jail: Bubblewrap) -> Iterator[tuple[str, str]]:
    limits = DEFAULT_LIMITS
    yield "number of processes", _describe_process_limit(limits.processes)
    yield "memory and file size", "enforced for each process"
    if jail.groups is None:
        yield "total memory", "not enforced: control groups are not writable here"
    else:
        gib = limits.total_memory // 1024**3
        yield "total memory", f"enforced: {gib} GiB for a sandbox, by a control group"
    yield "processor time", f"enforced: {limits.cpu:,} s for each process"
    yield "disk space", "checked every few seconds; above the limit, all processes are killed"


def _describe_process_limit(limit: int) -> str:
    if _linux_version() >= _NPROC_PER_NAMESPACE:
        return f"enforced: at most {limit:,} in a sandbox"
    if os.getuid() == 0:
        return f"enforced: at most {limit:,}, but on this Linux in all sandboxes together"
    return f"at most {limit:,} in a sandbox; on this Linux, yours outside count too"


def _lines_without_jail() -> Iterator[tuple[str, str]]:
    yield "jail", choose_isolation("auto").description
    yield "files, devices, network", "not enforced: a command has your access"
    yield "processes", "not enforced: a command sees and signals yours and the fake's"
    yield "limits", "not enforced, except disk space, which is checked every few seconds"
    yield (
        "the end of the fake",
        "kills every process that has not changed both its HOME and its process session",
    )


def _version_of(program: str) -> str:
    result = subprocess.run(  # noqa: S603  (a program of this machine)
        [program, "--version"], capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    return result.stdout.strip() or program


def _linux_version() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
