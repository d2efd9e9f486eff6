"""API keys, by the administrator's routes and by a user's own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import Key, User
from sandbox_contract.harness.paths import MY_KEYS, keys_path, own_key_path, revocation_path
from sandbox_contract.harness.run import Run
from sandbox_contract.http.client import Caller
from sandbox_contract.http.expect import Json, Reply, require, require_fields, same
from sandbox_contract.target import Need

from .messages import (
    COUNT,
    EXPIRED,
    ID,
    KEY_FORM,
    NO_KEY,
    NOT_THE_OWNER,
    PREFIX_SHOWN,
    REVOKED,
    TEXT,
    TIMESTAMP,
)
from .routes import NO_ID

_EXPIRY = "2100-01-31T12:00:00.000Z"
_DOCUMENTED = ("id", "key_prefix", "name", "created_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Desk:
    """The routes by which keys of one user are created, listed and revoked, and their caller."""

    run: Run
    owner: User
    caller: Caller
    path: str
    revocation: Callable[[str], str]

    async def make(self, **fields: Any) -> Key:
        """Make a key, revoked at the clause's end."""
        if self.path == MY_KEYS:
            return await self.run.actors.make_own_key(self.owner, **fields)
        return await self.run.actors.make_key(self.owner.id, **fields)

    async def ask(self, **fields: Any) -> Reply:
        """Ask for a key that is not to be had."""
        return await self.caller("POST", self.path, fields)

    async def listed(self) -> list[Json]:
        """Return the keys in the order of the list."""
        return list((await self.caller("GET", self.path)).expect_fields()["api_keys"])

    async def row(self, key: Key) -> Json:
        """Return a key's entry in the list."""
        rows = [each for each in await self.listed() if each.get("id") == key.id]
        require(len(rows) == 1, f"one row of the key {key.id}", rows)
        return rows[0]

    async def revoke(self, key_id: str) -> Reply:
        """Ask that a key be revoked."""
        return await self.caller("DELETE", self.revocation(key_id))


async def _administrators(run: Run) -> Desk:
    visitor = await run.actors.temporary_user()
    return Desk(run, visitor, run.actors.admin, keys_path(visitor.id), revocation_path)


async def _own(run: Run) -> Desk:
    alice = await run.actors.alice()
    return Desk(run, alice, alice.call, MY_KEYS, own_key_path)


_AtDesk = Callable[[Desk], Awaitable[None]]


def clauses_of_keys(
    rule: str, of_a_user: str, of_ones_own: str, *, source: str, level: Level = Level.MUST
) -> Callable[[_AtDesk], _AtDesk]:
    """Define two clauses with one check: for the administrator's routes and for a user's own.

    The two texts are their sentences.
    """

    def define(check: _AtDesk) -> _AtDesk:
        admin = clause(f"admin.{rule}", of_a_user, source=source, needs=Need.ADMIN, level=level)
        admin(partial(_try, check, _administrators))
        own = clause(f"me.{rule}", of_ones_own, source=source, needs=Need.USER, level=level)
        own(partial(_try, check, _own))
        return check

    return define


async def _try(check: _AtDesk, desk: Callable[[Run], Awaitable[Desk]], run: Run) -> None:
    await check(await desk(run))


# Made -------------------------------------------------------------------------------------------


@clauses_of_keys(
    "key-create.reply",
    "The administrator creates a key for a user: 201, with the key and its fields.",
    "A user creates a key: 201, with the key and its fields.",
    source="create-a-key",
)
async def a_key_is_made(desk: Desk) -> None:
    name = desk.run.name("key")
    key = await desk.make(name=name)
    body = key.reply.expect_fields(201, success=True, message=TEXT, api_key=TEXT)
    info = {
        "id": ID,
        "key_prefix": key.secret[:PREFIX_SHOWN],
        "name": name,
        "created_at": TIMESTAMP,
        "expires_at": None,
    }
    said = {field: body["key_info"].get(field, "nothing") for field in info}
    require(said == info, f"key_info {info}", said, key.reply)


@clauses_of_keys(
    "key-create.works",
    "A key that the administrator creates for a user works for that user.",
    "A key that a user creates works for that user.",
    source="create-a-key",
)
async def a_key_works(desk: Desk) -> None:
    key = await desk.make()
    shown = (await desk.owner.saying(key.secret)("GET", "/api/me")).expect_fields()["user"]
    require(shown["id"] == desk.owner.id, f"the user {desk.owner.id}", shown)


@clauses_of_keys(
    "key-create.expiry",
    "A key's expiry is shown as requested.",
    "A key's expiry is shown as requested.",
    source="create-a-key",
)
async def a_keys_expiry_is_shown(desk: Desk) -> None:
    key = await desk.make(expires_at=_EXPIRY)
    said = key.reply.fields()["key_info"]["expires_at"]
    require(said == _EXPIRY, f"expires_at {_EXPIRY}", said, key.reply)
    row = await desk.row(key)
    require(row["expires_at"] == _EXPIRY, f"a row with expires_at {_EXPIRY}", row)
    (await desk.owner.saying(key.secret)("GET", "/api/me")).expect(200)


@clauses_of_keys(
    "key-create.offset",
    "An expiry in another time zone is shown in UTC.",
    "An expiry in another time zone is shown in UTC.",
    source="create-a-key",
)
async def an_expiry_in_another_time_zone(desk: Desk) -> None:
    key = await desk.make(expires_at="2100-01-31T14:00:00+02:00")
    said = key.reply.fields()["key_info"]["expires_at"]
    require(said == _EXPIRY, f"expires_at {_EXPIRY}", said, key.reply)


@clauses_of_keys(
    "key-create.bad-expiry",
    "An expiry that is not a timestamp is 400.",
    "An expiry that is not a timestamp is 400.",
    source="expiry",
    level=Level.SHOULD,
)
async def an_expiry_that_is_none(desk: Desk) -> None:
    for expiry in ("tomorrow", "2100-13-01T00:00:00Z", {"year": 2100}):
        (await desk.ask(expires_at=expiry)).expect_refusal(400)


@clauses_of_keys(
    "key-create.format",
    "A key is unique: sk_live_ and 32 characters, the first 12 of which are its prefix.",
    "A key is unique: sk_live_ and 32 characters, the first 12 of which are its prefix.",
    source="form-of-a-key",
)
async def a_keys_form(desk: Desk) -> None:
    keys = [await desk.make() for _ in range(3)]
    for key in keys:
        # The message omits the key: a value of another form may still be a secret.
        require(KEY_FORM.fullmatch(key.secret), "sk_live_ and 32 characters", "another form")
        prefix = key.reply.fields()["key_info"]["key_prefix"]
        is_prefix = prefix == key.secret[:PREFIX_SHOWN]
        require(is_prefix, "a key_prefix of the key's first 12 characters", prefix, key.reply)
    require(len({key.secret for key in keys}) == len(keys), "different keys", "one of them twice")


@clause(
    "admin.key-create.without-name",
    "A key can be created without a name and without an expiry.",
    source="create-a-key",
    needs=Need.ADMIN,
)
async def a_key_needs_no_name(run: Run) -> None:
    desk = await _administrators(run)
    key = await desk.make()
    info = key.reply.fields()["key_info"]
    require(info["name"] is None, "a key without a name", info, key.reply)
    require(info["expires_at"] is None, "a key without an expiry", info, key.reply)
    without_body = await run.actors.admin("POST", desk.path)
    run.redactor.keep(without_body.expect_fields(201)["api_key"])


@clause(
    "admin.key-create.past-expiry",
    "A key can be created with an expiry in the past, and is then expired.",
    source="expiry",
    needs=Need.ADMIN,
)
async def an_expiry_in_the_past(run: Run) -> None:
    desk = await _administrators(run)
    key = await desk.make(expires_at="2001-01-01T00:00:00Z")
    (await desk.owner.saying(key.secret)("GET", "/api/me")).expect_refusal(401, EXPIRED)


@clause(
    "admin.key-create.bad-id",
    "Creating a key for a user id that is not a UUID is 400.",
    source="ids",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_key_for_an_id_that_is_none(run: Run) -> None:
    (await run.actors.admin("POST", keys_path("no-uuid"), {})).expect_refusal(400)


# Listed -----------------------------------------------------------------------------------------


@clauses_of_keys(
    "key-list.reply",
    "A user's keys are listed with their promised fields.",
    "A user's own keys are listed with their promised fields.",
    source="list-keys",
)
async def keys_are_listed(desk: Desk) -> None:
    key = await desk.make(name=desk.run.name("key"), expires_at=_EXPIRY)
    row, info = await desk.row(key), key.reply.fields()["key_info"]
    told = {field: info[field] for field in _DOCUMENTED}
    shown = {field: row[field] for field in _DOCUMENTED}
    require(same(shown, told), f"a row that says {told}", shown)
    require(row["is_active"] is True, "a row that is active", row)
    require(row["last_used_at"] is None, "a key that was not used yet", row)


@clauses_of_keys(
    "key-list.fields",
    "A user's key has the promised fields and no others, such as its hash.",
    "A user's own key has the promised fields and no others, such as its hash.",
    source="list-keys",
)
async def a_key_has_no_other_fields(desk: Desk) -> None:
    key = await desk.make()
    require_fields(key.reply.fields()["key_info"], _DOCUMENTED, key.reply)
    require_fields(await desk.row(key), (*_DOCUMENTED, "last_used_at", "is_active"))


@clauses_of_keys(
    "key-list.count",
    "The list of a user's keys includes their count.",
    "The list of a user's own keys includes their count.",
    source="list-keys",
)
async def keys_are_counted(desk: Desk) -> None:
    for is_revoked in (False, True):
        key = await desk.make()
        if is_revoked:
            (await desk.revoke(key.id)).expect(200)
        reply = await desk.caller("GET", desk.path)
        keys = reply.expect_fields(count=COUNT)["api_keys"]
        reply.expect_fields(count=len(keys))


@clauses_of_keys(
    "key-list.newest-first",
    "A user's keys are listed newest first.",
    "A user's own keys are listed newest first.",
    source="list-keys",
)
async def keys_are_listed_newest_first(desk: Desk) -> None:
    first, second = await desk.make(), await desk.make()
    await desk.run.clock.advance(0.001)
    made = [first.id, second.id, (await desk.make()).id]
    (await desk.owner.saying(first.secret)("GET", "/api/me")).expect(200)
    shown = [row["id"] for row in await desk.listed() if row["id"] in made]
    require(shown == made[::-1], f"{made[::-1]}, in this order", shown)


@clauses_of_keys(
    "key-list.revoked",
    "A revoked key stays listed, as inactive.",
    "A revoked key stays listed, as inactive.",
    source="list-keys",
)
async def revoked_keys_stay_listed(desk: Desk) -> None:
    key = await desk.make()
    (await desk.revoke(key.id)).expect(200)
    row = await desk.row(key)
    require(row["is_active"] is False, "a row that is not active", row)


@clauses_of_keys(
    "key-list.no-secret",
    "Only the response that creates a key contains it.",
    "Only the response that creates a key contains it.",
    source="stored-keys",
)
async def no_list_holds_a_key(desk: Desk) -> None:
    key = await desk.make()
    for reply in (
        await desk.caller("GET", desk.path),
        await desk.owner.saying(key.secret)("GET", "/api/me"),
        await desk.revoke(key.id),
        await desk.caller("GET", desk.path),
    ):
        holds = key.secret.encode() in reply.exchange.body
        require(not holds, "an answer without the key", "one with it", reply)
    require(_secrets(await desk.listed()) == [], "no field that holds a key", "some")


def _secrets(rows: list[Json]) -> list[Json]:
    """Return all that has a key's form in some rows."""
    values = [value for row in rows for value in row.values()]
    return [each for each in values if isinstance(each, str) and KEY_FORM.fullmatch(each)]


@clause(
    "admin.key-list.of-one-user",
    "Another user's keys are not listed.",
    source="list-keys",
    needs=Need.ADMIN,
)
async def only_that_users_keys_are_listed(run: Run) -> None:
    desk, other = await _administrators(run), await _administrators(run)
    key = await other.make()
    ids = [row["id"] for row in await desk.listed()]
    require(key.id not in ids, "a list without another user's key", ids)
    require(len(ids) == 1, "the one key that this user has", ids)


@clause(
    "me.key-list.own",
    "Another user's keys are not listed.",
    source="list-keys",
    needs=Need.SECOND_USER,
)
async def only_ones_own_keys_are_listed(run: Run) -> None:
    desk, bob = await _own(run), await run.actors.bob()
    key = await run.actors.make_own_key(bob)
    ids = [row["id"] for row in await desk.listed()]
    require(key.id not in ids, "a list without another user's key", ids)


@clause(
    "admin.key-list.last-used",
    "The list of keys shows when a key was last used.",
    source="list-keys",
    needs=Need.ADMIN,
)
async def a_list_says_when_a_key_was_used(run: Run) -> None:
    desk = await _administrators(run)
    key = await desk.make()
    (await desk.owner.saying(key.secret)("GET", "/api/me")).expect(200)
    row = await desk.row(key)
    require(row["last_used_at"] == TIMESTAMP, "a time in last_used_at", row)


# Revoked ----------------------------------------------------------------------------------------

_REVOKED = "API key revoked successfully"


@clauses_of_keys(
    "key-revoke.reply",
    "The administrator revokes a user's key: 200, and the key no longer works.",
    "A user revokes a key: 200, and the key no longer works.",
    source="revoke-a-key",
)
async def a_key_is_revoked(desk: Desk) -> None:
    key = await desk.make()
    (await desk.revoke(key.id)).expect_fields(success=True, message=_REVOKED)
    (await desk.owner.saying(key.secret)("GET", "/api/me")).expect_refusal(401, REVOKED)


@clauses_of_keys(
    "key-revoke.again",
    "Revoking a key again is 200.",
    "Revoking a key again is 200.",
    source="revoke-a-key",
)
async def a_key_is_revoked_again(desk: Desk) -> None:
    key = await desk.make()
    for _ in range(2):
        (await desk.revoke(key.id)).expect_fields(success=True, message=_REVOKED)


@clauses_of_keys(
    "key-revoke.unknown",
    "A key id that does not exist is 404.",
    "A key id that does not exist is 404.",
    source="revoke-a-key",
)
async def an_unknown_key(desk: Desk) -> None:
    (await desk.revoke(NO_ID)).expect_refusal(404, NO_KEY)


@clauses_of_keys(
    "key-revoke.bad-id",
    "A key id that is not a UUID is 400.",
    "A key id that is not a UUID is 400.",
    source="ids",
    level=Level.SHOULD,
)
async def a_keys_id_that_is_none(desk: Desk) -> None:
    (await desk.revoke("no-uuid")).expect_refusal(400)


@clause(
    "admin.key-revoke.one",
    "Revoking a key does not affect the user's other keys.",
    source="revoke-a-key",
    needs=Need.ADMIN,
)
async def the_users_other_keys_stay(run: Run) -> None:
    desk = await _administrators(run)
    key, other = await desk.make(), await desk.make()
    await desk.revoke(key.id)
    (await desk.owner.saying(other.secret)("GET", "/api/me")).expect(200)
    (await desk.owner.call("GET", "/api/me")).expect(200)


@clause(
    "me.key-revoke.in-use",
    "A key can revoke itself.",
    source="revoke-a-key",
    needs=Need.USER,
)
async def a_key_revokes_itself(run: Run) -> None:
    desk = await _own(run)
    key = await desk.make()
    caller = desk.owner.saying(key.secret)
    (await caller("DELETE", own_key_path(key.id))).expect_fields(success=True, message=_REVOKED)
    (await caller("GET", "/api/me")).expect_refusal(401, REVOKED)


@clause(
    "me.key-revoke.others",
    "Revoking another user's key is 403, and the key still works.",
    source="revoke-a-key",
    needs=Need.SECOND_USER,
)
async def another_users_key(run: Run) -> None:
    desk, bob = await _own(run), await run.actors.bob()
    key = await run.actors.make_own_key(bob)
    (await desk.revoke(key.id)).expect_refusal(403, NOT_THE_OWNER)
    (await bob.saying(key.secret)("GET", "/api/me")).expect(200)


# Oneself ----------------------------------------------------------------------------------------


@clause(
    "me.show.fields",
    "GET /api/me returns the promised fields of the user and no others.",
    source="who-am-i",
    needs=Need.USER,
)
async def ones_own_user_has_no_other_fields(run: Run) -> None:
    reply = await (await run.actors.alice()).call("GET", "/api/me")
    require_fields(reply.expect_fields()["user"], ("id", "username", "email"), reply)


@clause(
    "me.show.reply",
    "GET /api/me returns the user to whom the key belongs.",
    source="who-am-i",
    needs=Need.USER,
)
async def a_user_is_told_who_it_is(run: Run) -> None:
    alice = await run.actors.alice()
    reply = await alice.call("GET", "/api/me")
    user = reply.expect_fields()["user"]
    require(user["id"] == ID, "an id", user, reply)
    require("email" in user, "an e-mail, if only null", user, reply)
    known = {"id": alice.id, "username": alice.username}
    said = {field: user[field] for field in known}
    require(said == known, f"the user {known}", said, reply)
