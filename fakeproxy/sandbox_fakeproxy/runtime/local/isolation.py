"""The choice of isolation: a jail for each sandbox where the machine allows it, or none."""

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

from .bubblewrap import ROOTS_UID, SYSTEM, Bubblewrap
from .control_groups import control_groups
from .jail import Jail, JailedMachine
from .limits import DEFAULT_LIMITS, Limits
from .machine import Machine, SharedMachine
from .syscall_filter import readable

_PATIENCE = 10.0  # seconds for the probe
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NO_PROGRAM = "the program bwrap is not on the PATH; install bubblewrap"
_PROBE = "test -w . && test -r /proc/self/stat && test -c /dev/pts/ptmx && setsid true"

Choice = Literal["auto", "required", "none"]
Network = Literal["host", "none"]


class IsolationUnavailable(CannotStart):
    """The isolation that was asked for does not work on this machine."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How commands run; without `jail`, among the processes of this machine."""

    jail: Bubblewrap | None
    sentence: str  # says so when the fake starts

    def paths(self, directory: Path) -> SandboxPaths:
        """Return the place of a sandbox with its files below a directory."""
        if self.jail is None:
            return SandboxPaths(directory)
        owner = ROOTS_UID if os.getuid() == 0 else None
        made = self.jail.made
        return SandboxPaths(directory, isolated=True, owner=owner, system=SYSTEM, created=made)

    def machine(self, paths: SandboxPaths, starter: Executor) -> Machine:
        """Return the machine on which the shells of a place run.

        `starter` has one thread, which starts all processes: the event loop does not stand still
        meanwhile, and the thread lasts as long as they may, as jails end with it.
        """
        if self.jail is None:
            path = os.environ.get("PATH", os.defpath)
            bash = shutil.which("bash") or "/bin/bash"
            return SharedMachine(paths, bash, _environment(paths, bash, path), starter)
        bash = shutil.which("bash", path=_SYSTEM_PATH) or "/bin/bash"
        environment = _environment(paths, bash, _SYSTEM_PATH)
        return JailedMachine(partial(Jail, self.jail, paths, bash, environment, starter))


def choose_isolation(
    choice: Choice,
    *,
    network: Network = "host",
    limits: Limits = DEFAULT_LIMITS,
    hidden: tuple[Path, ...] = (),
) -> Isolation:
    """Return the isolation of a choice; `auto` is a jail if that works on this machine.

    Raises:
        IsolationUnavailable: a jail is required and does not work.
    """
    unjailed = "run as you among this machine's processes, and reach all that you can"
    if choice == "none":
        return Isolation(None, unjailed)
    program = shutil.which("bwrap")
    problem = _NO_PROGRAM if program is None else _problem_of(program)
    if problem is None and program is not None:
        settings = Bubblewrap(program, network == "host", limits, hidden, control_groups(limits))
        reach = "this machine's network" if network == "host" else "no network"
        return Isolation(
            settings, f"run in a jail for each sandbox, with its own files and {reach}"
        )
    if choice == "required":
        raise IsolationUnavailable(
            f"Isolation 'required': {problem}. Mend that, or choose auto or none."
        )
    return Isolation(None, f"{unjailed} ({problem})")


@lru_cache(maxsize=16)
def _problem_of(program: str) -> str | None:
    """Return why jails do not work on this machine; None if they do."""
    with tempfile.TemporaryDirectory(prefix="sandbox-fakeproxy-") as directory:
        settings = Bubblewrap(program, network=True, limits=DEFAULT_LIMITS)
        paths = Isolation(settings, "").paths(Path(directory).resolve())
        try:
            settings.prepare(paths)
            with readable(settings.syscall_filter) as filters:
                subprocess.run(  # noqa: S603  (a program of the machine's own)
                    [*settings.arguments(paths, filters), "/bin/sh", "-c", _PROBE],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=_PATIENCE,
                    check=True,
                    pass_fds=filters,
                )
        except (OSError, subprocess.SubprocessError) as exc:
            said = str(getattr(exc, "stderr", None) or exc).strip()
            return f"bubblewrap does not work on this machine: {said}"
    return None


def _environment(paths: SandboxPaths, bash: str, path: str) -> Mapping[str, str]:
    """Return all that a command may know: nothing of the fake's own, no key and no token."""
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
