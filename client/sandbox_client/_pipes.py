"""A command by the runtime's pipe API: read by offsets, with long polls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _pipe_wire
from ._output import Output, Recorder
from ._remote_command import (
    FIRST_LOOK_DEADLINE,
    LOOK_DEADLINE,
    SIGNAL_DEADLINE,
    RemoteCommand,
)

if TYPE_CHECKING:
    from typing import Literal

    from ._message import Reply, Request
    from ._pipe_wire import EndOfOutput, Piece
    from ._runtime_wire import Signal, Standing, Task
    from ._sandboxes import Sandboxes
    from ._watch import Watch

LONG_POLL = 25.0  # seconds: less than the patience of load balancers
AFTER_NEWS = 0.05  # seconds until the next look


class PipeCommand(RemoteCommand):
    """The only command of a session: its streams are read from two offsets on."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        name: str,
        session: str,
        watch: Watch,
        *,
        after: int = 0,
        stderr_after: int = 0,
    ) -> None:
        super().__init__(sandboxes, name, session, watch)
        self._output = Recorder(after)
        self._errors = Recorder(stderr_after)
        self._is_quiet = True  # the last look brought no output

    @property
    def api(self) -> Literal["pipes"]:
        """The runtime's API that this is about."""
        return "pipes"

    @property
    def output(self) -> Output:
        """Standard output, as far as it was read."""
        return self._output.output()

    @property
    def errors(self) -> Output:
        """Standard error, as far as it was read."""
        return self._errors.output()

    async def open(self) -> None:
        """Have a session of that id.

        Raises:
            NoSuchAPI: the runtime has no pipe API.
        """
        request = _pipe_wire.open_session(self.name, self.session)
        _pipe_wire.read_opened(await self._ask(request))

    async def look(self, deadline: float | None = None, *, sent: bool = False) -> None:
        """Read the output since the last look."""
        limit = FIRST_LOOK_DEADLINE if deadline is None else deadline
        await self._poll(0.0, limit, sent=sent)

    async def peek(self, *, sent: bool = False) -> Standing:
        """Return how the command stands."""
        return (await self._end(sent=sent)).standing

    async def skip_to_end(self, length: int) -> None:
        """Leave out all but about the last `length` bytes of each stream."""
        ends = (await self._end()).ends
        self._output, self._errors = (Recorder(max(end - length, 0)) for end in ends)

    async def _end(self, *, sent: bool = False) -> EndOfOutput:
        # An offset behind the end brings the offset of the end, and no output.
        after_all = _pipe_wire.AFTER_ALL
        request = _pipe_wire.output(self.name, self.session, after_all, after_all)
        reply = await self._ask(request, sent=sent, deadline=FIRST_LOOK_DEADLINE)
        return _pipe_wire.read_end(reply)

    async def wait(self, pause: float) -> None:
        """Wait for output or the end with a long poll, and look again a moment after output."""
        watch = self._watch
        if watch.unseen:  # a poll that fails may fail at once
            await watch.timing.sleep(min(pause, watch.left))
        seconds = min(max(watch.left, 0.0), LONG_POLL)
        await self._poll(seconds, watch.left + LOOK_DEADLINE, sent=True)
        if not self._is_quiet and not self.standing.has_ended:
            # A command often ends just after its last output.
            await watch.timing.sleep(AFTER_NEWS)
            await self._poll(0.0, watch.left + LOOK_DEADLINE, sent=True)

    async def send_signal(self, signal: Signal) -> None:
        """Send a signal to the command that runs."""
        request = _pipe_wire.send_signal(self.name, self.session, signal)
        reply = await self._sandboxes.proxy.send(request, deadline=SIGNAL_DEADLINE)
        _pipe_wire.read_done(reply)

    async def close(self) -> None:
        """End the session with all that runs in it."""
        await self._sandboxes.proxy.send(_pipe_wire.close_session(self.name, self.session))

    def execution(self, task: Task) -> Request:
        """Return the request that starts a task."""
        return _pipe_wire.execute(self.name, self.session, task)

    async def _take(self, reply: Reply) -> None:
        self._see(_pipe_wire.read_executed(reply))

    async def _poll(self, seconds: float, deadline: float, *, sent: bool) -> None:
        offset, stderr_offset = self._output.end, self._errors.end
        request = _pipe_wire.output(self.name, self.session, offset, stderr_offset, wait=seconds)
        reply = await self._ask(request, sent=sent, deadline=deadline)
        self._see(_pipe_wire.read_output(reply, offset, stderr_offset))

    def _see(self, piece: Piece) -> None:
        self.standing = piece.standing
        self._watch.is_running = not self.standing.has_ended
        self._is_quiet = not piece.news
        for news in piece.news:
            (self._errors if news.is_error else self._output).add(news)
            self._watch.on_output(news)
