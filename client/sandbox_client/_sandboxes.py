"""The seven verbs, as the tools and the terminal commands share them."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from . import _wire
from ._errors import BrokenReply, NeverReady, NotReady, Paused, ProxyFailed, SandboxError
from ._lifecycle import (
    Readiness,
    State,
    intervals,
    reason_of,
    reporting,
    state_of,
    wait_until_ready,
)
from ._refusal import COMMAND_MAY_RUN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._lifecycle import Report
    from ._proxy import Proxy
    from ._wire import CommandResult, Reply, Request, Sandbox

DIAGNOSIS_DEADLINE = 10.0
SETTLING_LOOKS = 3  # about a second
MAX_LOOKS = 20  # twice the quota: of a longer list, only those that look ready at first


@dataclass(frozen=True)
class Sandboxes:
    """Do each verb through `proxy`; clock, sleep and randomness are passed in for tests."""

    proxy: Proxy
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random

    async def create(
        self, name: str, *, image: str | None, port: int | None, report: Report
    ) -> tuple[str, Readiness]:
        """Create a sandbox and wait for it; return its image and how the wait ended."""
        config = self.proxy.config
        request = _wire.create(
            name,
            image=image or config.default_image,
            port=config.default_port if port is None else port,
        )
        made = _wire.read_created(await self.proxy.send(request))
        return made, await self._wait(name, report)

    async def status(self, name: str, *, deadline: float | None = None) -> Sandbox:
        """Return the sandbox as it is now."""
        reply = await self.proxy.send(_wire.status(name), deadline=deadline)
        return _wire.read_sandbox(reply)

    async def prompt(
        self, name: str, command: str, *, report: Report, whole: bool = False
    ) -> tuple[CommandResult, float]:
        """Run a shell command once; return its result and the seconds it took.

        The runtime cuts output above 30,000 characters, unless it is asked for as a `whole`.
        """
        request = _wire.execute(name, command, whole=whole)
        start = self.clock()
        try:
            reply = await self._send_reporting(request, report)
        except SandboxError as error:
            raise await self._diagnosis(name, error) from None
        try:
            return _wire.read_result(reply), self.clock() - start
        except BrokenReply as error:
            error.advice = COMMAND_MAY_RUN
            raise

    async def list(self) -> list[tuple[Sandbox, State]]:
        """Return all sandboxes, newest first, each with its state.

        The list alone calls a paused sandbox ready, or like one that starts, so each is asked for.
        """
        rows = _wire.read_listing(await self.proxy.send(_wire.listing()))
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
        whole = [looked.get(index, row) for index, row in enumerate(rows)]
        return [(sandbox, state_of(sandbox)) for sandbox in whole]

    async def delete(self, name: str) -> None:
        """Remove a sandbox and its files."""
        _wire.read_done(await self.proxy.send(_wire.delete(name)))

    async def pause(self, name: str) -> None:
        """Stop a sandbox and keep its files."""
        _wire.read_done(await self.proxy.send(_wire.pause(name)))

    async def resume(self, name: str, *, report: Report) -> Readiness:
        """Start a paused sandbox and wait for it."""
        _wire.read_done(await self.proxy.send(_wire.resume(name)))
        return await self._wait(name, report)

    async def _wait(self, name: str, report: Report) -> Readiness:
        async def look(seconds: float) -> Sandbox:
            return await self.status(name, deadline=seconds)

        return await wait_until_ready(
            look, report=report, clock=self.clock, sleep=self.sleep, random=self.random
        )

    async def _send_reporting(self, request: Request, report: Report) -> Reply:
        """Send `request`, and report while the answer is awaited."""
        start = self.clock()

        async def tell() -> None:
            await report(self.clock() - start, None, "the command is running")

        async with reporting(tell):
            return await self.proxy.send(request)

    async def _diagnosis(self, name: str, error: SandboxError) -> SandboxError:
        """Return what the sandbox's state says of a prompt's failure; else `error` itself.

        The proxy answers alike for paused and starting, and the deployed one with a bare 500.
        """
        if not isinstance(error, NotReady | ProxyFailed):
            return error
        try:
            sandbox = await self._settled(name)
        except SandboxError:
            return error
        state, reason = state_of(sandbox), reason_of(sandbox)
        refused = isinstance(error, NotReady)
        outcome = "the command was not run" if refused else f"no result: {error.message}"
        if state is State.PAUSED:
            # Paused under the command: sending it again might do its work twice.
            advice = None if refused else f"Resume it with {{resume}}. {COMMAND_MAY_RUN}"
            return Paused(f"Sandbox '{name}' is paused; {outcome}", advice=advice)
        if state.is_over:
            return NeverReady(f"Sandbox '{name}' is {state.value} ({reason}); {outcome}")
        if refused and state is not State.READY:
            return NotReady(f"Sandbox '{name}' is not ready ({state.value}: {reason}); {outcome}")
        return error

    async def _settled(self, name: str) -> Sandbox:
        """Return the sandbox once its status agrees that it cannot run commands, if it ever does.

        Right after a pause the proxy refuses commands while its status is still the old one.
        """
        sandbox = await self.status(name, deadline=DIAGNOSIS_DEADLINE)
        for interval in itertools.islice(intervals(self.random), SETTLING_LOOKS):
            if state_of(sandbox) is not State.READY:
                break
            await self.sleep(interval)
            sandbox = await self.status(name, deadline=DIAGNOSIS_DEADLINE)
        return sandbox
