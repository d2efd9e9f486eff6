"""Ending a command: signals in turn, each with time to show its effect.

A signal goes out also where the command cannot be looked at, and its output is read once, at the
end: neither a long output nor a proxy that sends it byte by byte keeps a command alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import NOTHING_DONE, ProxyRefused, SandboxError
from ._remote_command import FIRST_LOOK_DEADLINE, LOOK_DEADLINE
from ._watch import INSTANT, pauses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from ._remote_command import RemoteCommand
    from ._runtime_wire import Signal
    from ._watch import Watch

GRACE: Mapping[Signal, float] = {"SIGINT": 3.0, "SIGTERM": 5.0, "SIGKILL": 7.0}  # seconds
ATTEMPTS = 3  # at a signal whose answer is lost
LOOKS_WITHIN = 35.0  # seconds after which a command that is out of sight is not looked at again


class Cancellation:
    """Signals to the command of a session; `sent` are those that may have arrived."""

    def __init__(self, remote: RemoteCommand, watch: Watch) -> None:
        self.sent: list[Signal] = []
        self._remote = remote
        self._watch = watch
        self._is_answered = False
        self._lost: SandboxError | None = None  # why the last signal has no answer

    @property
    def unseen(self) -> str:
        """Why it is not known whether the command has ended, or what it had printed."""
        if self._lost is not None and not self._remote.standing.has_ended:
            return self._lost.message
        return self._watch.unseen

    async def run(self, signals: Sequence[Signal]) -> None:
        """Send one signal after another until the command has ended, and read its output.

        Raises:
            SandboxError: no signal was answered, and the command was not seen to end.
        """
        for signal in signals:
            if self._remote.standing.has_ended or not await self._send(signal):
                break
            self._watch.doing = "waiting for the command to end"
            await self._wait_for_end(GRACE[signal])
        await self._read_output()
        if self._lost and not self._is_answered and not self._remote.standing.has_ended:
            self._lost.advice = (
                "The proxy may have done it all the same: look with {output} whether the command"
                " still runs."
            )
            raise self._lost

    async def look(self) -> None:
        """See how the command stands, if that can be."""
        await self._see(self._peek)

    async def _peek(self) -> None:
        self._remote.standing = await self._remote.peek(LOOK_DEADLINE, sent=bool(self.sent))

    async def _see(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look, unless the command has been out of sight for too long."""
        watch = self._watch
        if watch.unseen and watch.elapsed >= LOOKS_WITHIN:
            return
        try:
            await look()
        except SandboxError as error:
            if not error.retryable:
                raise
            watch.unseen = error.message
        else:
            watch.unseen = ""

    async def _send(self, signal: Signal) -> bool:
        """Send a signal, again where its answer is lost; return whether it was not too late."""
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
            if self._remote.standing.has_ended:
                break
        return True

    async def _is_outage(self, error: SandboxError) -> bool:
        """Tell whether a signal was not sent in a passing outage, rather than after the end."""
        if isinstance(error, ProxyRefused):
            await self.look()
            if self._remote.standing.has_ended:
                return False
        if not (self.sent and error.retryable):
            raise error
        self._lost = error
        return True

    async def _wait_for_end(self, seconds: float) -> None:
        watch = self._watch
        watch.wait_for(seconds)
        for pause in pauses():
            await self.look()
            if self._remote.standing.has_ended or watch.left < INSTANT:
                break
            await watch.timing.sleep(min(pause, watch.left))

    async def _read_output(self) -> None:
        if self._watch.unseen or self._remote.api == "pipes":  # else each look has read it
            await self._see(self._look)

    async def _look(self) -> None:
        await self._remote.look(LOOK_DEADLINE if self._watch.unseen else FIRST_LOOK_DEADLINE)
