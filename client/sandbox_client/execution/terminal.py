"""A command by the runtime's terminal API: looked at again and again, each time as a whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_client.api import shell
from sandbox_client.api.runtime import read_done
from sandbox_client.api.shell import Snapshot, SnapshotReader
from sandbox_client.errors import SessionBusy
from sandbox_client.masking import Masker, masked, masked_at_gaps, start_of_key
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

MAX_EFFORT = 5.0  # seconds between looks, however long one took
CUT_LENGTH = 20_000  # characters of an answer that may have been cut


class TerminalCommand(RemoteCommand):
    """A command by its `mark` in a session that has others, else by being the only one.

    Its output is passed on from position `after`.
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
        self._mask = Masker(follower.secret, after)
        self._reader = SnapshotReader(self._mask.end)
        self._printed = ""
        self._line: str = ""  # the command as it was sent
        self._effort = 0.0  # seconds between looks: a long output is a long reply

    @property
    def api(self) -> Literal["terminal"]:
        """The runtime's API that this is about."""
        return "terminal"

    @property
    def output(self) -> Output:
        """The last snapshot of the output, with standard error in it."""
        key = self._watch.secret
        text = masked(self._printed, key)
        if not self.status.has_ended:
            text = text[: len(text) - start_of_key(text, key)]
        return masked_at_gaps(shell.parse_kept(text), key).since(self._after)

    @property
    def errors(self) -> None:
        """Nothing: a terminal shows both streams as one."""
        return

    async def open(self) -> None:
        """Have a session in which nothing runs.

        Raises:
            SessionBusy: it runs a command.
        """
        opened = await self._ask(shell.open_session(self.name, self.session))
        read_done(opened)
        if self._mark:  # it may have been there
            last = (await self._view(None, mark="")).status
            if not last.has_ended:
                raise busy(self.name, self.session, repr(one_line(mask_keys(last.command))))

    async def look(self, deadline: float | None = None, *, sent: bool = False) -> None:
        """Read the output as the session has it."""
        limit = FIRST_LOOK_DEADLINE if deadline is None else deadline
        self._see(await self._view(limit, mark=self._mark, sent=sent))

    async def peek(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> CommandStatus:
        """Return how the command stands, with a look: the runtime sends its output anyway."""
        await self.look(deadline, sent=sent)
        return self.status

    async def wait(self, pause: float) -> None:
        """Wait and look: at most a tenth of the time is spent with looking, within reason."""
        follower = self._watch
        await follower.timing.sleep(min(max(pause, self._effort), follower.left))
        began, self._effort = follower.timing.clock(), 0.0
        async with self._turn() as longest:
            if not longest:
                return
            await self.look(follower.left + LOOK_DEADLINE, sent=True)
        self._effort = min(9 * (follower.timing.clock() - began), MAX_EFFORT)

    async def send_signal(self, signal: Signal) -> None:
        """Type Ctrl-C for SIGINT; else kill the command, which is all that the runtime offers."""
        make = shell.interrupt if signal == "SIGINT" else shell.kill
        request = make(self.name, self.session)
        read_done(await self._sandboxes.proxy.send(request, deadline=SIGNAL_DEADLINE))

    async def close(self) -> None:
        """End the session with all that runs in it."""
        await self._sandboxes.proxy.send(shell.end_session(self.name, self.session))

    def execute_request(self, task: Task) -> Request:
        """Return the request that starts a task."""
        return shell.execute(self.name, self.session, task, mark=self._mark)

    async def _take(self, reply: Reply) -> None:
        seen = shell.read_executed(reply)
        if len(seen.output) >= CUT_LENGTH:  # the next look is at all of it
            seen = Snapshot(replace(seen.status, state="running", exit_code=None))
        self._see(seen)

    async def _view(self, deadline: float | None, *, mark: str, sent: bool = False) -> Snapshot:
        request = shell.view(self.name, self.session)
        reply = await self._ask(request, sent=sent, deadline=deadline)
        return shell.read_view(reply, mark)

    def _see(self, seen: Snapshot) -> None:
        """Keep the newest state, and pass the new output on."""
        is_other = bool(self._line and seen.line) and seen.line != self._line
        was_there = self.status.state not in {"unknown", "empty"}
        if is_other or (was_there and seen.status.state == "empty"):
            # The session has gone on, and tells no more of this one.
            self.status = replace(self.status, state="completed", exit_code=None)
            self._pass_on(self._mask.flush())
            return
        self._line = seen.line
        self.status, self._printed = seen.status, seen.output
        self._watch.is_running = not self.status.has_ended
        for chunk in self._reader.read(seen.output):
            self._pass_on(self._mask.feed(chunk))
        if self.status.has_ended:
            self._pass_on(self._mask.flush())

    def _pass_on(self, shown: Iterable[OutputChunk]) -> None:
        for chunk in shown:
            self._watch.on_output(chunk)


def busy(name: str, session: str, command: str) -> SessionBusy:
    """Return the error for a session that runs another command."""
    return SessionBusy(
        f"Session '{session}' of sandbox '{name}' runs {command}; this one was not run"
    )
