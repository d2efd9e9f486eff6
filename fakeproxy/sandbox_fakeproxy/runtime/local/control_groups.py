"""Control groups, which limit all processes of a sandbox together, where the fake may make them.

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
    r"^\S+ \S+ \S+ (?P<root>\S+) (?P<at>\S+) .* - (?P<kind>cgroup2?) \S+ (?P<options>\S+)$",
    re.MULTILINE,
)
# Joins the groups whose files come before `--`, and executes the command behind it.
_JOIN = 'set -e; while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"'
_TRIES, _BETWEEN_TRIES = 50, 0.02  # of a removal, in seconds
_NEWEST = 60.0  # seconds; a younger group may not have its process yet
_MOST_PROCESSES = 4 * 1024 * 1024  # that Linux can count
_PROBE_LIMIT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One group: with version 1, a folder for each controller."""

    folders: tuple[Path, ...]

    def joining(self, command: list[str]) -> list[str]:
        """Return a command that joins the group and becomes another one."""
        files = [str(each / "cgroup.procs") for each in self.folders]
        return ["/bin/sh", "-c", _JOIN, "join", *files, "--", *command]

    def remove(self) -> None:
        """Remove it when its processes have been killed; it takes them a moment to be gone."""
        for folder in self.folders:
            for _ in range(_TRIES):
                with suppress(OSError):
                    folder.rmdir()
                if not folder.exists():
                    break
                time.sleep(_BETWEEN_TRIES)


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """Where groups can be made: the controllers of each parent folder, and their version."""

    parents: Mapping[Path, frozenset[str]]
    version: int

    def make(self, limits: Limits) -> ControlGroup:
        """Make a group with the limits of a sandbox.

        Raises:
            OSError: it cannot be made here.
        """
        name = f"{PREFIX}{os.getpid()}-{uuid4().hex}"
        made: list[Path] = []
        try:
            for parent, controllers in self.parents.items():
                folder = parent / name
                folder.mkdir()
                made.append(folder)
                self._limit(folder, controllers, limits)
        except OSError:
            ControlGroup(tuple(made)).remove()
            raise
        return ControlGroup(tuple(made))

    def try_to_make(self, limits: Limits) -> ControlGroup:
        """Make a group, or log why not and return one that limits nothing."""
        try:
            return self.make(limits)
        except OSError as exc:
            LOG.warning("the memory of a sandbox is not limited as a whole: %s", exc)
            return ControlGroup(())

    def _limit(self, folder: Path, controllers: frozenset[str], limits: Limits) -> None:
        if "pids" in controllers:
            most = limits.processes if limits.processes < _MOST_PROCESSES else "max"
            (folder / "pids.max").write_text(str(most))
        if "memory" not in controllers:
            return
        memory = str(limits.total_memory)
        if self.version == 1:
            (folder / "memory.limit_in_bytes").write_text(memory)
            swap = (folder / "memory.memsw.limit_in_bytes", memory)  # with the memory itself
        else:
            (folder / "memory.max").write_text(memory)
            swap = (folder / "memory.swap.max", "0")
        with suppress(OSError):  # not every kernel counts it
            swap[0].write_text(swap[1])

    def sweep(self) -> None:
        """Remove the groups of fakes that are gone; one with processes stays."""
        for parent in self.parents:
            for folder in parent.glob(f"{PREFIX}*"):
                owner = folder.name.removeprefix(PREFIX).partition("-")[0]
                with suppress(OSError):
                    age = time.clock_gettime(time.CLOCK_REALTIME) - folder.stat().st_mtime
                    if age > _NEWEST and not Path("/proc", owner).exists():
                        folder.rmdir()


@lru_cache(maxsize=16)
def control_groups(limits: Limits) -> ControlGroups | None:
    """Return where this process can make groups with these limits; None if it cannot.

    It is tried: a process joins a group.
    """
    try:
        own, mounts = (
            Path("/proc/self", name).read_text(errors="surrogateescape")
            for name in ("cgroup", "mountinfo")
        )
        groups = find_control_groups(own, mounts)
        if groups is None:
            return None
        groups.sweep()
        group = groups.make(limits)
    except OSError:
        return None
    try:
        command = group.joining(["/bin/sh", "-c", ":"])
        subprocess.run(command, timeout=_PROBE_LIMIT, check=True)  # noqa: S603  (our own)
    except (OSError, subprocess.SubprocessError):
        return None
    finally:
        group.remove()
    return groups


def find_control_groups(own: str, mounts: str) -> ControlGroups | None:
    """Return where a process may make groups that limit memory and processes.

    `own` and `mounts` are the contents of /proc/self/cgroup and /proc/self/mountinfo.
    """
    paths = {names: path for _, names, path in (line.split(":", 2) for line in own.splitlines())}
    parents: dict[Path, frozenset[str]] = {}
    for mount in _MOUNT.finditer(mounts):
        if mount["kind"] == "cgroup2":
            at = _inside(mount, paths.get("", ""))
            found = None if at is None else _delegated(at, Path(mount["at"]))
            if found is not None:
                return ControlGroups({found: frozenset(_CONTROLLERS)}, version=2)
            continue
        # A hierarchy may be mounted twice.
        known = frozenset[str]().union(*parents.values())
        controllers = (_CONTROLLERS - known) & set(mount["options"].split(","))
        names = next((each for each in paths if controllers & set(each.split(","))), None)
        at = None if names is None else _inside(mount, paths[names])
        if at is not None and os.access(at, os.W_OK):
            parents[at] = frozenset(controllers)
    covered = frozenset[str]().union(*parents.values())
    return ControlGroups(parents, version=1) if covered >= _CONTROLLERS else None


def _inside(mount: re.Match[str], path: str) -> Path | None:
    """Return where the group of that path is, as far as it is in the mount."""
    with suppress(ValueError):
        return Path(mount["at"]) / Path(path).relative_to(mount["root"])
    return None


def _delegated(own: Path, top: Path) -> Path | None:
    """Return the nearest group above `own`, or itself, in which others with limits can be made."""
    for folder in (own, *own.parents):
        with suppress(OSError):
            enabled = set((folder / "cgroup.subtree_control").read_text().split())
            files = (folder, folder / "cgroup.procs")
            if enabled >= _CONTROLLERS and all(os.access(each, os.W_OK) for each in files):
                return folder
        if folder == top:
            break
    return None
