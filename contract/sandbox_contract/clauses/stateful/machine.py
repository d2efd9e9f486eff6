"""The machine that acts on a proxy and on the model of it, and compares after every step."""

from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sandbox_contract.clauses.messages import NO_ACCESS, NO_KEY, NO_USER
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.clock import format_time
from sandbox_contract.harness.paths import (
    MY_KEYS,
    SANDBOXES,
    in_volume,
    own_key_path,
    revocation_path,
    user_path,
)
from sandbox_contract.harness.readiness import Phase, describe, phase_of
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply, Violation, require

from .model import Delays, Intent, ModelBox, ModelKey, ModelUser
from .shortest_failure import ShortestFailure

Do = Callable[[Coroutine[Any, Any, Any]], Any]

_WHO = st.sampled_from(("alice", "bob"))
_WHAT = st.sampled_from(("one", "two"))
_FAULT = 500
_SOME, _MANY = 6, 12  # steps


def machine_of(run: Run, do: Do, chronicle: ShortestFailure) -> type[RuleBasedStateMachine]:
    """Return a machine that acts on the target of a run."""

    class Machine(History):
        def __init__(self) -> None:
            super().__init__(run, do, chronicle)

    return Machine


class History(RuleBasedStateMachine):
    """Two users and an administrator, as far as the run has their keys."""

    def __init__(self, run: Run, do: Do, chronicle: ShortestFailure) -> None:
        super().__init__()
        self._run = run
        self._do = do
        self._chronicle = chronicle
        self._steps: list[str] = []
        self._users: dict[str, ModelUser] = {}
        self._now = 0
        self._names: dict[str, str] = {}
        self._delays = _delays(run)
        self._has_admin = bool(run.target.admin_key)

    # Acting -------------------------------------------------------------------------------------

    def _act(self, words: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do a step, and tell the chronicle if it breaks a promise."""
        if self._chronicle.is_closed:
            return
        self._steps.append(words)
        try:
            self._do(work())
        except Violation as exc:
            self._chronicle.record(exc, self._steps)
            raise

    def _user(self, who: str) -> ModelUser:
        """Return a user; with one key only, always the same."""
        if not self._users:
            raise CancelledError  # there was no time to begin
        return self._users.get(who) or self._users["alice"]

    async def _refused(self, user: ModelUser, reply: Reply) -> bool:
        """Tell whether a user's key is refused, which the answer then says."""
        message = user.refusal(self._now)
        if message is not None:
            reply.expect_refusal(401, message)
        return message is not None

    def _box(self, user: ModelUser, what: str) -> SandboxHandle:
        known = user.boxes.get(what)
        return known.box if known else SandboxHandle(user.person, self._names[what])

    def _is_late(self, steps: int) -> bool:
        return len(self._steps) >= steps

    @initialize()
    def begin(self) -> None:
        self._act("begin", self._begin)
        for who, user in self._users.items():
            self._act(f"{who} creates one", partial(self._create, user, "one"))

    async def _begin(self) -> None:
        run = self._run
        self._names = {what: run.name(f"history-{what}") for what in ("one", "two")}
        if self._has_admin:
            people = {
                "alice": await run.actors.temporary_user("alice"),
                "bob": await run.actors.temporary_user("bob"),
            }
        else:
            people = {"alice": await run.actors.alice()}
            if run.target.second_api_key:
                people["bob"] = await run.actors.bob()
        self._users = {who: ModelUser(person) for who, person in people.items()}

    def teardown(self) -> None:
        if not self._chronicle.is_over:  # else the run itself removes everything
            self._do(self._run.end_clause())

    # Sandboxes ----------------------------------------------------------------------------------

    @rule(who=_WHO, what=_WHAT)
    def create(self, who: str, what: str) -> None:
        self._act(f"{who} creates {what}", lambda: self._create(self._user(who), what))

    async def _create(self, user: ModelUser, what: str) -> None:
        box = await self._run.sandboxes.unused(user.person, name=self._names[what])
        reply = await box.create()
        if await self._refused(user, reply):
            return
        if what in user.boxes:
            reply.expect_refusal(409, f"Sandbox '{box.name}' already exists")
        elif what in user.spent and reply.status >= _FAULT:
            self._run.note("a name that was a deleted user's stays taken")
        else:
            reply.expect_fields(201, success=True)
            user.boxes[what] = ModelBox(box, Intent(False, self._now))

    @rule(who=_WHO, what=_WHAT)
    def delete(self, who: str, what: str) -> None:
        self._act(f"{who} deletes {what}", lambda: self._delete(self._user(who), what))

    async def _delete(self, user: ModelUser, what: str) -> None:
        reply = await self._box(user, what).delete()
        if not await self._refused(user, reply) and self._is_there(user, what, reply):
            del user.boxes[what]

    def _is_there(self, user: ModelUser, what: str, reply: Reply) -> bool:
        """Tell whether a user has a sandbox, which the answer is in keeping with."""
        if what in user.boxes:
            reply.expect_fields(200)
            return True
        reply.expect_refusal(403, NO_ACCESS)
        return False

    @rule(who=_WHO, what=_WHAT, is_paused=st.booleans())
    def scale(self, who: str, what: str, is_paused: bool) -> None:
        verb = "pauses" if is_paused else "resumes"
        work = lambda: self._scale(self._user(who), what, is_paused=is_paused)  # noqa: E731
        self._act(f"{who} {verb} {what}", work)

    async def _scale(self, user: ModelUser, what: str, *, is_paused: bool) -> None:
        box = self._box(user, what)
        reply = await (box.pause() if is_paused else box.resume())
        if not await self._refused(user, reply) and self._is_there(user, what, reply):
            reply.expect_fields(200, success=True, replicas=0 if is_paused else 1)
            user.boxes[what].change(is_paused=is_paused, now=self._now, delays=self._delays)

    @rule(who=_WHO, what=_WHAT)
    def execute(self, who: str, what: str) -> None:
        self._act(f"{who} runs a command in {what}", lambda: self._execute(self._user(who), what))

    async def _execute(self, user: ModelUser, what: str) -> None:
        reply = await self._box(user, what).exec(in_volume("echo ran >> ran; wc -l < ran"))
        if await self._refused(user, reply):
            return
        if what not in user.boxes:
            reply.expect_refusal(403, NO_ACCESS)
            return
        known = user.boxes[what]
        runs = known.runs(self._now, self._delays)
        if runs is False or (runs is None and reply.status != 200):
            require(reply.status >= _FAULT, "a refusal: 503", reply, reply)
            return
        data = reply.expect_fields(success=True)["data"]
        said = data["output"].strip()
        require(said.isdecimal(), "a number of lines", said, reply)
        lines = int(said)
        wanted = lines if known.lines is None else known.lines + 1
        require(lines == wanted, f"{wanted} lines, one of each command", data, reply)
        known.lines = lines

    @precondition(lambda self: "bob" in self._users)
    @rule(what=_WHAT)
    def look_at_another_users(self, what: str) -> None:
        self._act(f"bob looks at alice's {what}", lambda: self._look(what))

    async def _look(self, what: str) -> None:
        alice, bob = self._users["alice"], self._users["bob"]
        reply = await bob.person.call("GET", self._box(alice, what).path)
        if await self._refused(bob, reply):
            return
        if what not in bob.boxes:
            reply.expect_refusal(403, NO_ACCESS)
        else:
            reply.expect_fields(200, namespace=f"user-{bob.person.username}")

    # Keys ---------------------------------------------------------------------------------------

    @rule(who=_WHO, seconds=st.sampled_from((None, -60, 1, 60)))
    def make_key(self, who: str, seconds: int | None) -> None:
        said = "" if seconds is None else f" for {seconds} s"
        self._act(f"{who} makes a key{said}", lambda: self._make_key(self._user(who), seconds))

    async def _make_key(self, user: ModelUser, seconds: int | None) -> None:
        if user.refusal(self._now) is not None:
            reply = await user.person.call("POST", MY_KEYS, {"name": self._run.name("key")})
            await self._refused(user, reply)
            return
        if self._delays is None and seconds is not None and seconds > 0:
            seconds = None  # on such a clock, nobody knows when it is over
        fields = {}
        if seconds is not None:
            fields["expires_at"] = format_time(
                await self._run.clock.now() + timedelta(seconds=seconds)
            )
        key = await self._run.actors.make_own_key(user.person, **fields)
        expires = None if seconds is None else self._now + seconds * 1000
        user.keys.append(ModelKey(key, expires))

    @rule(who=_WHO, number=st.integers(0, 3))
    def use_key(self, who: str, number: int) -> None:
        user = self._user(who)
        if user.keys:
            key = user.keys[number % len(user.keys)]
            self._act(f"{who} uses a key", lambda: self._use_key(user, key))

    async def _use_key(self, user: ModelUser, key: ModelKey) -> None:
        reply = await user.person.saying(key.key.secret)("GET", "/api/me")
        message = user.refusal(self._now, key)
        if message is not None:
            reply.expect_refusal(401, message)
        else:
            shown = reply.expect_fields()["user"]
            require(shown["id"] == user.person.id, f"the user {user.person.id}", shown, reply)

    @rule(who=_WHO, number=st.integers(0, 3), as_admin=st.booleans())
    def revoke_key(self, who: str, number: int, as_admin: bool) -> None:
        user = self._user(who)
        if user.keys:
            key = user.keys[number % len(user.keys)]
            is_admins = as_admin and self._has_admin
            by = "the administrator" if is_admins else who
            work = lambda: self._revoke(user, key, is_admins=is_admins)  # noqa: E731
            self._act(f"{by} revokes a key of {who}", work)

    async def _revoke(self, user: ModelUser, key: ModelKey, *, is_admins: bool) -> None:
        if is_admins:
            reply = await self._run.actors.admin("DELETE", revocation_path(key.key.id))
            if user.is_deleted:
                reply.expect_refusal(404, NO_KEY)
                return
        else:
            reply = await user.person.call("DELETE", own_key_path(key.key.id))
            if await self._refused(user, reply):
                return
        reply.expect_fields(200, success=True)
        key.is_revoked = True

    # Users --------------------------------------------------------------------------------------

    # Whom nobody lets in does little: so these come late, and seldom where they change nothing.

    @precondition(lambda self: self._has_admin and self._is_late(_SOME))
    @rule(who=_WHO)
    def switch(self, who: str) -> None:
        user = self._user(who)
        verb = "deactivates" if user.is_active else "activates"
        work = lambda: self._activate(user, is_active=not user.is_active)  # noqa: E731
        self._act(f"the administrator {verb} {who}", work)

    @precondition(lambda self: any(not user.is_active for user in self._users.values()))
    @rule()
    def activate_all(self) -> None:
        for who, user in self._users.items():
            if not user.is_active:
                work = partial(self._activate, user, is_active=True)
                self._act(f"the administrator activates {who}", work)

    async def _activate(self, user: ModelUser, *, is_active: bool) -> None:
        if user.is_deleted:
            return
        reply = await self._run.actors.admin(
            "PUT", user_path(user.person.id), {"is_active": is_active}
        )
        reply.expect_fields(200, success=True)
        user.is_active = is_active

    @precondition(lambda self: self._has_admin and self._is_late(_MANY))
    @rule(who=_WHO)
    def delete_user(self, who: str) -> None:
        # The deployed proxy would leave the sandboxes to the cluster, for good.
        user = self._user(who)
        if self._delays is not None or not user.boxes:
            self._act(f"the administrator deletes {who}", lambda: self._delete_user(user))

    async def _delete_user(self, user: ModelUser) -> None:
        reply = await self._run.actors.admin("DELETE", user_path(user.person.id))
        if user.is_deleted:
            reply.expect_refusal(404, NO_USER)
            return
        require(reply.status in {200, _FAULT}, "200", reply, reply)
        if reply.status == _FAULT:
            user.spent |= user.boxes.keys()
        user.is_deleted = True
        user.boxes.clear()
        (await self._run.actors.admin("GET", user_path(user.person.id))).expect(404)

    @precondition(lambda self: any(user.is_deleted for user in self._users.values()))
    @rule()
    def make_users_again(self) -> None:
        for who in [who for who, user in self._users.items() if user.is_deleted]:
            self._act(f"the administrator makes {who} again", partial(self._make_again, who))

    async def _make_again(self, who: str) -> None:
        old = self._users[who]
        person = await self._run.actors.user(old.person.username)
        self._users[who] = ModelUser(person, spent=old.spent)

    # Time ---------------------------------------------------------------------------------------

    @precondition(lambda self: self._delays is not None)
    @rule(milliseconds=st.sampled_from((1, 50, 100, 1000, 1999, 2000, 60_000, 3_600_000)))
    def pass_time(self, milliseconds: int) -> None:
        self._act(f"{milliseconds} ms pass", lambda: self._pass(milliseconds))

    async def _pass(self, milliseconds: int) -> None:
        await self._run.clock.advance(milliseconds / 1000)
        self._now += milliseconds

    @precondition(lambda self: self._delays is None and self._restless())
    @rule(number=st.integers(0, 3))
    def come_to_rest(self, number: int) -> None:
        restless = self._restless()
        known = restless[number % len(restless)]
        self._act(f"{known.box.name} comes to rest", lambda: self._rest(known))

    def _restless(self) -> list[ModelBox]:
        """Return the sandboxes that may be waited for."""
        users = [user for user in self._users.values() if user.refusal(self._now) is None]
        boxes = [known for user in users for known in user.boxes.values()]
        return [known for known in boxes if known.at_rest is None]

    async def _rest(self, known: ModelBox) -> None:
        phase = Phase.PAUSED if known.asked.is_paused else Phase.READY
        await self._run.clock.until_phase(known.box, phase)
        known.at_rest = phase

    # Invariants ---------------------------------------------------------------------------------

    @invariant()
    def everybody_sees_what_there_is(self) -> None:
        if self._users and not self._chronicle.is_closed:
            try:
                self._do(self._compare())
            except Violation as exc:
                self._chronicle.record(exc, self._steps)
                raise

    async def _compare(self) -> None:
        for user in self._users.values():
            reply = await user.person.call("GET", SANDBOXES)
            if await self._refused(user, reply):
                continue
            listed = [row["name"] for row in reply.expect_fields()["sandboxes"]]
            own = [name for name in listed if name in self._names.values()]
            wanted = [known.box.name for known in user.boxes.values()][::-1]
            require(own == wanted, f"the sandboxes {wanted}", own, reply)
            for known in user.boxes.values():
                await self._compare_status(known)

    async def _compare_status(self, known: ModelBox) -> None:
        status = await known.box.status()
        phases = known.phases(self._now, self._delays)
        wanted = " or ".join(sorted(phase.name.lower() for phase in phases))
        require(phase_of(status) in phases, f"a sandbox that is {wanted}", describe(status))


def _delays(run: Run) -> Delays | None:
    """Return the target's delays, where its clock is exact."""
    reconcile, ready = run.target.time.reconcile_delay, run.target.time.ready_after
    if reconcile is None or ready is None:
        return None
    return Delays(round(reconcile * 1000), round(ready * 1000))
