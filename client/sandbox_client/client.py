"""The Python API: everything that can be asked of one proxy with one API key."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from .config import load_config
from .errors import SandboxError
from .http import Proxy
from .polling import DEFAULT_WAIT, Timing, ignore_progress
from .readiness import READY_DEADLINE
from .sandboxes import Sandboxes

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from typing import Self

    from .activity import Activity, IdleSandbox, SandboxCommands
    from .api.files import Listing
    from .api.runtime import Signal, Task
    from .api.sandboxes import Sandbox
    from .config import Config
    from .execution.follower import OnOutput, OnSession, OutputListener
    from .execution.payload import Read
    from .execution.result import CommandResult, Session
    from .files.copy import Copy
    from .files.model import CopyListener
    from .files.remote import Files
    from .listing import Row
    from .polling import ProgressCallback
    from .prompts import Prompts
    from .readiness import WaitResult
    from .repositories import Repositories
    from .repository.model import Pull, Push, PushPlan


ENTRIES_DEADLINE = 5.0  # seconds


class Client:
    """A client of one proxy; use it as an asynchronous context manager, which closes it.

    Every method raises a `SandboxError`: its class tells what happened, its `message`, `cause` and
    `advice` tell a person. `on_progress` is awaited at least every two seconds of a wait.

    Example:
        ```python
        async with Client.from_config() as client:
            await client.create("my-sandbox")
            result = await client.run("my-sandbox", "make test")
            print(result.exit_code, result.stdout)
        ```
    """

    def __init__(self, proxy: Proxy, timing: Timing | None = None) -> None:
        self.proxy = proxy
        self._timing = timing or Timing()
        self.sandboxes = Sandboxes(proxy, self._timing)

    @classmethod
    def connect(cls, config: Config) -> Self:
        """Return a client with this configuration; nothing is sent yet."""
        return cls(Proxy(config))

    @classmethod
    def from_config(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return a client with the configuration of the environment and the file of `login`.

        Raises:
            ConfigError: a value is missing or cannot be used.
        """
        return cls.connect(load_config(os.environ if environ is None else environ))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; what runs in sandboxes goes on."""
        await self.proxy.close()

    # The modules for commands and files are imported when they are used.

    @cached_property
    def prompts(self) -> Prompts:
        """The commands in sandboxes."""
        from .prompts import Prompts

        return Prompts(self.sandboxes, self._timing)

    @cached_property
    def files(self) -> Files:
        """The files of sandboxes."""
        from .files.remote import Files, OneShotCommands

        return Files(self.sandboxes, OneShotCommands(self.prompts))

    @property
    def _activity(self) -> Activity:
        from .activity import Activity

        return Activity(self.sandboxes, self.prompts)

    async def create(
        self,
        name: str,
        *,
        image: str | None = None,
        port: int | None = None,
        wait: float = READY_DEADLINE,
        on_progress: ProgressCallback = ignore_progress,
    ) -> WaitResult:
        """Create a sandbox and wait up to `wait` seconds until it is ready and its runtime answers.

        `image` and `port` default to the configuration's. The result tells whether it is ready.

        Raises:
            AlreadyExists: you have a sandbox of that name; the message gives its state.
            QuotaReached: you have as many sandboxes as the proxy allows.
        """
        outcome = await self.sandboxes.create(
            name, image=image, port=port, report=on_progress, deadline=wait
        )
        if not outcome.reached:
            return outcome
        return replace(outcome, old_entries=await self._count_entries(name))

    async def _count_entries(self, name: str) -> int:
        """Return the number of entries of /sandbox, 0 if it cannot be read."""
        from .api import files

        with contextlib.suppress(SandboxError):
            request = files.listing(name, files.absolute(""))
            reply = await self.proxy.send(request, deadline=ENTRIES_DEADLINE, attempts=1)
            return len(files.read_listing(reply).entries)
        return 0

    async def status(self, name: str) -> Sandbox:
        """Return the state of a sandbox.

        Raises:
            SandboxNotFound: you have none of that name.
        """
        return await self.sandboxes.status(name)

    async def list(self) -> list[Row]:
        """Return your sandboxes, newest first, each with its state and age."""
        return await self.sandboxes.list()

    async def commands(
        self, *, on_progress: ProgressCallback = ignore_progress
    ) -> builtins.list[SandboxCommands]:
        """Return what runs and what has ended in each sandbox, the newest sandbox first.

        A sandbox whose commands cannot be read within 20 seconds has a `reason`.
        """
        return await self._activity.commands(report=on_progress)

    async def idle(
        self,
        longer_than: timedelta,
        *,
        names: Sequence[str] = (),
        on_progress: ProgressCallback = ignore_progress,
    ) -> builtins.list[IdleSandbox]:
        """Return the ready sandboxes, or those with these names, and how long each is idle.

        One in which a command runs, or that is not known to be idle for `longer_than`, has a
        `reason`. Jobs that a command has left in the background are not seen.
        """
        return await self._activity.idle(longer_than, names=names, report=on_progress)

    async def pause(
        self, name: str, *, on_progress: ProgressCallback = ignore_progress
    ) -> WaitResult:
        """Stop a sandbox and wait until its status shows that.

        All commands end. Files in /sandbox stay, those in /home/gem and /tmp do not.
        """
        return await self.sandboxes.pause(name, report=on_progress)

    async def resume(
        self,
        name: str,
        *,
        wait: float = READY_DEADLINE,
        on_progress: ProgressCallback = ignore_progress,
    ) -> WaitResult:
        """Start a paused sandbox and wait up to `wait` seconds until its runtime answers."""
        return await self.sandboxes.resume(name, report=on_progress, deadline=wait)

    async def delete(self, name: str, *, on_progress: ProgressCallback = ignore_progress) -> bool:
        """Delete a sandbox; the proxy may keep /sandbox for a new one of that name.

        False if the sandbox is gone, but the response that confirms it was lost.
        """
        return await self.sandboxes.delete(name, report=on_progress)

    async def run(  # noqa: PLR0913  # options, all by keyword
        self,
        name: str,
        command: str,
        *,
        wait: float | None = DEFAULT_WAIT,
        session: str | None = None,
        directory: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | Read | None = None,
        time_limit: float | None = None,
        on_output: OnOutput | None = None,
        on_session: OnSession | None = None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> CommandResult:
        """Start a shell command once and wait up to `wait` seconds for its end.

        It goes on after that, and also if this task is cancelled: `output` follows it by its
        session. `wait=None` waits until it ends, or until the proxy has not answered for ten
        minutes. `session` names a terminal session, in which the directory and variables of earlier
        commands last. `directory` is where it runs, /sandbox by default. `stdin` is sent before the
        command starts. `time_limit` in seconds kills it. `on_session` gets the id of its session,
        `on_output` its output as it comes.

        Raises:
            SessionBusy: the session runs another command.
            CommandStateUnknown: nothing says whether it was started.
        """
        from .api.files import absolute
        from .api.runtime import Task
        from .execution.follower import OutputListener

        where = absolute(directory) if directory else None
        task = Task(command, where, env=env or {}, time_limit=time_limit)
        listener = OutputListener.of(on_progress, on_session, on_output)
        return await self._send(name, task, listener, wait=wait, session=session, stdin=stdin)

    async def _send(
        self,
        name: str,
        task: Task,
        listener: OutputListener,
        *,
        wait: float | None,
        session: str | None = None,
        stdin: bytes | Read | None,
    ) -> CommandResult:
        from .execution.payload import reader

        return await self.prompts.send(
            name,
            task,
            session=session,
            stdin=reader(stdin) if isinstance(stdin, bytes) else stdin,
            wait_seconds=wait,
            listener=listener,
        )

    async def run_agent(  # noqa: PLR0913  # options, all by keyword
        self,
        name: str,
        prompt: str,
        *,
        directory: str | None = None,
        wait: float | None = 0.0,
        env: Mapping[str, str] | None = None,
        stdin: bytes | Read | None = None,
        time_limit: float | None = None,
        on_output: OnOutput | None = None,
        on_session: OnSession | None = None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> CommandResult:
        """Start the coding agent of the configuration with a prompt; see `run`.

        It gets the variables that `agentEnvironment` names, in a private file that is removed
        before it works. Output masks their values. In a `directory`, a `cd … &&` at the beginning
        of `agentCommand` is left out.

        Raises:
            ConfigError: `agentCommand` cannot hold a prompt.
        """
        from .agent import agent_command_line
        from .api.files import absolute
        from .api.runtime import Task
        from .execution.follower import OutputListener

        config = self.proxy.config
        task = Task(
            agent_command_line(config.agent_command, prompt, in_directory=directory is not None),
            absolute(directory) if directory else None,
            env={**config.agent_values, **(env or {})},
            time_limit=time_limit,
            has_secrets=bool(config.agent_values),
        )
        listener = OutputListener.of(on_progress, on_session, on_output)
        return await self._send(name, task, listener, wait=wait, stdin=stdin)

    async def output(
        self,
        name: str,
        session: str,
        *,
        after: int = 0,
        stderr_after: int = 0,
        wait: float | None = DEFAULT_WAIT,
        to_end: bool = False,
        on_output: OnOutput | None = None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> CommandResult:
        """Wait up to `wait` seconds for output of a command after these positions, or for its end.

        With `to_end`, wait for its end.

        Raises:
            SessionNotFound: the sandbox has no such session, or has it no more.
        """
        from .execution.follower import OutputListener

        return await self.prompts.output(
            name,
            session,
            after=after,
            stderr_after=stderr_after,
            wait_seconds=wait,
            to_end=to_end,
            listener=OutputListener.of(on_progress, None, on_output),
        )

    async def sessions(self, name: str) -> builtins.list[Session]:
        """Return the sessions of a sandbox, the newest first, with their last commands."""
        return await self.prompts.sessions(name)

    async def cancel(
        self,
        name: str,
        session: str,
        *,
        signals: Sequence[Signal] = ("SIGINT", "SIGTERM", "SIGKILL"),
        on_output: OnOutput | None = None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> CommandResult:
        """Send signals in turn to the command of a session until it ends.

        Raises:
            SessionNotFound: the sandbox has no such session, or has it no more.
        """
        from .execution.follower import OutputListener

        listener = OutputListener.of(on_progress, None, on_output)
        return await self.prompts.cancel(name, session, signals=signals, listener=listener)

    async def read_file(
        self, name: str, path: str, *, first: int = 1, last: int | None = None
    ) -> str:
        """Return the text of a file from line `first` to line `last`.

        A relative path starts at /sandbox. Of a long file, the result ends after 30,000 lines;
        `download` copies any file as a whole.

        Raises:
            NotText: it is binary.
            FileRefused: it cannot be read.
        """
        return await self.files.read(name, path, first=first, last=last)

    async def write_file(
        self, name: str, path: str, content: str | bytes, *, append: bool = False
    ) -> None:
        """Replace a file as a whole or not at all, or append to it; create its directories.

        Raises:
            FileRefused: it cannot be written.
        """
        from .api.files import check_content

        data = check_content(content) if isinstance(content, str) else content
        await self.files.write(name, path, data, append=append)

    async def list_files(self, name: str, path: str = ".") -> Listing:
        """Return the entries of a directory.

        Raises:
            FileRefused: it is no directory, or cannot be read.
        """
        return await self.files.list(name, path)

    async def upload(
        self,
        name: str,
        sources: Sequence[str],
        target: str,
        *,
        listener: CopyListener | None = None,
    ) -> None:
        """Copy files and directories of this machine into a sandbox, each file whole or not at all.

        Several sources, and one whose `target` is a directory or ends with a slash, are copied into
        the target.

        Raises:
            SandboxError: something was not copied.
        """
        await self._copy(name, listener).upload(sources, target)

    async def download(
        self,
        name: str,
        sources: Sequence[str],
        target: str,
        *,
        listener: CopyListener | None = None,
    ) -> None:
        """Copy files and directories of a sandbox to this machine; see `upload`.

        Raises:
            SandboxError: something was not copied.
        """
        await self._copy(name, listener).download(sources, target)

    @cached_property
    def repositories(self) -> Repositories:
        """The git repositories of this machine that go to sandboxes."""
        from .repositories import Repositories

        return Repositories(self.files, self.proxy.config.proxy_url)

    async def push(  # noqa: PLR0913  # options, all by keyword
        self,
        name: str,
        repo: str,
        *,
        directory: str | None = None,
        include: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        history: bool = False,
        program: str = "",
        on_plan: Callable[[PushPlan], None] = lambda _plan: None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> Push:
        """Send the working tree of the git repository `repo` to a directory of a sandbox.

        What git ignores stays here. Names that look like secrets have to fit a pattern of `include`
        or `leave_out`. `directory` is below /sandbox; without it, that of the last push, or one
        that is named after the repository.
        `history` sends the earlier commits, too. `program` has to be in the sandbox. `on_plan` is
        called before anything long. It may be repeated, and then sends only what is new.

        Raises:
            RepositoryRefused: something has to be decided or changed first; nothing was sent.
        """
        from .repository.model import PushOptions

        options = PushOptions(directory, include, leave_out, history, program)
        return await self.repositories.push(
            name, repo, options, on_plan=on_plan, on_progress=on_progress
        )

    async def pull(  # options, all by keyword
        self,
        name: str,
        repo: str,
        *,
        branch: str | None = None,
        directory: str | None = None,
        apply: bool = False,
        allow_programs: bool = False,
        max_diff: int = 0,
        on_progress: ProgressCallback = ignore_progress,
    ) -> Pull:
        """Fetch the work on a pushed repository as the branch `sandbox/NAME` of `repo`.

        The working tree, the index and all other branches stay as they are. `apply` then applies
        the work to the working tree if that is clean, with files that would run later only if
        `allow_programs` is set. The result has up to `max_diff` characters of the diff.

        Raises:
            RepositoryRefused: nothing was sent to the sandbox, or the branch cannot be written.
            WorkRefused: the work is not safe; nothing here was changed.
        """
        from .repository.model import PullOptions

        options = PullOptions(branch, directory, apply, allow_programs, max_diff)
        return await self.repositories.pull(name, repo, options, on_progress=on_progress)

    def _copy(self, name: str, listener: CopyListener | None) -> Copy:
        from .files.copy import Copy
        from .files.model import CopyListener

        return Copy(self.files, name, listener or CopyListener())
