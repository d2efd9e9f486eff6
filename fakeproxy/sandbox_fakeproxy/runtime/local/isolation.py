"""The isolation of sandboxes: a jail for each where the machine supports it, or none."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from sandbox_fakeproxy.errors import CannotStart
from sandbox_fakeproxy.runtime.paths import HOME, SCRATCH, SandboxPaths

from .bubblewrap import HOST_UID, SYSTEM_PATHS, Bubblewrap
from .control_groups import control_groups
from .jail import Jail, JailedMachine
from .limits import DEFAULT_LIMITS, Limits
from .machine import Machine, SharedMachine
from .syscall_filter import filter_descriptors

_PROBE_TIMEOUT = 10.0  # seconds
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NO_BUBBLEWRAP = "the program bwrap is not on the PATH; install bubblewrap"
_PROBE = "test -w . && test -r /proc/self/stat && test -c /dev/pts/ptmx && setsid true"

IsolationMode = Literal["auto", "required", "none"]
Network = Literal["host", "none"]


class IsolationUnavailable(CannotStart):
    """The required isolation does not work on this machine."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How commands run: in a jail, or, if `jail` is None, among the processes of this machine."""

    jail: Bubblewrap | None
    description: str  # continues "Commands" in the banner

    def paths(self, directory: Path) -> SandboxPaths:
        """Return the paths of a sandbox with its files below a directory."""
        if self.jail is None:
            return SandboxPaths(directory)
        return SandboxPaths(
            directory,
            isolated=True,
            owner=HOST_UID if os.getuid() == 0 else None,
            system=SYSTEM_PATHS,
            created=self.jail.private_directories,
        )

    def machine(self, paths: SandboxPaths, starter: Executor) -> Machine:
        """Return the machine that runs the shells of a sandbox.

        `starter` has one thread, which starts all processes: it does not block the event loop, and
        it lasts as long as the runtime, as jails end with the thread that started them.
        """
        if self.jail is None:
            path = os.environ.get("PATH", os.defpath)
            bash = shutil.which("bash") or "/bin/bash"
            return SharedMachine(paths, bash, _environment(paths, bash, path), starter)
        bash = shutil.which("bash", path=_SYSTEM_PATH) or "/bin/bash"
        environment = _environment(paths, bash, _SYSTEM_PATH)
        return JailedMachine(partial(Jail, self.jail, paths, bash, environment, starter))


def choose_isolation(
    mode: IsolationMode,
    *,
    network: Network = "host",
    limits: Limits = DEFAULT_LIMITS,
    hidden: tuple[Path, ...] = (),
    executes_work: bool = True,
) -> Isolation:
    """Return the isolation for a mode; `auto` means a jail if that works on this machine.

    `hidden` are folders of the fake that jails must not show. Without `executes_work`, they execute
    no file in /sandbox, if that can be prevented on this machine.

    Raises:
        IsolationUnavailable: a jail is required and does not work.
    """
    without_jail = "run as you among this machine's processes, and reach all that you can"
    if mode == "none":
        return Isolation(None, without_jail)
    program = shutil.which("bwrap")
    problem = _NO_BUBBLEWRAP if program is None else _find_problem(program)
    if problem is None and program is not None:
        executes_work = executes_work or _find_problem(program, executes_work=False) is not None
        groups = control_groups(limits)
        bubblewrap = Bubblewrap(
            program, network == "host", limits, hidden, groups, executes_work=executes_work
        )
        reach = "this machine's network" if network == "host" else "no network"
        return Isolation(
            bubblewrap, f"run in a jail for each sandbox, with its own files and {reach}"
        )
    if mode == "required":
        raise IsolationUnavailable(
            f"Isolation 'required': {problem}. Fix that, or choose auto or none."
        )
    return Isolation(None, f"{without_jail} ({problem})")


@lru_cache(maxsize=16)
def _find_problem(program: str, *, executes_work: bool = True) -> str | None:
    """Return why jails do not work on this machine; None if they do."""
    with tempfile.TemporaryDirectory(prefix="sandbox-fakeproxy-") as directory:
        bubblewrap = Bubblewrap(
            program, network=True, limits=DEFAULT_LIMITS, executes_work=executes_work
        )
        paths = Isolation(bubblewrap, "").paths(Path(directory).resolve())
        try:
            bubblewrap.prepare(paths)
            with filter_descriptors(bubblewrap.syscall_filter) as filters:
                subprocess.run(  # noqa: S603  (a program of the machine's own)
                    [*bubblewrap.command(paths, filters), "/bin/sh", "-c", _PROBE],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=_PROBE_TIMEOUT,
                    check=True,
                    pass_fds=filters,
                )
        except (OSError, subprocess.SubprocessError) as exc:
            reason = str(getattr(exc, "stderr", None) or exc).strip()
            return f"bubblewrap does not work on this machine: {reason}"
    return None


def _environment(paths: SandboxPaths, bash: str, path: str) -> Mapping[str, str]:
    """Return the whole environment of commands: nothing of the fake's, no key and no token."""
    return {
        "HOME": paths.command_path(HOME),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "LOGNAME": "gem",
        "PAGER": "cat",  # no person reads the terminal page by page
        "PATH": path,
        "SHELL": bash,
        "TERM": "dumb",
        "TMPDIR": SCRATCH if paths.isolated else str(paths.scratch),
        "USER": "gem",
    }
