"""The sandboxes of a run: those of one clause, and those that all clauses share."""

from dataclasses import dataclass
from typing import Any

from sandbox_contract.http.exchange import Exchange
from sandbox_contract.http.expect import Json, NotInTime, Reply, Violation
from sandbox_contract.target import Need, Target, Unsupported

from .actors import Actors, SandboxHandle, User
from .api import user_path
from .cleanup import Cleanup, CleanupStack, Names
from .clock import Clock
from .observations import Observations
from .readiness import Phase

QUOTA = 10  # sandboxes of one user


@dataclass(frozen=True, slots=True)
class Start:
    """The start of the shared sandbox, or its start again after a pause.

    `statuses` are those on the way to ready. `not_ready` is the error if it did not get there,
    `silent` the error if its runtime never answered.
    """

    box: SandboxHandle
    statuses: list[Json]
    not_ready: Violation | None = None
    silent: Violation | None = None


class Sandboxes:
    """Make sandboxes that are deleted again, and share two among all clauses."""

    def __init__(
        self, actors: Actors, clock: Clock, target: Target, names: Names, cleanup: Cleanup
    ) -> None:
        self._actors = actors
        self._clock = clock
        self._target = target
        self._names = names
        self._cleanup = cleanup
        self._observations = Observations()
        self._has_paused = False

    def handle(self, owner: User, tag: str = "box", *, name: str | None = None) -> SandboxHandle:
        """Return a sandbox that is not made yet; it is deleted at the clause's end."""
        box = SandboxHandle(owner, name or self._names.new(tag))
        self._will_be_deleted(box, self._cleanup.of_clause)
        return box

    async def unused(
        self, owner: User, tag: str = "box", *, name: str | None = None
    ) -> SandboxHandle:
        """Return a sandbox that is not made yet, of an owner who may have one more.

        Raises:
            Unsupported: the owner is the target's own user, and has as many as the quota allows.
        """
        await self._require_room(owner)
        return self.handle(owner, tag, name=name)

    async def new(
        self, owner: User | None = None, tag: str = "box", **fields: Any
    ) -> SandboxHandle:
        """Make a sandbox for this clause, without waiting for it."""
        box = await self.unused(owner or await self._actors.alice(), tag)
        (await box.create(**fields)).expect(201)
        return box

    async def shared(self) -> SandboxHandle:
        """Return the first user's shared sandbox, in the state that the last clause left."""
        return await self._observations.once("shared", self._make_shared)

    async def of_bob(self) -> SandboxHandle:
        """Return the second user's shared sandbox, in any state."""
        return await self._observations.once("of bob", self._make_of_bob)

    async def ready(self) -> SandboxHandle:
        """Return the first user's shared sandbox, ready and with a runtime that answers.

        Raises:
            Unsupported: it does not get there; the clauses of readiness say more.
        """
        start = await self.start()
        _require_started(start)
        # After a pause, the status that shows may still be the one before.
        if self._has_paused or not await self._clock.is_phase(start.box, Phase.READY):
            (await start.box.resume()).expect(200)
            _require_started(await self._observe_start(start.box))
            self._has_paused = False
        return start.box

    async def with_pipes(self) -> SandboxHandle:
        """Return the first user's shared sandbox, ready, if its runtime has the pipe API.

        Raises:
            Unsupported: it has not, or the sandbox does not become ready.
        """
        box = await self.ready()

        async def ask() -> bool:
            return (await box.ask("/v1/bash/sessions", method="GET")).status != 404

        if not await self._observations.once("pipes", ask):
            raise Unsupported(Need.PIPES)
        return box

    async def start(self) -> Start:
        """Return how the shared sandbox started."""
        return await self._observations.once("start", self._observe_first_start)

    async def until_ready(self, box: SandboxHandle) -> None:
        """Let time pass until a sandbox is ready and its runtime answers.

        Raises:
            Unsupported: it does not get there; the clauses of readiness say more.
        """
        _require_started(await self._observe_start(box))

    async def until_it_answers(self, box: SandboxHandle) -> None:
        """Let time pass until the runtime of a ready sandbox answers.

        Raises:
            Unsupported: it does not; one clause of readiness says more.
        """
        try:
            await self._until_it_answers(box)
        except NotInTime as exc:
            raise Unsupported(Need.RUNTIME, reason=str(exc)) from exc

    async def _until_it_answers(self, box: SandboxHandle) -> None:
        replies: list[Reply] = []

        async def look() -> bool | None:
            replies.append(await box.describe())
            return True if replies[-1].status < 500 else None

        wanted = f"the runtime of sandbox {box.name} to answer"
        await self._clock.until(wanted, look, last=lambda: str(replies[-1]))

    async def statuses_of_start(self) -> list[Json]:
        """Return every status of the shared sandbox from its first to ready.

        Raises:
            Violation: it does not become ready.
        """
        start = await self.start()
        if start.not_ready is not None:
            raise start.not_ready
        return start.statuses

    def note(self, exchange: Exchange) -> None:
        """Note whether a request may have paused the shared sandbox."""
        self._has_paused |= exchange.path.endswith("/pause")

    def forget(self) -> None:
        """Forget the shared sandboxes."""
        self._observations.clear()

    async def _make_shared(self) -> SandboxHandle:
        owner = await self._actors.alice()
        return await self._share(SandboxHandle(owner, f"{self._names.prefix}box"))

    async def _make_of_bob(self) -> SandboxHandle:
        owner = await self._actors.bob()
        return await self._share(SandboxHandle(owner, f"{self._names.prefix}theirs"))

    async def _share(self, box: SandboxHandle) -> SandboxHandle:
        await self._require_room(box.owner)
        self._will_be_deleted(box, self._cleanup.of_run)
        (await box.create()).expect(201)
        return box

    async def _observe_first_start(self) -> Start:
        return await self._observe_start(await self.shared())

    async def _observe_start(self, box: SandboxHandle) -> Start:
        statuses: list[Json] = []
        try:
            await self._clock.until_phase(box, Phase.READY, statuses)
        except NotInTime as exc:
            return Start(box, statuses, not_ready=exc)
        try:
            await self._until_it_answers(box)
        except NotInTime as exc:
            return Start(box, statuses, silent=exc)
        return Start(box, statuses)

    async def _require_room(self, owner: User) -> None:
        if not self._target.admin_key and len(await owner.names()) >= QUOTA:
            has = f"this user has {QUOTA} already; delete one"
            raise Unsupported(reason=f"room for a sandbox: {has}")

    def _will_be_deleted(self, box: SandboxHandle, stack: CleanupStack) -> None:
        stack.register(f"sandbox {box.name}", box.owner.call, lambda: self._delete(box))

    async def _delete(self, box: SandboxHandle) -> bool:
        """Delete a sandbox, even if its user is inactive; return whether it was there."""
        reply = await box.delete()
        if reply.status == 401 and self._target.admin_key:
            user = await self._actors.admin("PUT", user_path(box.owner.id), {"is_active": True})
            if user.status == 404:
                return True  # it went with its owner
            key = await self._actors.make_key(box.owner.id)
            reply = await box.owner.saying(key.secret)("DELETE", box.path)
        require_gone(reply)
        return reply.status == 200


def _require_started(start: Start) -> None:
    if start.not_ready is not None:
        raise Unsupported(Need.WAITING, reason=str(start.not_ready))
    if start.silent is not None:
        raise Unsupported(Need.RUNTIME, reason=str(start.silent))


def require_gone(reply: Reply) -> None:
    """Require that something is deleted, now or before."""
    reply.expect(200, 403, 404)
