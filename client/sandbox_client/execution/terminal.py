"""A command that runs with the runtime's terminal API: each look reads the whole output."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_client.api import shell
from sandbox_client.api.runtime import read_done
from sandbox_client.api.shell import Snapshot, SnapshotReader
from sandbox_client.errors import SessionBusy
from sandbox_client.masking import Masker, end_of_complete, masked, masked_at_gaps
from sandbox_client.text import mask_keys, one_line

from .remote_command import FIRST_LOOK_DEADLINE, LOOK_DEADLINE, SIGNAL_DEADLINE, RemoteCommand

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from sandbox_client.api.message import Reply, Request
    from sandbox_client.api.runtime import CommandStatus, Signal, Task
    from sandbox_client.output import Output, OutputChunk
    from sandbox_client.sandboxes import Sandboxes

    from .follower import OutputFollower

MAX_LOOK_PAUSE = 5.0  # seconds between looks at long output
CUT_LENGTH = 20_000  # characters: longer output of a reply may have been truncated


class TerminalCommand(RemoteCommand):
    """The command with a `mark` in a session; without a mark, the last command of the session.

    Output is read from position `after` on, in characters.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        name: str,
        session: str,
        follower: OutputFollower,
        *,
        mark: str = "",
        after: int = 0,
    ) -> None:
        super().__init__(sandboxes, name, session, follower)
        self._mark = mark
        self._after = after
        self._mask = Masker(follower.secret, after, others=follower.secrets)
        self._reader = SnapshotReader(self._mask.end)
        self._printed = ""
        self._line: str = ""  # the command line as it was sent
        self._pause = 0.0  # seconds until the next look, longer for long output

    @property
    def api(self) -> Literal["terminal"]:
        """The API of the runtime."""
        return "terminal"

    @property
    def output(self) -> Output:
        """Standard output and standard error so far, masked."""
        keys = (self._follower.secret, *self._follower.secrets)
        text = self._printed
        if not self.status.has_ended:
            text = text[: end_of_complete(text, *keys)]
        return masked_at_gaps(shell.parse_kept(masked(text, *keys)), *keys).since(self._after)

    @property
    def errors(self) -> None:
        """None, since a terminal shows both streams as one."""
        return

    async def open(self) -> None:
        """Open a session in which no command is running.

        Raises:
            SessionBusy: the session runs a command.
        """
        read_done(await self._request(shell.open_session(self.name, self.session)))
        if self._mark:  # the session may have existed before
            last = (await self._view(None, mark="")).status
            if not last.has_ended:
                raise busy(self.name, self.session, repr(one_line(mask_keys(last.command))))

    async def look(self, deadline: float | None = None, *, sent: bool = False) -> None:
        """Read the state and the whole output."""
        limit = FIRST_LOOK_DEADLINE if deadline is None else deadline
        self._update(await self._view(limit, mark=self._mark, sent=sent))

    async def peek(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> CommandStatus:
        """Return the status of the command; the runtime always sends the output with it."""
        await self.look(deadline, sent=sent)
        return self.status

    async def wait(self, pause: float) -> None:
        """Wait, then look; looks take at most a tenth of the time, up to MAX_LOOK_PAUSE."""
        follower = self._follower
        await follower.timing.sleep(min(max(pause, self._pause), follower.remaining))
        start, self._pause = follower.timing.clock(), 0.0
        async with self._turn() as longest:
            if not longest:
                return
            await self.look(follower.remaining + LOOK_DEADLINE, sent=True)
        self._pause = min(9 * (follower.timing.clock() - start), MAX_LOOK_PAUSE)

    async def send_signal(self, signal: Signal) -> None:
        """Type Ctrl-C for SIGINT; for other signals, kill the command with the runtime."""
        build = shell.interrupt if signal == "SIGINT" else shell.kill
        request = build(self.name, self.session)
        await self._sandboxes.proxy.fetch(request, read_done, deadline=SIGNAL_DEADLINE)

    async def close(self) -> None:
        """End the session and its processes."""
        await self._sandboxes.proxy.send(shell.end_session(self.name, self.session))

    def execute_request(self, task: Task) -> Request:
        """Return the request that starts a task."""
        return shell.execute(self.name, self.session, task, mark=self._mark)

    async def _read_reply(self, reply: Reply) -> None:
        snapshot = shell.read_executed(reply, self.session)
        if len(snapshot.output) >= CUT_LENGTH:  # the next look reads all of it
            snapshot = Snapshot(replace(snapshot.status, state="running", exit_code=None))
        self._update(snapshot)

    async def _view(self, deadline: float | None, *, mark: str, sent: bool = False) -> Snapshot:
        request = shell.view(self.name, self.session)
        reply = await self._request(request, sent=sent, deadline=deadline)
        return shell.read_view(reply, mark, self.session)

    def _update(self, snapshot: Snapshot) -> None:
        """Update the status, and pass the new output on."""
        is_other = bool(self._line and snapshot.line) and snapshot.line != self._line
        was_started = self.status.state not in {"unknown", "empty"}
        if is_other or (was_started and snapshot.status.state == "empty"):
            # The session has run another command since, and no longer shows this one.
            self.status = replace(self.status, state="completed", exit_code=None)
            self._pass_on(self._mask.flush())
            return
        self._line = snapshot.line
        self.status, self._printed = snapshot.status, snapshot.output
        self._follower.is_running = not self.status.has_ended
        for chunk in self._reader.read(snapshot.output):
            self._pass_on(self._mask.feed(chunk))
        if self.status.has_ended:
            self._pass_on(self._mask.flush())

    def _pass_on(self, chunks: Iterable[OutputChunk]) -> None:
        for chunk in chunks:
            self._follower.on_output(chunk)


def busy(name: str, session: str, command: str) -> SessionBusy:
    """Return the error for a session that runs another command."""
    return SessionBusy(
        f"Session '{session}' of sandbox '{name}' runs {command}; this one was not run"
    )
