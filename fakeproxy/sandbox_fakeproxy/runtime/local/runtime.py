"""The local runtime: it runs commands on this machine, each sandbox in its own directory.

Where the machine supports it, each sandbox is a jail; elsewhere its commands have all rights of
the fake's user.
"""

import asyncio
import logging
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

from sandbox_fakeproxy.clock import Clock, SystemClock
from sandbox_fakeproxy.runtime.cleanup.guardian import GUARDIAN
from sandbox_fakeproxy.runtime.cleanup.processes import kill_sandboxes_in
from sandbox_fakeproxy.runtime.paths import SandboxPaths
from sandbox_fakeproxy.runtime.pipe.commands import Clocks
from sandbox_fakeproxy.runtime.pipe.sessions import PipeSessions
from sandbox_fakeproxy.runtime.pods import Pod, PodRuntime
from sandbox_fakeproxy.runtime.shell.sessions import Sessions, ShellListener
from sandbox_fakeproxy.runtime.walk import remove_tree

from .bash import Bash
from .isolation import IsolationMode, Network, choose_isolation
from .launcher import Launcher
from .limits import DEFAULT_LIMITS, Limits, watch_disk
from .machine import Machine
from .modes import restore_modes
from .piped_process import PipedProcess

LOG = logging.getLogger("sandbox_fakeproxy.sandboxes")
# Shells that start at the same time: half of the processors are left to the fake itself.
_CONCURRENT_STARTS = max(1, (os.cpu_count() or 2) // 2)
# Seconds until the guardian starts: its start would slow down the first command.
_GUARD_DELAY = 0.1
_GUARD_DELAY_WITH_JAILS = 1.0


class _LocalPod(Pod):
    """A pod that runs its shells as processes and limits their disk usage."""

    def __init__(
        self,
        sessions: Sessions,
        pipes: PipeSessions,
        paths: SandboxPaths,
        machine: Machine,
        disk_watch: "asyncio.Task[None]",
    ) -> None:
        super().__init__(sessions, pipes, paths)
        self._machine = machine
        self._disk_watch = disk_watch

    async def stop(self) -> None:
        """End all sessions and processes; from the call on, nothing is started."""
        self._disk_watch.cancel()
        await super().stop()

    async def end_processes(self) -> None:
        """Kill the processes that the sessions have left behind."""
        await self._machine.close()


class LocalRuntime(PodRuntime):
    """Run commands below `root`, or below a temporary directory, removed with this object.

    Commands take real time, with any clock of the proxy. On the app's own `clock`, pipe sessions
    are idle until they are removed. `isolation` is "auto" (a jail for each sandbox, where that
    works), "required" or "none"; `isolation.description` says how commands run. A jail has the
    `network` of the machine ("host") or "none", and does not see the folders in
    `hides`. `limits` are those of each sandbox. With a `seed`, the same requests create sessions
    with the same ids. `as_deployed` restores the modes in /sandbox before each command, as chmod
    has no effect on the deployed proxy; in a jail, no file there can be executed at any time.

    Raises:
        IsolationUnavailable: a jail is required, and does not work on this machine.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        isolation: IsolationMode = "auto",
        network: Network = "host",
        limits: Limits = DEFAULT_LIMITS,
        hides: Collection[Path] = (),
        clock: Clock | None = None,
        seed: str | None = None,
        as_deployed: bool = False,
    ) -> None:
        super().__init__(root=root, seed=seed)
        hidden = () if self._given_root is None else (self._given_root,)
        self.isolation = choose_isolation(
            isolation,
            network=network,
            limits=limits,
            hidden=(*hidden, *hides),
            executes_work=not as_deployed,
        )
        self._limits = limits
        self._as_deployed = as_deployed
        commands = SystemClock()
        self._clocks = Clocks(commands, commands if clock is None else clock)
        self._start_limiter = asyncio.Semaphore(_CONCURRENT_STARTS)
        self._guard_timer: asyncio.TimerHandle | None = None

    def recover(self, sandbox_ids: Collection[str]) -> None:
        """Clean up after a killed fake: kill its processes and remove all but these sandboxes."""
        directories = list(self._root.iterdir()) if self._root.is_dir() else []
        kill_sandboxes_in(self._root)
        for directory in directories:
            if directory.name not in sandbox_ids:
                remove_tree(directory)
            elif (channels := SandboxPaths(directory).channels).is_dir():
                remove_tree(channels)

    def paths(self, sandbox_id: str) -> SandboxPaths:
        """Return the directories of a sandbox."""
        return self.isolation.paths(self._root / sandbox_id)

    async def close(self) -> None:
        """Kill every process and start no more."""
        await super().close()
        if self._guard_timer is not None:
            self._guard_timer.cancel()
        if self._given_root is not None:
            await asyncio.to_thread(GUARDIAN.forget, self._given_root)

    def new_pod(self, sandbox_id: str) -> Pod:
        """Return a new pod, which runs its shells on this machine."""
        paths = self.paths(sandbox_id)
        self._guard_soon()
        machine = self.isolation.machine(paths, self._starter)
        prepare = partial(restore_modes, paths.work) if self._as_deployed else None

        launcher = Launcher(paths, machine, self._start_limiter, prepare)

        def open_shell(listener: ShellListener, directory: str) -> Bash:
            return Bash(launcher, self._clocks.commands, listener, directory)

        new_id, clocks = self._session_ids.for_sandbox(sandbox_id), self._clocks
        sessions = Sessions(paths, clocks.commands, open_shell, new_id, spool=paths.spool)
        open_process = partial(PipedProcess, launcher)
        pipes = PipeSessions(paths, clocks, open_process, new_id, spool=paths.spool)
        disk_watch = self._watch_disk(sandbox_id, launcher, sessions, pipes)
        return _LocalPod(sessions, pipes, paths, machine, asyncio.ensure_future(disk_watch))

    async def _watch_disk(
        self, sandbox_id: str, launcher: Launcher, sessions: Sessions, pipes: PipeSessions
    ) -> None:
        limit = self._limits.disk

        async def kill(bytes_used: int) -> None:
            message = (
                f"killed, as the sandbox has {bytes_used:,} bytes on disk: more than {limit:,}"
            )
            LOG.warning("sandbox %s: its processes were %s", sandbox_id, message)
            for session in sessions.all():
                if session.current_run is not None:
                    now = self._clocks.commands.now()
                    session.on_output(now, f"\n[{message}]\n".encode())
            pipes.announce(message)
            await launcher.machine.kill()

        paths = launcher.paths
        await watch_disk([paths.work, paths.home, paths.scratch], limit, kill)

    def _guard_soon(self) -> None:
        """Schedule the start of the guardian for the root, some time after the first command.

        A temporary root is watched from its start. Jails end by themselves, unless a command
        prevents it, so with jails the guardian starts later.
        """
        if self._guard_timer is not None or self._given_root is None:
            return
        loop = asyncio.get_running_loop()
        delay = _GUARD_DELAY if self.isolation.jail is None else _GUARD_DELAY_WITH_JAILS
        self._guard_timer = loop.call_later(delay, self._guard, self._given_root)

    def _guard(self, root: Path) -> None:
        if not self.closed:
            self._starter.submit(GUARDIAN.watch, root, is_temporary=False)
