"""A command by the runtime's pipe API: read by offsets, with long polls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_client.api import pipes
from sandbox_client.api.runtime import read_done
from sandbox_client.errors import NoSuchPosition
from sandbox_client.masking import Masker
from sandbox_client.output import Recorder
from sandbox_client.text import pluralize

from .remote_command import FIRST_LOOK_DEADLINE, LOOK_DEADLINE, SIGNAL_DEADLINE, RemoteCommand

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from sandbox_client.api.message import Reply, Request
    from sandbox_client.api.pipes import PipeSnapshot
    from sandbox_client.api.runtime import CommandStatus, Signal, Task
    from sandbox_client.output import Output, OutputChunk
    from sandbox_client.sandboxes import Sandboxes

    from .follower import OutputFollower

AFTER_NEWS = 0.08  # seconds until the next look: with each line a request would be too many


class PipeCommand(RemoteCommand):
    """The only command of a session: its streams are read from two offsets on."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        name: str,
        session: str,
        follower: OutputFollower,
        *,
        after: int = 0,
        stderr_after: int = 0,
    ) -> None:
        super().__init__(sandboxes, name, session, follower)
        self._start_at(after, stderr_after)

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
        request = pipes.open_session(self.name, self.session)
        pipes.read_opened(await self._ask(request))

    async def look(self, deadline: float | None = None, *, sent: bool = False) -> None:
        """Read the output since the last look."""
        limit = FIRST_LOOK_DEADLINE if deadline is None else deadline
        await self._poll(0.0, limit, sent=sent)

    async def peek(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> CommandStatus:
        """Return how the command stands."""
        return (await self._at_end(deadline, sent=sent)).status

    async def skip_to_end(self, length: int) -> None:
        """Leave out all but about the last `length` bytes of each stream."""
        self._start_at(*(max(end - length, 0) for end in (await self._at_end()).ends))

    def _start_at(self, after: int, stderr_after: int) -> None:
        self._starts = after, stderr_after
        self._output, self._errors = Recorder(after), Recorder(stderr_after)
        self._output_mask = Masker(self._watch.secret, after)
        self._errors_mask = Masker(self._watch.secret, stderr_after)

    async def _at_end(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> PipeSnapshot:
        # An offset behind the end brings the offset of the end, and no output.
        after_all = pipes.PAST_THE_END
        request = pipes.output(self.name, self.session, after_all, after_all)
        reply = await self._ask(request, sent=sent, deadline=deadline)
        return pipes.read_output(reply, after_all, after_all)

    async def wait(self, pause: float) -> None:
        """Wait for output or the end with a long poll; after output, pause for AFTER_NEWS."""
        follower = self._watch
        if follower.unseen:  # a poll that fails may fail at once
            await follower.timing.sleep(min(pause, follower.left))
        async with self._turn() as longest:
            if not longest:
                return
            seconds = min(max(follower.left, 0.0), longest)
            began = follower.timing.clock()
            has_news = await self._poll(seconds, follower.left + LOOK_DEADLINE, sent=True)
        if self.status.has_ended:
            return
        # Without news, it took `seconds`, unless something on the way answers at once.
        rest = AFTER_NEWS if has_news else pause - (follower.timing.clock() - began)
        if (rest := min(rest, follower.left)) > 0:
            await follower.timing.sleep(rest)

    async def send_signal(self, signal: Signal) -> None:
        """Send a signal to the command that runs."""
        request = pipes.send_signal(self.name, self.session, signal)
        reply = await self._sandboxes.proxy.send(request, deadline=SIGNAL_DEADLINE)
        read_done(reply)

    async def close(self) -> None:
        """End the session with all that runs in it."""
        await self._sandboxes.proxy.send(pipes.close_session(self.name, self.session))

    def execute_request(self, task: Task) -> Request:
        """Return the request that starts a task."""
        return pipes.execute(self.name, self.session, task)

    async def _take(self, reply: Reply) -> None:
        self._see(pipes.read_executed(reply))

    async def _poll(self, seconds: float, deadline: float, *, sent: bool) -> bool:
        """Read new output, with a long poll of so many seconds; return whether there was any."""
        offset, stderr_offset = self._output_mask.end, self._errors_mask.end
        request = pipes.output(self.name, self.session, offset, stderr_offset, wait=seconds)
        reply = await self._ask(request, sent=sent, deadline=deadline)
        piece = pipes.read_output(reply, offset, stderr_offset)
        if piece.status.state != "empty":
            self._check_starts(piece.ends)
        self._see(piece)
        return bool(piece.chunks)

    def _check_starts(self, ends: tuple[int, int]) -> None:
        for start, end, which in zip(self._starts, ends, ("output", "standard error"), strict=True):
            if start > end:
                raise NoSuchPosition(
                    f"The {which} of session '{self.session}' has {pluralize(end, 'byte')} so far,"
                    f" and what follows byte {start} was asked for",
                    advice=f"Give {end} at most, or leave it out to read all.",
                )

    def _see(self, piece: PipeSnapshot) -> None:
        self.status = piece.status
        self._watch.is_running = not self.status.has_ended
        for chunk in piece.chunks:
            mask = self._errors_mask if chunk.is_error else self._output_mask
            self._record(mask.feed(chunk))
        if self.status.has_ended:
            self._record(self._output_mask.flush())
            self._record(self._errors_mask.flush())

    def _record(self, shown: Iterable[OutputChunk]) -> None:
        for chunk in shown:
            (self._errors if chunk.is_error else self._output).add(chunk)
            self._watch.on_output(chunk)
