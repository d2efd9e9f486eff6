"""The bubblewrap command for the jail of a sandbox: its namespaces, its user and its files."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_fakeproxy.runtime.paths import CHANNELS, HOME, SCRATCH, WORK, SandboxPaths

from .control_groups import ControlGroups
from .limits import Limits
from .syscall_filter import keyring_filter

SANDBOX_UID = 1000  # of commands, inside the jail
HOST_UID = 61000  # of commands, outside the jail, if the fake runs as root

SYSTEM_PATHS = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc", "/opt", "/nix"),
    "/run/systemd/resolve",  # where /etc/resolv.conf may lead
)
_PARENTS = ("/home", "/run", "/run/systemd")
_VIRTUAL_PATHS = ("/proc", "/dev", "/dev/pts", "/dev/shm", CHANNELS)  # noqa: S108  (inside)
_ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n"
    f"gem:x:{SANDBOX_UID}:{SANDBOX_UID}:gem:{HOME}:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": f"root:x:0:\ngem:x:{SANDBOX_UID}:\nnogroup:x:65534:\n",
}
# Masked, as they list the keys of other sandboxes and of the fake, too.
_KEY_LISTS = ("/proc/keys", "/proc/key-users")
# bubblewrap keeps the flags of a mount that it binds. Without the flag, if it cannot be set.
_FORBID_EXECUTION = """
mount --bind "$0" "$0" && mount -o remount,bind,noexec "$0"; exec "$@"
"""
_SHARED_MEMORY = 64 * 1024 * 1024  # bytes of /dev/shm, as in a container


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The settings of jails: the program, and the parts of this machine that they share.

    Without `executes_work`, no file in /sandbox can be executed, with any mode.
    """

    program: str
    network: bool
    limits: Limits
    hidden: tuple[Path, ...] = ()  # folders of the fake that are not shown below a system path
    groups: ControlGroups | None = None
    executes_work: bool = True
    syscall_filter: bytes | None = field(default_factory=keyring_filter)

    @property
    def private_directories(self) -> frozenset[str]:
        """The directories of a jail, by their names inside, that show nothing of this machine."""
        hidden = [str(path) for name in SYSTEM_PATHS for path in self._hidden_in(Path(name))]
        return frozenset({*_PARENTS, *_VIRTUAL_PATHS, *hidden})

    def prepare(self, paths: SandboxPaths) -> None:
        """Create the files of a sandbox that its jail needs."""
        paths.create()
        for name, content in _ACCOUNTS.items():
            (paths.accounts / name).write_text(content)

    def command(self, paths: SandboxPaths, filters: Collection[int]) -> list[str]:
        """Return the command that runs another one, appended to it, as process 1 of a jail.

        `filters` are inherited descriptors from which bubblewrap reads seccomp filters.
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
        command = [*arguments, *self._mounts(paths), *_user_arguments(paths.owner)]
        return command if self.executes_work else [*_without_execution(paths.work), *command]

    def _mounts(self, paths: SandboxPaths) -> list[str]:
        # Explicit, as only their owner may enter the parents that bubblewrap creates by itself.
        arguments = [word for name in _PARENTS for word in ("--perms", "0755", "--dir", name)]
        for name in SYSTEM_PATHS:
            path = Path(name)
            if path.is_symlink():
                arguments += ["--symlink", os.readlink(path), name]  # noqa: PTH115  (verbatim)
            elif path.is_dir():
                arguments += ["--ro-bind", name, name]
                for hidden in self._hidden_in(path):
                    arguments += ["--tmpfs", str(hidden)]
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
        return [path for path in self.hidden if path != folder and path.is_relative_to(folder)]


def _without_execution(folder: Path) -> list[str]:
    """Return the start of a command that runs another one, which executes no file in `folder`."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mounts = ["unshare", *user, "--mount", "--propagation", "private"]
    return [*mounts, "sh", "-c", _FORBID_EXECUTION, str(folder)]


def _user_arguments(owner: int | None) -> list[str]:
    """Return the end of the command, which sets the user of the jail's commands."""
    if owner is None:
        return ["--unshare-user", "--uid", str(SANDBOX_UID), "--gid", str(SANDBOX_UID), "--"]
    # The fake is root, for which RLIMIT_NPROC does not hold: so commands have another user outside
    # the jail, too. `setpriv` changes to it after the mounts, as that user could not reach the
    # sandbox's directory.
    return [
        *("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"),
        *("--", "setpriv", f"--reuid={owner}", f"--regid={owner}"),
        *("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
        *("unshare", "--user", f"--map-user={SANDBOX_UID}", f"--map-group={SANDBOX_UID}"),
    ]
