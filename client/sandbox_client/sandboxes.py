"""A sandbox's life as the tools and the terminal commands share it: made, paused, resumed, deleted.

What a lost reply leaves open is looked at before anybody is told that something failed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from .api import accounts, sandboxes
from .errors import (
    NOTHING_DONE,
    AlreadyExists,
    NotReady,
    Paused,
    ProxyFailed,
    SandboxError,
    SandboxFailed,
    SandboxNotFound,
)
from .polling import Timing, backoff
from .readiness import (
    PAUSE_DEADLINE,
    READY_DEADLINE,
    State,
    WaitResult,
    reason_of,
    state_of,
    wait_for_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .api.message import Reply, Request
    from .api.sandboxes import Sandbox
    from .http import Proxy
    from .polling import ProgressCallback

    T = TypeVar("T")

DIAGNOSIS_DEADLINE = 5.0
SETTLING_LOOKS = 3  # about a second
LOST_DEADLINE = 10.0  # seconds in which what was asked for shows, if the proxy took it
LONG = timedelta(days=1)
_UP = {State.PENDING, State.STARTING, State.READY}
NEVER = datetime.min.replace(tzinfo=UTC)
SLACK = 2.0  # seconds between a request's start and what the proxy calls its creation
MAX_LOOKS = 20  # twice the quota: of a longer list, only those that look ready at first
_NEXT = {
    State.READY: "Run commands in it with {run}",
    State.PAUSED: "Start it again with {resume}",
    State.FAILED: "Remove it with {delete}",
    State.EXPIRED: "Remove it with {delete}",
}


@dataclass(frozen=True)
class Row:
    """A sandbox of a list: `age` is None where the proxy does not say when it was created."""

    sandbox: Sandbox
    state: State
    age: timedelta | None

    @property
    def is_up_for_long(self) -> bool:
        """Whether it was made more than a day ago and runs, or is about to."""
        return self.age is not None and self.age > LONG and self.state in _UP


@dataclass(frozen=True)
class Sandboxes:
    """Do each verb through `proxy`."""

    proxy: Proxy
    timing: Timing = field(default_factory=Timing)
    # Those whose runtime is known to lack the pipe API. A new pod may have another image.
    without_pipes: dict[str, float] = field(default_factory=dict[str, float], repr=False)

    async def create(
        self, name: str, *, image: str | None, port: int | None, report: ProgressCallback
    ) -> WaitResult:
        """Create a sandbox and wait until it is ready.

        Raises:
            AlreadyExists: there is one of that name; the message gives its state.
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
            made = await self._change(
                request, sandboxes.read_created, lambda seen: seen is not None
            )
        except AlreadyExists as error:
            raise await self._existing(name, error) from None
        if made is None and await self._existed_before(name, self.timing.clock() - start):
            raise await self._existing(name, AlreadyExists(f"The name '{name}' is taken"))
        outcome = await self._wait(State.READY, name, report, READY_DEADLINE)
        return replace(outcome, image=made or "")

    async def status(self, name: str, *, deadline: float | None = None) -> Sandbox:
        """Return the sandbox as it is now."""
        reply = await self.proxy.send(sandboxes.status(name), deadline=deadline)
        return sandboxes.read_sandbox(reply)

    async def list(self) -> list[Row]:
        """Return all sandboxes, newest first, each with its state and age.

        The list alone calls a paused sandbox ready, or like one that starts, so each is asked for.
        """
        rows = sandboxes.read_listing(await self.proxy.send(sandboxes.listing()))
        looked: dict[int, Sandbox] = {}

        async def look(index: int) -> None:
            try:
                looked[index] = await self.status(rows[index].name)
            except SandboxError:
                return  # deleted since, or a name that cannot be asked for: the list's word stands

        async with anyio.create_task_group() as tasks:
            for index in sorted(range(len(rows)), key=lambda index: not rows[index].ready)[
                :MAX_LOOKS
            ]:
                tasks.start_soon(look, index)
        now = self.timing.now()
        return [_row(looked.get(index, row), now) for index, row in enumerate(rows)]

    async def delete(self, name: str) -> bool:
        """Remove a sandbox and its files; False where that is seen, and the answer was lost.

        Raises:
            SandboxNotFound: there is none, or none any more.
        """
        done = await self._change(sandboxes.delete(name), _read_done, lambda seen: seen is None)
        return done is not None

    async def pause(self, name: str, *, report: ProgressCallback) -> WaitResult:
        """Stop a sandbox, keep its files and wait until its status shows the pause."""
        await self._change(
            sandboxes.pause(name),
            _read_done,
            lambda seen: seen is not None and state_of(seen) is State.PAUSED,
        )
        return await self._wait(State.PAUSED, name, report, PAUSE_DEADLINE)

    async def resume(self, name: str, *, report: ProgressCallback) -> WaitResult:
        """Start a paused sandbox and wait until it is ready."""
        self.without_pipes.pop(name, None)
        was_ready = await self._is_ready(name)
        await self._change(
            sandboxes.resume(name),
            _read_done,
            lambda seen: seen is not None and state_of(seen) is not State.PAUSED,
        )
        outcome = await self._wait(State.READY, name, report, READY_DEADLINE)
        return replace(outcome, was_ready=was_ready)

    async def explain_failure(
        self, name: str, error: SandboxError, *, not_done: str = ""
    ) -> SandboxError:
        """Return what the sandbox's state says of a failure of its runtime; else `error` itself.

        `undone` says what certainly was not done; without it, a command may have been started. The
        proxy answers alike for paused and starting, and the deployed one with a bare 500.
        """
        if not isinstance(error, NotReady | ProxyFailed):
            return error
        try:
            sandbox = await self._settled(name)
        except SandboxError:
            return error
        state, reason = state_of(sandbox), reason_of(sandbox)
        outcome = not_done or f"no result: {error.message}"
        if state is State.PAUSED:
            return Paused(f"Sandbox '{name}' is paused; {outcome}", advice=_after_pause(not_done))
        if state.is_over:
            return SandboxFailed(f"Sandbox '{name}' is {state.value} ({reason}); {outcome}")
        if not_done and isinstance(error, NotReady) and state is not State.READY:
            return NotReady(f"Sandbox '{name}' is not ready ({state.value}: {reason}); {outcome}")
        return error

    async def _change(
        self,
        request: Request,
        read: Callable[[Reply], T],
        is_done: Callable[[Sandbox | None], bool],
    ) -> T | None:
        """Send `request` and read its reply; None where that is lost and the change is seen."""
        try:
            return read(await self.proxy.send(request))
        except NOTHING_DONE:
            raise
        except SandboxError:
            if await self._confirm_applied(request.sandbox, is_done):
                return None
            raise

    async def _existed_before(self, name: str, seconds: float) -> bool:
        """Tell whether a sandbox is older than so many seconds, by the proxy's own clock."""
        try:
            now = accounts.read_health(await self.proxy.send(accounts.health())).time
            row = _row(await self.status(name, deadline=DIAGNOSIS_DEADLINE), now or NEVER)
        except SandboxError:
            return False
        return row.age is not None and row.age > timedelta(seconds=seconds + SLACK)

    async def _confirm_applied(self, name: str, is_done: Callable[[Sandbox | None], bool]) -> bool:
        """Look whether a change came about, for as long as it may take to show."""
        start = self.timing.clock()
        for interval in backoff(random=self.timing.random):
            seen: Sandbox | None = None
            try:
                seen = await self.status(name, deadline=LOST_DEADLINE)
            except SandboxNotFound:
                if is_done(None):
                    return True
            except SandboxError:
                return False
            if seen is not None and is_done(seen):
                return True
            if self.timing.clock() - start >= LOST_DEADLINE:
                return False
            await self.timing.sleep(interval)
        raise AssertionError  # pragma: no cover  # the backoff never ends

    async def _existing(self, name: str, error: AlreadyExists) -> AlreadyExists:
        """Return the error with the state of the sandbox that has the name."""
        try:
            sandbox = await self.status(name, deadline=DIAGNOSIS_DEADLINE)
        except SandboxError:
            return error
        state = state_of(sandbox)
        created = f", created {sandbox.created_at}" if sandbox.created_at else ""
        step = _NEXT.get(state, "Ask with {status} until it is ready")
        return AlreadyExists(
            f"You have a sandbox '{name}' already: it is {state.value} ({reason_of(sandbox)})"
            f"{created}. It was left as it is",
            advice=f"{step}, or choose another name.",
        )

    async def _is_ready(self, name: str) -> bool:
        """Return whether the status says ready now; False if it cannot be read."""
        try:
            return state_of(await self.status(name, deadline=DIAGNOSIS_DEADLINE)) is State.READY
        except SandboxError:
            return False

    async def _wait(
        self, goal: State, name: str, report: ProgressCallback, deadline: float
    ) -> WaitResult:
        async def look(seconds: float) -> Sandbox:
            return await self.status(name, deadline=seconds)

        return await wait_for_state(
            goal, look, report=report, timing=self.timing, deadline=deadline
        )

    async def _settled(self, name: str) -> Sandbox:
        """Return the sandbox once its status agrees that it cannot run commands, if it ever does.

        Right after a pause the proxy refuses commands while its status is still the old one.
        """
        sandbox = await self.status(name, deadline=DIAGNOSIS_DEADLINE)
        for interval in itertools.islice(backoff(random=self.timing.random), SETTLING_LOOKS):
            if state_of(sandbox) is not State.READY:
                break
            await self.timing.sleep(interval)
            sandbox = await self.status(name, deadline=DIAGNOSIS_DEADLINE)
        return sandbox


def _read_done(reply: Reply) -> bool:
    sandboxes.read_done(reply)
    return True


def _after_pause(not_done: str) -> str | None:
    if not_done:
        return None
    # Sending it again might do its work twice.
    return (
        "Resume it with {resume}. What ran has ended with the pause, and its session: look at its"
        " effects before you send it again."
    )


def _row(sandbox: Sandbox, now: datetime) -> Row:
    created = accounts.parse_time(sandbox.created_at)
    return Row(sandbox, state_of(sandbox), None if created is None else now - created)
