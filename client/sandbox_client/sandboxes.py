"""Create, list, pause, resume and delete sandboxes, for the tools and the terminal commands.

If the response to a change is lost, the status shows whether it was applied before an error is
raised.
"""

from __future__ import annotations

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
    ProxyFailed,
    ProxyRefused,
    RateLimited,
    SandboxDeleted,
    SandboxError,
    SandboxNotFound,
)
from .failures import DELETE_FIRST, DIAGNOSIS_DEADLINE, Failures
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

PROBE_DEADLINE = 5.0  # seconds for the runtime to answer, before the status is read again
LOST_DEADLINE = 10.0  # seconds until a change has to show if its response was lost
CLOCK_SLACK = 2.0  # seconds by which the proxy's creation time may be before the request


@dataclass(frozen=True)
class Sandboxes:
    """The sandboxes of the user at `proxy`.

    `without_pipes` has the time at which the runtime of a sandbox was found to lack the pipe API.
    A new pod may have another image, so the entry is removed on a create or resume.
    """

    proxy: Proxy
    timing: Timing = field(default_factory=Timing)
    without_pipes: dict[str, float] = field(default_factory=dict[str, float], repr=False)

    @property
    def failures(self) -> Failures:
        """Explains failed requests by the status."""
        return Failures(self.proxy, self.timing)

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
            raise await self.failures.explain_taken_name(name, error) from None
        if image is None and await self._existed_before(name, self.timing.clock() - start):
            taken = AlreadyExists(f"The name '{name}' is taken")
            raise await self.failures.explain_taken_name(name, taken)
        outcome = await self._wait(State.READY, name, report, deadline)
        return replace(outcome, image=image or "")

    async def status(self, name: str) -> Sandbox:
        """Return the current status of a sandbox.

        Raises:
            SandboxUnreadable: the proxy has the sandbox, and cannot read its status.
        """
        try:
            return await self.failures.look(name)
        except ProxyFailed as error:
            message = f"The proxy cannot read the state of sandbox '{name}' in the cluster"
            raise await self.failures.explain_unreadable(name, error, message) from None

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
        return await read_rows(chosen, now, self.failures.look), now

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
                step = "Only" if request.operation == "delete" else DELETE_FIRST
                raise await self.failures.explain_unreadable(
                    request.sandbox, error, message, step=step
                ) from None

    async def _existed_before(self, name: str, seconds: float) -> bool:
        """Return whether a sandbox is older than `seconds` by the clock of the proxy."""
        try:
            now = accounts.read_health(await self.proxy.send(accounts.health())).time
            age = age_of(await self.failures.look(name, deadline=DIAGNOSIS_DEADLINE), now)
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
                sandbox = await self.failures.look(name, deadline=LOST_DEADLINE)
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

    async def _is_ready(self, name: str) -> bool:
        """Return whether the sandbox is ready now; False if the status cannot be read."""
        try:
            return (
                await self.failures.look(name, deadline=DIAGNOSIS_DEADLINE)
            ).state is State.READY
        except SandboxError:
            return False

    async def _wait(
        self, goal: State, name: str, report: ProgressCallback, deadline: float
    ) -> WaitResult:
        async def look(seconds: float) -> Sandbox:
            return await self.failures.look(name, deadline=seconds)

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
        return replace(
            outcome, error=await self.failures.explain_unreadable(name, outcome.error, message)
        )

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


def _read_done(reply: Reply) -> bool:
    sandboxes.read_done(reply)
    return True


def _exists(sandbox: Sandbox | None) -> bool:
    return sandbox is not None


def _is_paused(sandbox: Sandbox | None) -> bool:
    return sandbox is not None and sandbox.state is State.PAUSED
