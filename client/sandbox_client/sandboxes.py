"""Create, list, pause, resume and delete sandboxes, for the tools and the terminal commands.

If the response to a change is lost, the status shows whether it was applied before an error is
raised.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from .api import accounts, runtime, sandboxes
from .api.sandboxes import State
from .errors import (
    NOTHING_DONE,
    AlreadyExists,
    DeadlineExceeded,
    InvalidResponse,
    KeyRejected,
    NotReady,
    Paused,
    ProxyFailed,
    ProxyRefused,
    RateLimited,
    RuntimeSilent,
    SandboxDeleted,
    SandboxError,
    SandboxExpired,
    SandboxFailed,
    SandboxNotFound,
    SandboxUnreadable,
)
from .listing import age_of, agreed_time, read_rows
from .polling import Timing, backoff, ignore_progress, periodic_progress
from .readiness import (
    PAUSE_DEADLINE,
    READY_DEADLINE,
    WaitResult,
    wait_for_state,
)

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import TypeVar

    from .api.message import Reply, Request
    from .api.sandboxes import Sandbox
    from .http import Proxy
    from .listing import Row
    from .polling import ProgressCallback

    T = TypeVar("T")

DIAGNOSIS_DEADLINE = 5.0  # seconds
PROBE_DEADLINE = 5.0  # seconds for the runtime to answer, before the status is read again
STALE_STATUS_LOOKS = 3  # about a second
LOST_DEADLINE = 10.0  # seconds until a change has to show if its response was lost
CLOCK_SLACK = 2.0  # seconds by which the proxy's creation time may be before the request
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
_DELETE_FIRST = "Remove it with {delete}; if that fails, only"
_REMOVAL = "the proxy's administrator can remove it, and its name is taken until then."
# For a command that the pause may have ended: another run might repeat its effects.
_AFTER_PAUSE = (
    "Resume it with {resume}. The pause has ended the command and its session: look at the effects"
    " of the command before you send it again."
)


@dataclass(frozen=True)
class Sandboxes:
    """The sandboxes of the user at `proxy`.

    `without_pipes` has the time at which the runtime of a sandbox was found to lack the pipe API.
    A new pod may have another image, so the entry is removed on a create or resume.
    """

    proxy: Proxy
    timing: Timing = field(default_factory=Timing)
    without_pipes: dict[str, float] = field(default_factory=dict[str, float], repr=False)

    async def create(
        self,
        name: str,
        *,
        image: str | None,
        port: int | None,
        report: ProgressCallback,
        deadline: float = READY_DEADLINE,
    ) -> WaitResult:
        """Create a sandbox and wait up to `deadline` seconds until it is ready.

        Raises:
            AlreadyExists: the user has a sandbox of that name; the message has its state.
        """
        self.without_pipes.pop(name, None)
        config = self.proxy.config
        request = sandboxes.create(
            name,
            image=image or config.default_image,
            port=config.default_port if port is None else port,
        )
        start = self.timing.clock()
        try:
            image = await self._change(
                request, lambda reply: sandboxes.read_created(reply, name), _exists, report
            )
        except AlreadyExists as error:
            raise await self._with_existing_state(name, error) from None
        if image is None and await self._existed_before(name, self.timing.clock() - start):
            taken = AlreadyExists(f"The name '{name}' is taken")
            raise await self._with_existing_state(name, taken)
        outcome = await self._wait(State.READY, name, report, deadline)
        return replace(outcome, image=image or "")

    async def status(self, name: str) -> Sandbox:
        """Return the current status of a sandbox.

        Raises:
            SandboxUnreadable: the proxy has the sandbox, and cannot read its status.
        """
        try:
            return await self._look(name)
        except ProxyFailed as error:
            message = f"The proxy cannot read the state of sandbox '{name}' in the cluster"
            raise await self._explain_unreadable(name, error, message) from None

    async def list(self) -> list[Row]:
        """Return all sandboxes, newest first, each with its state and age."""
        return (await self.list_at())[0]

    async def list_at(
        self, names: Sequence[str] = ()
    ) -> tuple[builtins.list[Row], datetime | None]:
        """Return all sandboxes, or those with these names, and the time of the list.

        The time is None if the clock of this machine is wrong.
        """
        reply = await self.proxy.send(sandboxes.listing())
        now = agreed_time(self.timing.now(), reply.date)
        listed = sandboxes.read_listing(reply)
        chosen = [each for each in listed if not names or each.name in names]
        return await read_rows(chosen, now, self._look), now

    async def delete(self, name: str, *, report: ProgressCallback = ignore_progress) -> bool:
        """Delete a sandbox; the proxy may keep its files in /sandbox.

        Returns False if the response was lost and the sandbox no longer exists.

        Raises:
            SandboxNotFound: the sandbox does not exist.
        """
        request = sandboxes.delete(name)
        done = await self._change(request, _read_done, lambda sandbox: sandbox is None, report)
        return done is not None

    async def pause(self, name: str, *, report: ProgressCallback) -> WaitResult:
        """Stop a sandbox, keep its files in /sandbox and wait until its status shows the pause."""
        await self._change(sandboxes.pause(name), _read_done, _is_paused, report)
        return await self._wait(State.PAUSED, name, report, PAUSE_DEADLINE)

    async def resume(
        self, name: str, *, report: ProgressCallback, deadline: float = READY_DEADLINE
    ) -> WaitResult:
        """Start a paused sandbox and wait up to `deadline` seconds until it is ready."""
        self.without_pipes.pop(name, None)
        was_ready = await self._is_ready(name)
        await self._change(
            sandboxes.resume(name),
            _read_done,
            lambda sandbox: _exists(sandbox) and not _is_paused(sandbox),
            report,
        )
        outcome = await self._wait(State.READY, name, report, deadline)
        return replace(outcome, was_ready=was_ready)

    async def explain_failure(
        self, name: str, error: SandboxError, *, not_done: str = ""
    ) -> SandboxError:
        """Return a more exact error for a failed request to the runtime, or `error` itself.

        The proxy's response is the same for a paused and a starting sandbox, and a plain 500 from
        the deployed proxy, so the status is read. `not_done` names the effect that the request
        certainly did not have; if it is empty, a command may have been started.
        """
        if not isinstance(error, NotReady | ProxyFailed):
            return error
        try:
            sandbox = await self._status_after_failure(name)
        except SandboxError as unread:
            # A command that may be running is still followed: the cluster may be back soon.
            is_lost = bool(not_done) and isinstance(unread, ProxyFailed)
            message = (
                f"The proxy cannot read the state of sandbox '{name}' in the cluster; {not_done}"
            )
            return await self._explain_unreadable(name, error, message) if is_lost else error
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

    async def _change(
        self,
        request: Request,
        read: Callable[[Reply], T],
        is_done: Callable[[Sandbox | None], bool],
        report: ProgressCallback,
    ) -> T | None:
        """Send `request` and read the reply; None if it was lost but the status shows the change.

        Raises:
            SandboxError: the request failed, or the reply was lost and the change does not show.
        """
        start, activity = self.timing.clock(), "waiting for the proxy's answer"

        async def report_progress() -> None:
            await report(self.timing.clock() - start, None, activity)

        async with periodic_progress(report_progress):
            try:
                return await self.proxy.fetch(request, read)
            except NOTHING_DONE:
                raise
            except SandboxError as error:
                activity = f"looking whether it was done: {error.message}"
                is_applied = await self._confirm_applied(request.sandbox, is_done)
                if is_applied:
                    return None
                if is_applied is False:
                    raise
                message = (
                    f"The proxy failed to {request.operation} sandbox '{request.sandbox}', and"
                    " cannot read its state in the cluster"
                )
                step = "Only" if request.operation == "delete" else _DELETE_FIRST
                raise await self._explain_unreadable(
                    request.sandbox, error, message, step=step
                ) from None

    async def _existed_before(self, name: str, seconds: float) -> bool:
        """Return whether a sandbox is older than `seconds` by the clock of the proxy."""
        try:
            now = accounts.read_health(await self.proxy.send(accounts.health())).time
            age = age_of(await self._look(name, deadline=DIAGNOSIS_DEADLINE), now)
        except SandboxError:
            return False
        return age is not None and age > timedelta(seconds=seconds + CLOCK_SLACK)

    async def _confirm_applied(
        self, name: str, is_done: Callable[[Sandbox | None], bool]
    ) -> bool | None:
        """Return whether the status shows a change within LOST_DEADLINE; None if the proxy fails.

        `is_done` gets the status, or None if the sandbox does not exist.
        """
        start = self.timing.clock()
        for interval in backoff(random=self.timing.random):
            sandbox: Sandbox | None = None
            try:
                sandbox = await self._look(name, deadline=LOST_DEADLINE)
            except SandboxNotFound:
                pass
            except SandboxError as error:
                return None if isinstance(error, ProxyFailed) else False
            if is_done(sandbox):
                return True
            if self.timing.clock() - start >= LOST_DEADLINE:
                return False
            await self.timing.sleep(interval)
        raise AssertionError  # pragma: no cover  # the backoff never ends

    async def _with_existing_state(self, name: str, error: AlreadyExists) -> AlreadyExists:
        """Return the error with the state of the sandbox that has the name."""
        message = f"You have a sandbox '{name}' already, and the proxy cannot read its state in the"
        message += " cluster"
        try:
            sandbox = await self._look(name, deadline=DIAGNOSIS_DEADLINE)
        except ProxyFailed as unread:
            explained = await self._explain_unreadable(name, unread, message)
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

    async def _look(self, name: str, *, deadline: float | None = None) -> Sandbox:
        reply = await self.proxy.send(sandboxes.status(name), deadline=deadline)
        return sandboxes.read_sandbox(reply, name)

    async def _explain_unreadable(
        self, name: str, error: SandboxError, message: str, *, step: str = _DELETE_FIRST
    ) -> SandboxError:
        """Return the error for a sandbox that the list shows as unreadable, or `error` itself.

        `message` says what failed; the proxy's words follow it. `step` is for one that is gone.
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

    async def _is_ready(self, name: str) -> bool:
        """Return whether the sandbox is ready now; False if the status cannot be read."""
        try:
            return (await self._look(name, deadline=DIAGNOSIS_DEADLINE)).state is State.READY
        except SandboxError:
            return False

    async def _wait(
        self, goal: State, name: str, report: ProgressCallback, deadline: float
    ) -> WaitResult:
        async def look(seconds: float) -> Sandbox:
            return await self._look(name, deadline=seconds)

        async def ask_runtime(seconds: float) -> str:
            return await self._ask_runtime(name, min(seconds, PROBE_DEADLINE))

        try:
            outcome = await wait_for_state(
                goal,
                look,
                report=report,
                timing=self.timing,
                deadline=deadline,
                ask_runtime=ask_runtime if goal is State.READY else None,
            )
        except SandboxNotFound:
            raise SandboxDeleted.during(name, f"it was to become {goal.value}") from None
        if outcome.error is None:
            return outcome
        message = "the proxy cannot read it in the cluster"
        return replace(outcome, error=await self._explain_unreadable(name, outcome.error, message))

    async def _ask_runtime(self, name: str, deadline: float) -> str:
        """Return why the runtime of a ready sandbox does not answer; an empty string if it does.

        A refusal by the runtime is an answer: an image may lack the route.

        Raises:
            SandboxError: the proxy cannot be reached, or refuses the request itself.
        """
        request = runtime.describe(name)
        try:
            runtime.read_described(await self.proxy.send(request, deadline=deadline, attempts=1))
        except (NotReady, ProxyFailed, DeadlineExceeded, InvalidResponse) as error:
            return f"its runtime does not answer yet: {error.message}"
        except (KeyRejected, RateLimited, SandboxNotFound):
            raise
        except ProxyRefused:
            pass
        return ""

    async def _status_after_failure(self, name: str) -> Sandbox:
        """Return the status after a command was refused: wait a second if it still says ready.

        Right after a pause, the proxy refuses commands while the status is still the old one.
        """
        sandbox = await self._look(name, deadline=DIAGNOSIS_DEADLINE)
        for interval in itertools.islice(backoff(random=self.timing.random), STALE_STATUS_LOOKS):
            if sandbox.state is not State.READY:
                break
            await self.timing.sleep(interval)
            sandbox = await self._look(name, deadline=DIAGNOSIS_DEADLINE)
        return sandbox


def _silence(name: str, error: SandboxError, outcome: str, *, is_certain: bool) -> RuntimeSilent:
    """Return the error for a ready sandbox whose runtime does not answer."""
    return RuntimeSilent(
        f"Sandbox '{name}' is ready, but its runtime does not answer yet; {outcome}",
        advice=None if is_certain else error.advice,
        retryable=error.retryable,
    )


def _read_done(reply: Reply) -> bool:
    sandboxes.read_done(reply)
    return True


def _exists(sandbox: Sandbox | None) -> bool:
    return sandbox is not None


def _is_paused(sandbox: Sandbox | None) -> bool:
    return sandbox is not None and sandbox.state is State.PAUSED
