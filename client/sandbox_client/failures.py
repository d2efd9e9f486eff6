"""Explain a failed request by the status of its sandbox.

The proxy's response is the same for a paused and a starting sandbox, and the deployed one answers
a plain 500, also for a sandbox that is gone from the cluster.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .api import sandboxes
from .api.sandboxes import State
from .errors import (
    AlreadyExists,
    NotReady,
    Paused,
    ProxyFailed,
    RuntimeSilent,
    SandboxError,
    SandboxExpired,
    SandboxFailed,
    SandboxUnreadable,
)
from .polling import Timing, backoff

if TYPE_CHECKING:
    from .api.sandboxes import Sandbox
    from .http import Proxy

DIAGNOSIS_DEADLINE = 5.0  # seconds
STALE_STATUS_LOOKS = 3  # about a second
_NEXT_STEPS = {
    State.READY: "Run commands in it with {run}",
    State.PAUSED: "Start it again with {resume}",
    State.FAILED: "Remove it with {delete}",
    State.EXPIRED: "Remove it with {delete}",
}
_IS_GONE = (
    "The proxy can read your other sandboxes, so that waiting does not help: the resource of this"
    " one is gone from the cluster."
)
_MAY_BE_GONE = (
    "If it stays so for some minutes, its resource may be gone from the cluster: then only"
)
DELETE_FIRST = "Remove it with {delete}; if that fails, only"
_REMOVAL = "the proxy's administrator can remove it, and its name is taken until then."
# For a command that the pause may have ended: another run might repeat its effects.
_AFTER_PAUSE = (
    "Resume it with {resume}. The pause has ended the command and its session: look at the effects"
    " of the command before you send it again."
)


@dataclass(frozen=True)
class Failures:
    """Explains failures of requests to `proxy`; its methods return errors, and `look` raises."""

    proxy: Proxy
    timing: Timing

    async def look(self, name: str, *, deadline: float | None = None) -> Sandbox:
        """Read the status of a sandbox.

        Raises:
            SandboxError: it cannot be read.
        """
        reply = await self.proxy.send(sandboxes.status(name), deadline=deadline)
        return sandboxes.read_sandbox(reply, name)

    async def explain(self, name: str, error: SandboxError, *, not_done: str = "") -> SandboxError:
        """Return a more exact error for a failed request to the runtime, or `error` itself.

        `not_done` names the effect that the request certainly did not have; if it is empty, a
        command may have been started.
        """
        if not isinstance(error, NotReady | ProxyFailed):
            return error
        try:
            sandbox = await self._status_after(name)
        except SandboxError as unread:
            # A command that may be running is still followed: the cluster may be back soon.
            is_lost = bool(not_done) and isinstance(unread, ProxyFailed)
            message = (
                f"The proxy cannot read the state of sandbox '{name}' in the cluster; {not_done}"
            )
            return await self.explain_unreadable(name, error, message) if is_lost else error
        state, reason = sandbox.state, sandbox.explanation
        outcome = not_done or f"no result: {error.message}"
        if state is State.PAUSED:
            advice = None if not_done else _AFTER_PAUSE
            return Paused(f"Sandbox '{name}' is paused; {outcome}", advice=advice)
        if state.is_over:
            kind = SandboxExpired if state is State.EXPIRED else SandboxFailed
            return kind(f"Sandbox '{name}' is {state.value} ({reason}); {outcome}")
        if state is State.READY and (
            isinstance(error, NotReady) or "fetch failed" in error.message
        ):
            return _silence(name, error, outcome, is_certain=bool(not_done))
        if not_done and isinstance(error, NotReady):
            return NotReady(f"Sandbox '{name}' is not ready ({state.value}: {reason}); {outcome}")
        return error

    async def explain_taken_name(self, name: str, error: AlreadyExists) -> AlreadyExists:
        """Return the error with the state of the sandbox that has the name."""
        message = f"You have a sandbox '{name}' already, and the proxy cannot read its state in the"
        message += " cluster"
        try:
            sandbox = await self.look(name, deadline=DIAGNOSIS_DEADLINE)
        except ProxyFailed as unread:
            explained = await self.explain_unreadable(name, unread, message)
            if explained is unread:
                return error
            return AlreadyExists(
                explained.message, advice=f"Choose another name. {explained.advice}"
            )
        except SandboxError:
            return error
        state = sandbox.state
        created = f", created {sandbox.created_at}" if sandbox.created_at else ""
        step = _NEXT_STEPS.get(state, "Check with {status} until it is ready")
        return AlreadyExists(
            f"You have a sandbox '{name}' already: it is {state.value} ({sandbox.explanation})"
            f"{created}. It was left as it is",
            advice=f"{step}, or choose another name.",
        )

    async def explain_unreadable(
        self, name: str, error: SandboxError, message: str, *, step: str = DELETE_FIRST
    ) -> SandboxError:
        """Return the error for a sandbox that the list shows as unreadable, or `error` itself.

        `message` names the failure; the proxy's words follow it. `step` is for one that is gone.
        """
        if not isinstance(error, ProxyFailed):
            return error
        try:
            listed = await self.proxy.send(
                sandboxes.listing(), deadline=DIAGNOSIS_DEADLINE, attempts=1
            )
            states = {row.name: row.state for row in sandboxes.read_listing(listed)}
        except SandboxError:
            return error
        if states.get(name) is not State.UNKNOWN:
            return error
        is_only_one = list(states.values()).count(State.UNKNOWN) == 1 < len(states)
        reason = f"{_IS_GONE} {step}" if is_only_one else _MAY_BE_GONE
        return SandboxUnreadable(
            f"{message}: {error.message}", advice=f"{reason} {_REMOVAL}", status=error.status
        )

    async def _status_after(self, name: str) -> Sandbox:
        """Return the status after a command was refused: wait a second if it still says ready.

        Right after a pause, the proxy refuses commands while the status is still the old one.
        """
        sandbox = await self.look(name, deadline=DIAGNOSIS_DEADLINE)
        for interval in itertools.islice(backoff(random=self.timing.random), STALE_STATUS_LOOKS):
            if sandbox.state is not State.READY:
                break
            await self.timing.sleep(interval)
            sandbox = await self.look(name, deadline=DIAGNOSIS_DEADLINE)
        return sandbox


def _silence(name: str, error: SandboxError, outcome: str, *, is_certain: bool) -> RuntimeSilent:
    """Return the error for a ready sandbox without an answer of its runtime."""
    return RuntimeSilent(
        f"Sandbox '{name}' is ready, but its runtime does not answer yet; {outcome}",
        advice=None if is_certain else error.advice,
        retryable=error.retryable,
    )
