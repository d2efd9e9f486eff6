"""Cancel a command: send signals in turn, and wait for the effect of each.

Signals are sent even if the state of the command cannot be read, and its output is read only once,
at the end, so that neither a long output nor a slow response delays them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_client.api.runtime import SIGNAL_MAY_BE_SENT
from sandbox_client.errors import NOTHING_DONE, ProxyRefused, SandboxError
from sandbox_client.polling import backoff

from .follower import FIRST_LOOK, INSTANT, LONGEST_PAUSE
from .remote_command import FIRST_LOOK_DEADLINE, LOOK_DEADLINE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sandbox_client.api.runtime import Signal

    from .follower import OutputFollower
    from .remote_command import RemoteCommand

GRACE: Mapping[Signal, float] = {"SIGINT": 3.0, "SIGTERM": 5.0, "SIGKILL": 7.0}  # seconds
ATTEMPTS = 3  # to send a signal, if the response is lost
LOOKS_WITHIN = 35.0  # seconds; later, no more looks if the last one failed


class Cancellation:
    """Cancel the command of a session; `sent` are the signals that may have been delivered."""

    def __init__(self, remote: RemoteCommand, follower: OutputFollower) -> None:
        self.sent: list[Signal] = []
        self._remote = remote
        self._watch = follower
        self._is_answered = False
        self._lost: SandboxError | None = None  # the error of the last signal

    @property
    def unseen(self) -> str:
        """The error that hides the state of the command or its output; empty if there is none."""
        if self._lost is not None and not self._remote.status.has_ended:
            return self._lost.message
        return self._watch.unseen

    async def run(self, signals: Sequence[Signal]) -> None:
        """Send one signal after another until the command has ended, and read its output.

        Raises:
            SandboxError: no signal got a response, and no look has shown the end.
        """
        for signal in signals:
            if self._remote.status.has_ended or not await self._send(signal):
                break
            self._watch.doing = "waiting for the command to end"
            await self._wait_for_end(GRACE[signal])
        await self._read_output()
        if self._lost and not self._is_answered and not self._remote.status.has_ended:
            raise self._lost.but(advice=SIGNAL_MAY_BE_SENT)

    async def look(self) -> None:
        """Read the state of the command; a passing failure is kept in the watch."""
        await self._see(self._peek)

    async def _peek(self) -> None:
        self._remote.status = await self._remote.peek(LOOK_DEADLINE, sent=bool(self.sent))

    async def _see(self, look: Callable[[], Awaitable[None]]) -> None:
        """Run `look`, unless looks have failed for too long."""
        follower = self._watch
        if follower.unseen and follower.elapsed >= LOOKS_WITHIN:
            return
        try:
            await look()
        except SandboxError as error:
            if not error.retryable:
                raise
            follower.unseen = error.message
        else:
            follower.unseen = ""

    async def _send(self, signal: Signal) -> bool:
        """Send a signal, with retries; return False if the command had ended before."""
        for _ in range(ATTEMPTS):
            self._lost = None
            try:
                await self._remote.send_signal(signal)
            except NOTHING_DONE as error:
                return await self._is_outage(error)
            except SandboxError as error:
                self._lost = error
            if signal not in self.sent:
                self.sent.append(signal)
            if self._lost is None:
                self._is_answered = True
                break
            if self._watch.unseen:
                break
            await self.look()
            if self._remote.status.has_ended:
                break
        return True

    async def _is_outage(self, error: SandboxError) -> bool:
        """Return True if a passing outage prevented a signal, False if the command had ended.

        Raises:
            SandboxError: the signal was refused for another reason.
        """
        if isinstance(error, ProxyRefused):
            await self.look()
            if self._remote.status.has_ended:
                return False
        if not (self.sent and error.retryable):
            raise error
        self._lost = error
        return True

    async def _wait_for_end(self, seconds: float) -> None:
        follower = self._watch
        follower.wait_for(seconds)
        for pause in backoff(FIRST_LOOK, LONGEST_PAUSE):
            await self.look()
            if self._remote.status.has_ended or follower.left < INSTANT:
                break
            await follower.timing.sleep(min(pause, follower.left))

    async def _read_output(self) -> None:
        if self._watch.unseen or self._remote.api == "pipes":  # else each look has read it
            await self._see(self._look)

    async def _look(self) -> None:
        await self._remote.look(LOOK_DEADLINE if self._watch.unseen else FIRST_LOOK_DEADLINE)
