"""The state machine that acts on a proxy and on its model, and compares them after each step."""

from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import (
    MY_KEYS,
    NO_ACCESS,
    NO_KEY,
    NO_USER,
    SANDBOXES,
    in_volume,
    own_key_path,
    revocation_path,
    user_path,
)
from sandbox_contract.harness.clock import format_time
from sandbox_contract.harness.readiness import Phase, describe, phase_of
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply, Violation, require

from .model import Delays, Intent, ModelBox, ModelKey, ModelUser
from .shortest_failure import ShortestFailure

RunStep = Callable[[Coroutine[Any, Any, Any]], Any]

_WHO = st.sampled_from(("alice", "bob"))
_WHAT = st.sampled_from(("one", "two"))
_SERVER_ERROR = 500
_STEPS_BEFORE_DEACTIVATION, _STEPS_BEFORE_DELETION = 6, 12


def machine_of(
    run: Run, run_step: RunStep, failure: ShortestFailure
) -> type[RuleBasedStateMachine]:
    """Return a state machine class that is bound to the target of a run."""

    class Machine(History):
        def __init__(self) -> None:
            super().__init__(run, run_step, failure)

    return Machine


class History(RuleBasedStateMachine):
    """The rules of two users and an administrator, as far as the run has their keys."""

    def __init__(self, run: Run, run_step: RunStep, failure: ShortestFailure) -> None:
        super().__init__()
        self._run = run
        self._run_step = run_step
        self._failure = failure
        self._steps: list[str] = []
        self._users: dict[str, ModelUser] = {}
        self._now = 0
        self._names: dict[str, str] = {}
        self._delays = _delays(run)
        self._has_admin = bool(run.target.admin_key)

    # Steps --------------------------------------------------------------------------------------

    def _act(self, description: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a step, and record a violation with the steps that led to it."""
        if self._failure.is_closed:
            return
        self._steps.append(description)
        try:
            self._run_step(work())
        except Violation as exc:
            self._failure.record(exc, self._steps)
            raise

    def _user(self, who: str) -> ModelUser:
        """Return a user; with one key only, always the same."""
        if not self._users:
            raise CancelledError  # the run ended before the first step
        return self._users.get(who) or self._users["alice"]

    async def _is_key_refused(self, user: ModelUser, reply: Reply) -> bool:
        """Return whether the user's key must be refused, and require that the reply does so."""
        message = user.refusal(self._now)
        if message is not None:
            reply.expect_refusal(401, message)
        return message is not None

    def _box(self, user: ModelUser, what: str) -> SandboxHandle:
        model = user.boxes.get(what)
        return model.box if model else SandboxHandle(user.person, self._names[what])

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
            users = {
                "alice": await run.actors.temporary_user("alice"),
                "bob": await run.actors.temporary_user("bob"),
            }
        else:
            users = {"alice": await run.actors.alice()}
            if run.target.second_api_key:
                users["bob"] = await run.actors.bob()
        self._users = {who: ModelUser(person) for who, person in users.items()}

    def teardown(self) -> None:
        if not self._failure.is_over:  # otherwise, the run itself removes everything
            self._run_step(self._run.end_clause())

    # Sandboxes ----------------------------------------------------------------------------------

    @rule(who=_WHO, what=_WHAT)
    def create(self, who: str, what: str) -> None:
        self._act(f"{who} creates {what}", lambda: self._create(self._user(who), what))

    async def _create(self, user: ModelUser, what: str) -> None:
        box = await self._run.sandboxes.unused(user.person, name=self._names[what])
        reply = await box.create()
        if await self._is_key_refused(user, reply):
            return
        if what in user.boxes:
            reply.expect_refusal(409, f"Sandbox '{box.name}' already exists")
        elif what in user.reserved and reply.status >= _SERVER_ERROR:
            self._run.note("a name that was a deleted user's stays taken")
        else:
            reply.expect_fields(201, success=True)
            user.boxes[what] = ModelBox(box, Intent(False, self._now))

    @rule(who=_WHO, what=_WHAT)
    def delete(self, who: str, what: str) -> None:
        self._act(f"{who} deletes {what}", lambda: self._delete(self._user(who), what))

    async def _delete(self, user: ModelUser, what: str) -> None:
        reply = await self._box(user, what).delete()
        if not await self._is_key_refused(user, reply) and self._has_box(user, what, reply):
            del user.boxes[what]

    def _has_box(self, user: ModelUser, what: str, reply: Reply) -> bool:
        """Return whether the user has a sandbox, and require a reply that fits."""
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
        if not await self._is_key_refused(user, reply) and self._has_box(user, what, reply):
            reply.expect_fields(200, success=True, replicas=0 if is_paused else 1)
            user.boxes[what].change(is_paused=is_paused, now=self._now, delays=self._delays)

    @rule(who=_WHO, what=_WHAT)
    def execute(self, who: str, what: str) -> None:
        self._act(f"{who} runs a command in {what}", lambda: self._execute(self._user(who), what))

    async def _execute(self, user: ModelUser, what: str) -> None:
        reply = await self._box(user, what).exec(in_volume("echo ran >> ran; wc -l < ran"))
        if await self._is_key_refused(user, reply):
            return
        if what not in user.boxes:
            reply.expect_refusal(403, NO_ACCESS)
            return
        model = user.boxes[what]
        runs = model.runs(self._now, self._delays)
        if runs is False or (runs is None and reply.status != 200):
            require(reply.status >= _SERVER_ERROR, "a refusal: 503", reply, reply)
            return
        data = reply.expect_fields(success=True)["data"]
        output = data["output"].strip()
        require(output.isdecimal(), "a number of lines", output, reply)
        lines = int(output)
        expected = lines if model.lines is None else model.lines + 1
        require(lines == expected, f"{expected} lines, one of each command", data, reply)
        model.lines = lines

    @precondition(lambda self: "bob" in self._users)
    @rule(what=_WHAT)
    def look_at_another_users(self, what: str) -> None:
        self._act(f"bob looks at alice's {what}", lambda: self._look_at_box(what))

    async def _look_at_box(self, what: str) -> None:
        alice, bob = self._users["alice"], self._users["bob"]
        reply = await bob.person.call("GET", self._box(alice, what).path)
        if await self._is_key_refused(bob, reply):
            return
        if what not in bob.boxes:
            reply.expect_refusal(403, NO_ACCESS)
        else:
            reply.expect_fields(200, namespace=f"user-{bob.person.username}")

    # Keys ---------------------------------------------------------------------------------------

    @rule(who=_WHO, seconds=st.sampled_from((None, -60, 1, 60)))
    def make_key(self, who: str, seconds: int | None) -> None:
        suffix = "" if seconds is None else f" for {seconds} s"
        self._act(f"{who} makes a key{suffix}", lambda: self._make_key(self._user(who), seconds))

    async def _make_key(self, user: ModelUser, seconds: int | None) -> None:
        if user.refusal(self._now) is not None:
            reply = await user.person.call("POST", MY_KEYS, {"name": self._run.name("key")})
            await self._is_key_refused(user, reply)
            return
        if self._delays is None and seconds is not None and seconds > 0:
            seconds = None  # the expiry is not exact on such a clock
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
            by_admin = as_admin and self._has_admin
            by = "the administrator" if by_admin else who
            work = lambda: self._revoke(user, key, by_admin=by_admin)  # noqa: E731
            self._act(f"{by} revokes a key of {who}", work)

    async def _revoke(self, user: ModelUser, key: ModelKey, *, by_admin: bool) -> None:
        if by_admin:
            reply = await self._run.actors.admin("DELETE", revocation_path(key.key.id))
            if user.is_deleted:
                reply.expect_refusal(404, NO_KEY)
                return
        else:
            reply = await user.person.call("DELETE", own_key_path(key.key.id))
            if await self._is_key_refused(user, reply):
                return
        reply.expect_fields(200, success=True)
        key.is_revoked = True

    # Users --------------------------------------------------------------------------------------

    # A user without access can do little, so these rules start late and rarely repeat in vain.

    @precondition(lambda self: self._has_admin and self._is_late(_STEPS_BEFORE_DEACTIVATION))
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

    @precondition(lambda self: self._has_admin and self._is_late(_STEPS_BEFORE_DELETION))
    @rule(who=_WHO)
    def delete_user(self, who: str) -> None:
        # The deployed proxy would leave the sandboxes in the cluster for ever.
        user = self._user(who)
        if self._delays is not None or not user.boxes:
            self._act(f"the administrator deletes {who}", lambda: self._delete_user(user))

    async def _delete_user(self, user: ModelUser) -> None:
        reply = await self._run.actors.admin("DELETE", user_path(user.person.id))
        if user.is_deleted:
            reply.expect_refusal(404, NO_USER)
            return
        require(reply.status in {200, _SERVER_ERROR}, "200", reply, reply)
        if reply.status == _SERVER_ERROR:
            user.reserved |= user.boxes.keys()
        user.is_deleted = True
        user.boxes.clear()
        (await self._run.actors.admin("GET", user_path(user.person.id))).expect(404)

    @precondition(lambda self: any(user.is_deleted for user in self._users.values()))
    @rule()
    def make_users_again(self) -> None:
        for who in [who for who, user in self._users.items() if user.is_deleted]:
            self._act(f"the administrator makes {who} again", partial(self._recreate_user, who))

    async def _recreate_user(self, who: str) -> None:
        old = self._users[who]
        person = await self._run.actors.user(old.person.username)
        self._users[who] = ModelUser(person, reserved=old.reserved)

    # Time ---------------------------------------------------------------------------------------

    @precondition(lambda self: self._delays is not None)
    @rule(milliseconds=st.sampled_from((1, 50, 100, 1000, 1999, 2000, 60_000, 3_600_000)))
    def pass_time(self, milliseconds: int) -> None:
        self._act(f"{milliseconds} ms pass", lambda: self._advance(milliseconds))

    async def _advance(self, milliseconds: int) -> None:
        await self._run.clock.advance(milliseconds / 1000)
        self._now += milliseconds

    @precondition(lambda self: self._delays is None and self._unsettled())
    @rule(number=st.integers(0, 3))
    def come_to_rest(self, number: int) -> None:
        unsettled = self._unsettled()
        model = unsettled[number % len(unsettled)]
        self._act(f"{model.box.name} comes to rest", lambda: self._wait_for_rest(model))

    def _unsettled(self) -> list[ModelBox]:
        """Return the sandboxes of users with access that have not settled since their change."""
        users = [user for user in self._users.values() if user.refusal(self._now) is None]
        boxes = [model for user in users for model in user.boxes.values()]
        return [model for model in boxes if model.at_rest is None]

    async def _wait_for_rest(self, model: ModelBox) -> None:
        phase = Phase.PAUSED if model.desired.is_paused else Phase.READY
        await self._run.clock.until_phase(model.box, phase)
        model.at_rest = phase

    # Invariants ---------------------------------------------------------------------------------

    @invariant()
    def lists_match_the_model(self) -> None:
        if self._users and not self._failure.is_closed:
            try:
                self._run_step(self._compare())
            except Violation as exc:
                self._failure.record(exc, self._steps)
                raise

    async def _compare(self) -> None:
        for user in self._users.values():
            reply = await user.person.call("GET", SANDBOXES)
            if await self._is_key_refused(user, reply):
                continue
            listed = [row["name"] for row in reply.expect_fields()["sandboxes"]]
            own = [name for name in listed if name in self._names.values()]
            expected = [model.box.name for model in user.boxes.values()][::-1]
            require(own == expected, f"the sandboxes {expected}", own, reply)
            for model in user.boxes.values():
                await self._compare_status(model)

    async def _compare_status(self, model: ModelBox) -> None:
        status = await model.box.status()
        phases = model.phases(self._now, self._delays)
        expected = " or ".join(sorted(phase.name.lower() for phase in phases))
        require(phase_of(status) in phases, f"a sandbox that is {expected}", describe(status))


def _delays(run: Run) -> Delays | None:
    """Return the target's delays, or None if its clock is not exact."""
    reconcile, ready = run.target.time.reconcile_delay, run.target.time.ready_after
    if reconcile is None or ready is None:
        return None
    return Delays(round(reconcile * 1000), round(ready * 1000))
