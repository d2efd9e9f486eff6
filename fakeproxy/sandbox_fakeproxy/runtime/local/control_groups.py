"""Limit all processes of a sandbox together by a control group, where the fake may create one.

The groups of a fake that was killed are empty; the next fake removes them.
"""

import logging
import os
import re
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from .limits import Limits

LOG = logging.getLogger("sandbox_fakeproxy.sandboxes")
PREFIX = "sandbox-fakeproxy-"
_CONTROLLERS = {"memory", "pids"}
_MOUNT = re.compile(
    r"^\S+ \S+ \S+ (?P<root>\S+) (?P<mount_point>\S+) .* - "
    r"(?P<kind>cgroup2?) \S+ (?P<options>\S+)$",
    re.MULTILINE,
)
# Joins the groups by their files, the arguments before `--`, and executes those after it.
_JOIN = 'set -e; while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"'
_REMOVAL_ATTEMPTS, _REMOVAL_INTERVAL = 50, 0.02  # seconds
_MIN_STALE_AGE = 60.0  # seconds; the first process of a younger group may not have started yet
_PID_LIMIT = 4 * 1024 * 1024  # the most that Linux accepts
_PROBE_LIMIT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One control group; in version 1 it has a folder for each controller."""

    folders: tuple[Path, ...]

    def join_command(self, command: list[str]) -> list[str]:
        """Return a command that joins the group and then executes another one."""
        files = [str(folder / "cgroup.procs") for folder in self.folders]
        return ["/bin/sh", "-c", _JOIN, "join", *files, "--", *command]

    def remove(self) -> None:
        """Remove the group; its killed processes may take a moment to end."""
        for folder in self.folders:
            for _ in range(_REMOVAL_ATTEMPTS):
                with suppress(OSError):
                    folder.rmdir()
                if not folder.exists():
                    break
                time.sleep(_REMOVAL_INTERVAL)


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """Where groups can be created: parent folders with their controllers, and the version."""

    parents: Mapping[Path, frozenset[str]]
    version: int

    def create(self, limits: Limits) -> ControlGroup:
        """Create a group with the limits of a sandbox.

        Raises:
            OSError: the group cannot be created.
        """
        name = f"{PREFIX}{os.getpid()}-{uuid4().hex}"
        created: list[Path] = []
        try:
            for parent, controllers in self.parents.items():
                folder = parent / name
                folder.mkdir()
                created.append(folder)
                self._write_limits(folder, controllers, limits)
        except OSError:
            ControlGroup(tuple(created)).remove()
            raise
        return ControlGroup(tuple(created))

    def try_create(self, limits: Limits) -> ControlGroup:
        """Create a group; if that fails, log the reason and return a group without limits."""
        try:
            return self.create(limits)
        except OSError as exc:
            LOG.warning("the memory of a sandbox is not limited as a whole: %s", exc)
            return ControlGroup(())

    def _write_limits(self, folder: Path, controllers: frozenset[str], limits: Limits) -> None:
        if "pids" in controllers:
            maximum = limits.processes if limits.processes < _PID_LIMIT else "max"
            (folder / "pids.max").write_text(str(maximum))
        if "memory" not in controllers:
            return
        memory = str(limits.total_memory)
        if self.version == 1:
            (folder / "memory.limit_in_bytes").write_text(memory)
            swap = (folder / "memory.memsw.limit_in_bytes", memory)  # of memory and swap together
        else:
            (folder / "memory.max").write_text(memory)
            swap = (folder / "memory.swap.max", "0")
        with suppress(OSError):  # not every kernel accounts swap
            swap[0].write_text(swap[1])

    def remove_stale(self) -> None:
        """Remove the groups of fakes that have ended; a group with processes stays."""
        for parent in self.parents:
            for folder in parent.glob(f"{PREFIX}*"):
                owner = folder.name.removeprefix(PREFIX).partition("-")[0]
                with suppress(OSError):
                    age = time.clock_gettime(time.CLOCK_REALTIME) - folder.stat().st_mtime
                    if age > _MIN_STALE_AGE and not Path("/proc", owner).exists():
                        folder.rmdir()


@lru_cache(maxsize=16)
def control_groups(limits: Limits) -> ControlGroups | None:
    """Return where this process can create groups with these limits; None if it cannot.

    To find out, a process joins a group.
    """
    try:
        own, mounts = (
            Path("/proc/self", name).read_text(errors="surrogateescape")
            for name in ("cgroup", "mountinfo")
        )
        groups = find_control_groups(own, mounts)
        if groups is None:
            return None
        groups.remove_stale()
        group = groups.create(limits)
    except OSError:
        return None
    try:
        command = group.join_command(["/bin/sh", "-c", ":"])
        subprocess.run(command, timeout=_PROBE_LIMIT, check=True)  # noqa: S603  (our own command)
    except (OSError, subprocess.SubprocessError):
        return None
    finally:
        group.remove()
    return groups


def find_control_groups(own: str, mounts: str) -> ControlGroups | None:
    """Return where a process may create groups that limit memory and processes; None if nowhere.

    `own` and `mounts` are the contents of /proc/self/cgroup and /proc/self/mountinfo.
    """
    paths = {names: path for _, names, path in (line.split(":", 2) for line in own.splitlines())}
    parents: dict[Path, frozenset[str]] = {}
    for mount in _MOUNT.finditer(mounts):
        if mount["kind"] == "cgroup2":
            group = _directory_of(mount, paths.get("", ""))
            parent = None if group is None else _find_delegated(group, Path(mount["mount_point"]))
            if parent is not None:
                return ControlGroups({parent: frozenset(_CONTROLLERS)}, version=2)
        else:
            # Without those that were found already: a hierarchy may be mounted twice.
            missing = _CONTROLLERS.difference(*parents.values())
            parents |= _find_version_1(mount, paths, missing)
    found = frozenset[str]().union(*parents.values())
    return ControlGroups(parents, version=1) if found >= _CONTROLLERS else None


def _find_version_1(
    mount: re.Match[str], paths: Mapping[str, str], missing: set[str]
) -> dict[Path, frozenset[str]]:
    """Return the process's group in a mount of version 1, if it has any missing controllers."""
    controllers = missing & set(mount["options"].split(","))
    names = next((names for names in paths if controllers & set(names.split(","))), None)
    group = None if names is None else _directory_of(mount, paths[names])
    if group is None or not os.access(group, os.W_OK):
        return {}
    return {group: frozenset(controllers)}


def _directory_of(mount: re.Match[str], path: str) -> Path | None:
    """Return the directory of a group by its path; None if it is outside the mount."""
    with suppress(ValueError):
        return Path(mount["mount_point"]) / Path(path).relative_to(mount["root"])
    return None


def _find_delegated(group: Path, top: Path) -> Path | None:
    """Return `group` or the nearest group above it in which groups with limits can be created."""
    for folder in (group, *group.parents):
        with suppress(OSError):
            enabled = set((folder / "cgroup.subtree_control").read_text().split())
            files = (folder, folder / "cgroup.procs")
            if enabled >= _CONTROLLERS and all(os.access(file, os.W_OK) for file in files):
                return folder
        if folder == top:
            break
    return None
