"""How bubblewrap makes the jail of a sandbox: its namespaces, its user and its files."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_fakeproxy.runtime.paths import CHANNELS, HOME, SCRATCH, WORK, SandboxPaths

from .control_groups import ControlGroups
from .limits import Limits
from .syscall_filter import key_filter

USER = 1000  # of commands, inside
ROOTS_UID = 61000  # of commands, outside, where the fake runs as root

SYSTEM = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc", "/opt", "/nix"),
    "/run/systemd/resolve",  # where /etc/resolv.conf may lead
)
_PARENTS = ("/home", "/run", "/run/systemd")
_VIRTUAL = ("/proc", "/dev", "/dev/pts", "/dev/shm", CHANNELS)  # noqa: S108  (inside)
_ACCOUNTS = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\ngem:x:{USER}:{USER}:gem:{HOME}:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": f"root:x:0:\ngem:x:{USER}:\nnogroup:x:65534:\n",
}
_KEY_LISTS = ("/proc/keys", "/proc/key-users")  # also those of other sandboxes, and the fake's
_SHARED_MEMORY = 64 * 1024 * 1024  # bytes of /dev/shm, as in a container


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The program, and which parts of the machine the jails that it makes share."""

    program: str
    network: bool
    limits: Limits
    hidden: tuple[Path, ...] = ()  # folders of the fake, should they be below a system folder
    groups: ControlGroups | None = None
    syscall_filter: bytes | None = field(default_factory=key_filter)

    @property
    def made(self) -> frozenset[str]:
        """The folders of a jail with nothing of this machine in them, by their names inside."""
        hidden = [str(each) for name in SYSTEM for each in self._hidden_in(Path(name))]
        return frozenset({*_PARENTS, *_VIRTUAL, *hidden})

    def prepare(self, paths: SandboxPaths) -> None:
        """Make the files of a place that its jail needs."""
        paths.create()
        for name, content in _ACCOUNTS.items():
            (paths.accounts / name).write_text(content)

    def arguments(self, paths: SandboxPaths, filters: Collection[int]) -> list[str]:
        """Return the command that runs another one as process 1 of a place's jail.

        `filters` are descriptors that it inherits, to read a seccomp filter from.
        """
        arguments = [
            *(self.program, "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
            *("--unshare-cgroup-try", "--hostname", "sandbox"),
            *("--as-pid-1", "--die-with-parent", "--new-session"),
        ]
        if not self.network:
            arguments.append("--unshare-net")
        for descriptor in filters:
            arguments += ["--seccomp", str(descriptor)]
        arguments += self._files(paths)
        if paths.owner is not None:
            # RLIMIT_NPROC spares root, so its commands get a user of their own outside, too. The
            # mounts are made before, as the new user could not reach the sandbox's directory.
            user, group = f"--map-user={USER}", f"--map-group={USER}"
            return [
                *arguments,
                *("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"),
                *("--", "setpriv", f"--reuid={paths.owner}", f"--regid={paths.owner}"),
                *("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
                *("unshare", "--user", user, group),
            ]
        return [*arguments, "--unshare-user", "--uid", str(USER), "--gid", str(USER), "--"]

    def _files(self, paths: SandboxPaths) -> list[str]:
        # Parents that bubblewrap makes by itself are for their owner only.
        arguments = [each for name in _PARENTS for each in ("--perms", "0755", "--dir", name)]
        for name in SYSTEM:
            path = Path(name)
            if path.is_symlink():
                arguments += ["--symlink", os.readlink(path), name]  # noqa: PTH115  (verbatim)
            elif path.is_dir():
                arguments += ["--ro-bind", name, name]
                for each in self._hidden_in(path):
                    arguments += ["--tmpfs", str(each)]
        for name in _ACCOUNTS:
            arguments += ["--ro-bind", str(paths.accounts / name), f"/etc/{name}"]
        arguments += ["--proc", "/proc", "--dev", "/dev", "--size", str(_SHARED_MEMORY)]
        arguments += ["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108  (inside)
        for name in filter(os.path.exists, _KEY_LISTS):
            arguments += ["--ro-bind", os.devnull, name]
        for name, directory in ((WORK, paths.work), (HOME, paths.home), (SCRATCH, paths.scratch)):
            arguments += ["--bind", str(directory), name]
        arguments += ["--ro-bind", str(paths.channels), CHANNELS]
        return [*arguments, "--remount-ro", "/", "--chdir", HOME]

    def _hidden_in(self, folder: Path) -> list[Path]:
        return [each for each in self.hidden if each != folder and each.is_relative_to(folder)]
