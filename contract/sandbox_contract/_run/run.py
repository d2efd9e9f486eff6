"""A run: the people in it, their sandboxes, and the waiting."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from sandbox_contract._clauses.clause import Need
from sandbox_contract._target import Target
from sandbox_contract._wire.caller import Caller, Wire
from sandbox_contract._wire.exchange import Exchange
from sandbox_contract._wire.expect import Json, NotInTime, Reply, Unsupported, Violation
from sandbox_contract._wire.redaction import Redactor

from .ledger import Ledger
from .leftovers import PREFIX, leftovers
from .moments import read
from .people import MY_KEYS, USERS, Box, Key, Person, keys_path, own_key_path, user_path
from .status import Phase, phase_of, said_of

QUOTA = 10  # sandboxes of one user
A_WHILE = 0.2  # seconds, in which a change would show
_FIRST_STEP = 0.1  # seconds
_GROWTH = 1.5
_STEPS = 90  # of the longest kind in a budget
_KEPT = 6  # exchanges of a clause

_T = TypeVar("_T")
OnWait = Callable[[str, float, float], None]


class Run:
    """All that the checks act with.

    What they make is removed at the clause's end, except for the *standing* users and sandboxes,
    which every clause shares and the run's end removes.
    """

    def __init__(
        self, target: Target, run_id: str, *, seed: int = 0, on_wait: OnWait | None = None
    ) -> None:
        self.target = target
        self.id = run_id
        self.seed = seed
        self.redactor = Redactor(target.keys)
        self.wire = Wire(target.base_url, target.app, self.redactor)
        self.wire.observers.append(self._keep)
        self.nobody = Caller(self.wire)
        self.exchanges: list[Exchange] = []
        self.notes: list[str] = []
        self.left: list[str] = []
        self.out_of_reach: list[str] = []
        self.target_version: str | None = None
        self._on_wait = on_wait or _hear_nothing
        self._standing = Ledger()
        self._passing = Ledger()
        self._seen: dict[Any, Any] = {}
        self._made = 0
        self._has_paused = False

    @property
    def prefix(self) -> str:
        """Return what the name of everything begins with that this run makes."""
        return f"{PREFIX}{self.id}-"

    @property
    def admin(self) -> Caller:
        """Return who has the admin key."""
        if not self.target.admin_key:
            raise Unsupported(Need.ADMIN.value)
        return Caller.with_key(self.wire, self.target.admin_key)

    def name(self, tag: str) -> str:
        """Return a name that nothing has yet."""
        self._made += 1
        return f"{self.prefix}{tag}{self._made}"

    def note(self, text: str) -> None:
        """Record which of two right answers was given."""
        if text not in self.notes:
            self.notes.append(text)

    def may_be_left(self, owner: Person) -> None:
        """Record that the proxy may have left a sandbox of a user's where no request removes it."""
        what = f"a sandbox in the cluster's namespace user-{owner.username}, which the proxy forgot"
        if what not in self.out_of_reach:
            self.out_of_reach.append(what)

    # People -------------------------------------------------------------------------------------

    async def alice(self) -> Person:
        """Return the first user."""
        return await self.once(_alice)

    async def bob(self) -> Person:
        """Return the second user."""
        return await self.once(_bob)

    async def visitor(self, tag: str = "visitor") -> Person:
        """Make a user whom only this clause knows."""
        return await self.person(self.name(tag), self._passing)

    async def person(self, username: str, ledger: Ledger | None = None) -> Person:
        """Make a user of that name, with a key."""
        made = (await self.make_user(username, ledger=ledger)).expect_fields(201)
        user_id = str(made["user"]["id"])
        key = await self.make_key(user_id)
        return self._person(username, user_id, key.secret)

    async def make_user(
        self, username: Any, *, ledger: Ledger | None = None, **fields: Any
    ) -> Reply:
        """Ask for a user; whoever is made is deleted again."""
        reply = await self.admin("POST", USERS, {"username": username, **fields})
        if reply.status < 300:
            user_id = str(reply.fields()["user"]["id"])
            into = self._passing if ledger is None else ledger
            into.note(f"user {username}", lambda: self._delete_user(user_id))
        return reply

    async def make_key(self, user_id: str, **fields: Any) -> Key:
        """Make a key for a user, as the administrator."""
        return self._key(await self.admin("POST", keys_path(user_id), fields))

    async def make_own_key(self, person: Person, **fields: Any) -> Key:
        """Make another key for a user, as that user; it is revoked at the clause's end."""
        fields.setdefault("name", self.name("key"))
        key = self._key(await person.call("POST", MY_KEYS, fields))
        what = f"key {fields['name']}"
        self._passing.note(what, lambda: self._revoke(person, own_key_path(key.id)))
        return key

    # Sandboxes ----------------------------------------------------------------------------------

    def box(self, owner: Person, tag: str = "box", *, name: str | None = None) -> Box:
        """Return a sandbox that nobody made yet; it is deleted at the clause's end."""
        box = Box(owner, name or self.name(tag))
        self._passing.note(f"sandbox {box.name}", lambda: self._delete_box(box))
        return box

    async def vacant(self, owner: Person, tag: str = "box", *, name: str | None = None) -> Box:
        """Return such a sandbox if its owner has room for one more.

        Raises:
            Unsupported: there is none, of a user whose house is not this run's to fill.
        """
        await self._require_room(owner)
        return self.box(owner, tag, name=name)

    async def new_box(self, owner: Person | None = None, tag: str = "box", **fields: Any) -> Box:
        """Make a sandbox for this clause; it is not waited for."""
        box = await self.vacant(owner or await self.alice(), tag)
        (await box.create(**fields)).expect(201)
        return box

    async def ready_box(self) -> Box:
        """Return the standing sandbox, ready.

        Raises:
            Unsupported: it does not become so; the clauses of readiness say more.
        """
        start = await self.once(_started)
        if start.fault is not None:
            raise _not_ready(start.fault)
        # After a pause, the status that shows may still be the one before.
        if self._has_paused or not await self.is_phase(start.box, Phase.READY):
            (await start.box.resume()).expect(200)
            try:
                await self.until_phase(start.box, Phase.READY)
            except NotInTime as exc:
                raise _not_ready(exc) from exc
            self._has_paused = False
        return start.box

    async def start(self) -> list[Json]:
        """Return every status of the standing sandbox from its first to ready.

        Raises:
            Violation: it does not become ready.
        """
        start = await self.once(_started)
        if start.fault is not None:
            raise start.fault
        return start.statuses

    async def standing_box(self) -> Box:
        """Return the standing sandbox, in whatever state a clause has left it."""
        return await self.once(_standing_box)

    async def theirs(self) -> Box:
        """Return the second user's standing sandbox, in whatever state."""
        return await self.once(_theirs)

    # Time ---------------------------------------------------------------------------------------

    async def until(
        self,
        what: str,
        look: Callable[[], Awaitable[_T | None]],
        *,
        last: Callable[[], str],
        at_least: float = 0.0,
    ) -> _T:
        """Let time pass until `look` returns something, and return that.

        Raises:
            NotInTime: it does not within the target's budget, or within the seconds of `at_least`
                if these are more; `last` says how it stood.
        """
        time = self.target.time
        budget = max(time.budget, at_least)
        waited, step = 0.0, _FIRST_STEP
        while (found := await look()) is None:
            if waited >= budget:
                raise NotInTime(f"{what} within {budget:g} s", last())
            self._on_wait(what, waited, budget)
            await time.pass_by(step)
            waited += step
            step = min(step * _GROWTH, budget / _STEPS, budget - waited + _FIRST_STEP)
            step = round(step, 3)  # a clock that is moved stays on a tick that can be asked for
        return found

    async def until_phase(
        self, box: Box, phase: Phase, seen: list[Json] | None = None
    ) -> list[Json]:
        """Let time pass until a sandbox is in a phase; return every status on the way, in `seen`.

        Raises:
            Violation: it does not get there.
        """
        statuses: list[Json] = [] if seen is None else seen

        async def look() -> bool | None:
            status = await box.status()
            if not statuses or statuses[-1] != status:
                statuses.append(status)
            return True if phase_of(status) is phase else None

        wanted = f"sandbox {box.name} to be {phase.name.lower()}"
        await self.until(wanted, look, last=lambda: said_of(statuses[-1]))
        return statuses

    async def is_phase(self, box: Box, phase: Phase) -> bool:
        """Tell whether a sandbox is in a phase."""
        return phase_of(await box.status()) is phase

    async def now(self) -> datetime:
        """Return the time that the target says."""
        return read((await self.nobody("GET", "/health")).expect_fields()["timestamp"])

    # What is shared -----------------------------------------------------------------------------

    async def once(self, look: Callable[["Run"], Awaitable[_T]]) -> _T:
        """Return what `look` returned when this run asked it first, or raise what it did.

        So several clauses can judge one observation, which may take sandboxes and minutes.
        """
        if look not in self._seen:
            try:
                self._seen[look] = await look(self), None
            except (Violation, Unsupported) as exc:
                self._seen[look] = None, exc
        found, fault = self._seen[look]
        if fault is not None:
            raise fault
        return cast("_T", found)

    # Beginnings and ends ------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a clause."""
        self.exchanges.clear()
        self.notes.clear()

    async def end(self) -> None:
        """Remove what the clause has made; what could not be is in `left`."""
        self._leave_behind(await self._passing.settle())

    async def leave(self) -> None:
        """Remove all that this run has made; what could not be is in `left`."""
        self._leave_behind(await self._passing.settle() + await self._standing.settle())
        self._seen.clear()
        self._leave_behind(await self._sweep())

    def _leave_behind(self, left: list[str]) -> None:
        self.left += [self.redactor.text(each) for each in left]

    async def _sweep(self) -> list[str]:
        """Remove what was made all the same, where an answer was lost; return what could not be."""
        sweeping = Ledger()
        try:
            for each in await leftovers(self.wire, self.target):
                if each.run_id == self.id:
                    sweeping.note(each.what, each.remove)
        except Exception as exc:  # noqa: BLE001  # whatever a target lists
            return [f"perhaps more, since the target does not list it ({exc})"]
        return await sweeping.settle()

    def _keep(self, exchange: Exchange) -> None:
        self._has_paused |= exchange.path.endswith("/pause")
        self.exchanges.append(exchange)
        del self.exchanges[:-_KEPT]

    def _key(self, reply: Reply) -> Key:
        body = reply.expect_fields(201)
        self.redactor.keep(body.get("api_key"))
        try:
            return Key(str(body["key_info"]["id"]), str(body["api_key"]), reply)
        except (KeyError, TypeError) as exc:
            raise Violation("api_key and key_info.id", str(reply), reply.exchange) from exc

    def _person(self, username: str, user_id: str, key: str) -> Person:
        return Person(username, user_id, key, Caller.with_key(self.wire, key))

    async def own(self, key: str | None, need: Need, tag: str) -> Person:
        """Return a standing user: one that is made, or else the one whose key was passed."""
        if self.target.admin_key:
            return await self.person(self.prefix + tag, self._standing)
        if not key:
            raise Unsupported(need.value)
        shown = (await Caller.with_key(self.wire, key)("GET", "/api/me")).expect_fields()
        user = shown["user"]
        return self._person(str(user["username"]), str(user["id"]), key)

    async def stand(self, box: Box) -> Box:
        """Make a standing sandbox."""
        await self._require_room(box.owner)
        self._standing.note(f"sandbox {box.name}", lambda: self._delete_box(box))
        (await box.create()).expect(201)
        return box

    async def _require_room(self, owner: Person) -> None:
        if not self.target.admin_key and len(await owner.names()) >= QUOTA:
            raise Unsupported(f"room for a sandbox: this user has {QUOTA} already; delete one")

    async def _delete_box(self, box: Box) -> None:
        """Delete a sandbox, of a user too whom nobody lets in any more."""
        reply = await box.delete()
        if reply.status == 401 and self.target.admin_key:
            user = await self.admin("PUT", user_path(box.owner.id), {"is_active": True})
            if user.status == 404:
                return  # it went with its owner
            key = await self.make_key(box.owner.id)
            reply = await box.owner.saying(key.secret)("DELETE", box.path)
        _require_gone(reply)

    async def _delete_user(self, user_id: str) -> None:
        """Delete a user, whatever the answer; what counts is whether the user is gone."""
        path = user_path(user_id)
        await self.admin("DELETE", path)
        (await self.admin("GET", path)).expect(404)

    async def _revoke(self, person: Person, path: str) -> None:
        reply = await person.call("DELETE", path)
        # A user who was made for the run goes, and takes the keys along.
        if not (reply.status == 401 and self.target.admin_key):
            _require_gone(reply)


def _require_gone(reply: Reply) -> None:
    """Expect that something is deleted, now or before."""
    reply.expect(200, 403, 404)


def _hear_nothing(_what: str, _waited: float, _budget: float) -> None:
    """Hear what is waited for."""


def _not_ready(fault: Violation) -> Unsupported:
    return Unsupported(f"{Need.WAITING.value}: {fault}")


async def _alice(run: Run) -> Person:
    return await run.own(run.target.api_key, Need.USER, "alice")


async def _bob(run: Run) -> Person:
    return await run.own(run.target.second_api_key, Need.SECOND_USER, "bob")


@dataclass(frozen=True, slots=True)
class _Start:
    """How the standing sandbox started."""

    box: Box
    statuses: list[Json]
    fault: Violation | None = None


async def _standing_box(run: Run) -> Box:
    return await run.stand(Box(await run.alice(), f"{run.prefix}box"))


async def _started(run: Run) -> _Start:
    box, statuses = await run.once(_standing_box), list[Json]()
    try:
        await run.until_phase(box, Phase.READY, statuses)
    except NotInTime as exc:
        return _Start(box, statuses, exc)
    return _Start(box, statuses)


async def _theirs(run: Run) -> Box:
    return await run.stand(Box(await run.bob(), f"{run.prefix}theirs"))
