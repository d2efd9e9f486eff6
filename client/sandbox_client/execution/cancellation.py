"""Cancel a command: send signals in turn, and wait for the effect of each.

Signals are sent even if the state of the command cannot be read. The output is read only once, at
the end, so that neither long output nor a slow response delays the signals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_client.api.runtime import SIGNAL_MAY_BE_SENT
from sandbox_client.errors import NOTHING_DONE, ProxyRefused, SandboxError
from sandbox_client.polling import backoff

from .follower import FIRST_LOOK, LONGEST_PAUSE, MIN_WAIT
from .remote_command import FIRST_LOOK_DEADLINE, LOOK_DEADLINE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sandbox_client.api.runtime import Signal

    from .follower import OutputFollower
    from .remote_command import RemoteCommand

GRACE: Mapping[Signal, float] = {"SIGINT": 3.0, "SIGTERM": 5.0, "SIGKILL": 7.0}  # seconds
ATTEMPTS = 3  # to send a signal, if the response is lost
LOOK_TIMEOUT = 35.0  # seconds after which a failed look is the last one


class Cancellation:
    """Cancel the command of a session; `sent` are the signals that may have been delivered."""

    def __init__(self, remote: RemoteCommand, follower: OutputFollower) -> None:
        self.sent: list[Signal] = []
        self._remote = remote
        self._follower = follower
        self._is_delivered = False  # at least one signal got a response
        self._error: SandboxError | None = None  # of the last signal

    @property
    def read_error(self) -> str:
        """The error that hides the state of the command or its output; empty if there is none."""
        if self._error is not None and not self._remote.status.has_ended:
            return self._error.message
        return self._follower.read_error

    async def run(self, signals: Sequence[Signal]) -> None:
        """Send one signal after another until the command has ended, and read its output.

        Raises:
            SandboxError: no signal got a response, and the command is not known to have ended.
        """
        for signal in signals:
            if self._remote.status.has_ended or not await self._send(signal):
                break
            self._follower.activity = "waiting for the command to end"
            await self._wait_for_end(GRACE[signal])
        await self._read_output()
        if self._error and not self._is_delivered and not self._remote.status.has_ended:
            raise self._error.but(advice=SIGNAL_MAY_BE_SENT)

    async def look(self) -> None:
        """Read the state of the command; the follower keeps the reason of a transient failure."""
        await self._try(self._peek)

    async def _peek(self) -> None:
        self._remote.status = await self._remote.peek(LOOK_DEADLINE, sent=bool(self.sent))

    async def _try(self, look: Callable[[], Awaitable[None]]) -> None:
        """Run `look`, unless looks have failed for too long."""
        follower = self._follower
        if follower.read_error and follower.elapsed >= LOOK_TIMEOUT:
            return
        try:
            await look()
        except SandboxError as error:
            if not error.retryable and self._error is not None:
                raise error.but(advice=f"{SIGNAL_MAY_BE_SENT} {error.advice}") from None
            if not error.retryable:
                raise
            follower.read_error = error.message
        else:
            follower.read_error = ""

    async def _send(self, signal: Signal) -> bool:
        """Send a signal, with retries; return False if the command had ended before."""
        for _ in range(ATTEMPTS):
            self._error = None
            try:
                await self._remote.send_signal(signal)
            except NOTHING_DONE as error:
                return await self._is_outage(error)
            except SandboxError as error:
                self._error = error
            if signal not in self.sent:
                self.sent.append(signal)
            if self._error is None:
                self._is_delivered = True
                break
            if self._follower.read_error:
                break
            await self.look()
            if self._remote.status.has_ended:
                break
        return True

    async def _is_outage(self, error: SandboxError) -> bool:
        """Return True if a transient outage prevented a signal, False if the command had ended.

        Raises:
            SandboxError: the signal was refused for another reason.
        """
        if isinstance(error, ProxyRefused):
            await self.look()
            if self._remote.status.has_ended:
                return False
        if not (self.sent and error.retryable):
            raise error
        self._error = error
        return True

    async def _wait_for_end(self, seconds: float) -> None:
        follower = self._follower
        follower.wait_for(seconds)
        for pause in backoff(FIRST_LOOK, LONGEST_PAUSE):
            await self.look()
            if self._remote.status.has_ended or follower.remaining < MIN_WAIT:
                break
            await follower.timing.sleep(min(pause, follower.remaining))

    async def _read_output(self) -> None:
        if (
            self._follower.read_error or self._remote.api == "pipes"
        ):  # otherwise each look has read it
            await self._try(self._look)

    async def _look(self) -> None:
        await self._remote.look(LOOK_DEADLINE if self._follower.read_error else FIRST_LOOK_DEADLINE)
