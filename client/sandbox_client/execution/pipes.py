"""A command that runs with the runtime's pipe API: read by byte offsets, with long polls."""

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

AFTER_OUTPUT = 0.08  # seconds until the next look: one request per line would be too many


class PipeCommand(RemoteCommand):
    """The only command of a session; its streams are read from two byte offsets on."""

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
        """The API of the runtime."""
        return "pipes"

    @property
    def output(self) -> Output:
        """Standard output so far."""
        return self._output.output()

    @property
    def errors(self) -> Output:
        """Standard error so far."""
        return self._errors.output()

    async def open(self) -> None:
        """Open the session.

        Raises:
            NoSuchAPI: the runtime has no pipe API.
        """
        request = pipes.open_session(self.name, self.session)
        pipes.read_opened(await self._request(request), self.session)

    async def look(self, deadline: float | None = None, *, sent: bool = False) -> None:
        """Read the state and the output since the last look."""
        limit = FIRST_LOOK_DEADLINE if deadline is None else deadline
        await self._poll(0.0, limit, sent=sent)

    async def peek(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> CommandStatus:
        """Return the status of the command, without reading its output."""
        return (await self._read_end(deadline, sent=sent)).status

    async def skip_to_end(self, length: int) -> None:
        """Skip all but about the last `length` bytes of each stream."""
        self._start_at(*(max(end - length, 0) for end in (await self._read_end()).ends))

    def _start_at(self, after: int, stderr_after: int) -> None:
        follower = self._follower
        self._starts = after, stderr_after
        self._output, self._errors = Recorder(after), Recorder(stderr_after)
        self._output_mask = Masker(follower.secret, after, others=follower.secrets)
        self._errors_mask = Masker(follower.secret, stderr_after, others=follower.secrets)

    async def _read_end(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> PipeSnapshot:
        # For an offset past the end, the runtime returns the offset of the end and no output.
        offset = pipes.PAST_THE_END
        request = pipes.output(self.name, self.session, offset, offset)
        reply = await self._request(request, sent=sent, deadline=deadline)
        return pipes.read_output(reply, offset, offset, self.session)

    async def wait(self, pause: float) -> None:
        """Wait for output or the end with a long poll; after output, pause for AFTER_OUTPUT."""
        follower = self._follower
        if follower.read_error:  # a poll that fails may fail at once
            await follower.timing.sleep(min(pause, follower.remaining))
        async with self._turn() as longest:
            if not longest:
                return
            seconds = min(max(follower.remaining, 0.0), longest)
            start = follower.timing.clock()
            has_output = await self._poll(seconds, follower.remaining + LOOK_DEADLINE, sent=True)
        if self.status.has_ended:
            return
        # A poll without output has taken `seconds`, unless something on the way answers at once.
        rest = AFTER_OUTPUT if has_output else pause - (follower.timing.clock() - start)
        if (rest := min(rest, follower.remaining)) > 0:
            await follower.timing.sleep(rest)

    async def send_signal(self, signal: Signal) -> None:
        """Send a signal to the running command."""
        request = pipes.send_signal(self.name, self.session, signal)
        await self._sandboxes.proxy.fetch(request, read_done, deadline=SIGNAL_DEADLINE)

    async def close(self) -> None:
        """End the session and its processes."""
        await self._sandboxes.proxy.send(pipes.close_session(self.name, self.session))

    def execute_request(self, task: Task) -> Request:
        """Return the request that starts a task."""
        return pipes.execute(self.name, self.session, task)

    async def _read_reply(self, reply: Reply) -> None:
        self._update(pipes.read_executed(reply, self.session))

    async def _poll(self, seconds: float, deadline: float, *, sent: bool) -> bool:
        """Read new output, with a long poll of `seconds`; return whether there was any."""
        offset, stderr_offset = self._output_mask.end, self._errors_mask.end
        request = pipes.output(self.name, self.session, offset, stderr_offset, wait=seconds)
        reply = await self._request(request, sent=sent, deadline=deadline)
        snapshot = pipes.read_output(reply, offset, stderr_offset, self.session)
        if snapshot.status.state != "empty":
            self._check_starts(snapshot.ends)
        self._update(snapshot)
        return bool(snapshot.chunks)

    def _check_starts(self, ends: tuple[int, int]) -> None:
        names = ("output", "standard error")
        for start, end, name in zip(self._starts, ends, names, strict=True):
            if start > end:
                raise NoSuchPosition(
                    f"The {name} of session '{self.session}' has {pluralize(end, 'byte')} so far,"
                    f" and what follows byte {start} was asked for",
                    advice=f"Give {end} at most, or leave it out to read all.",
                )

    def _update(self, snapshot: PipeSnapshot) -> None:
        self.status = snapshot.status
        self._follower.is_running = not self.status.has_ended
        for chunk in snapshot.chunks:
            mask = self._errors_mask if chunk.is_error else self._output_mask
            self._record(mask.feed(chunk))
        if self.status.has_ended:
            self._record(self._output_mask.flush())
            self._record(self._errors_mask.flush())

    def _record(self, chunks: Iterable[OutputChunk]) -> None:
        for chunk in chunks:
            (self._errors if chunk.is_error else self._output).add(chunk)
            self._follower.on_output(chunk)
