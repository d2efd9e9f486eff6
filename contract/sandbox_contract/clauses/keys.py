"""API keys: the administrator's routes and those of a user."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import Key, User
from sandbox_contract.harness.api import (
    COUNT,
    EXPIRED,
    ID,
    KEY_FORM,
    MY_KEYS,
    NO_KEY,
    NOT_THE_OWNER,
    PREFIX_SHOWN,
    REVOKED,
    TEXT,
    TIMESTAMP,
    keys_path,
    own_key_path,
    revocation_path,
)
from sandbox_contract.harness.run import Run
from sandbox_contract.http.client import Caller
from sandbox_contract.http.expect import Json, Reply, require, require_fields, same
from sandbox_contract.target import Need

from .routes import NO_ID

_EXPIRY = "2100-01-31T12:00:00.000Z"
_PAUSE = 0.05  # seconds
_DOCUMENTED = ("id", "key_prefix", "name", "created_at", "expires_at")


@dataclass(frozen=True, slots=True)
class KeysAPI:
    """The routes by which keys of one user are created, listed and revoked, and their caller."""

    run: Run
    owner: User
    caller: Caller
    path: str
    revocation: Callable[[str], str]

    async def create(self, **fields: Any) -> Key:
        """Create a key, which is revoked at the end of the clause."""
        if self.path == MY_KEYS:
            return await self.run.actors.make_own_key(self.owner, **fields)
        return await self.run.actors.make_key(self.owner.id, **fields)

    async def request(self, **fields: Any) -> Reply:
        """Request a key that the proxy must refuse, and return the response."""
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
        """Send a request to revoke a key."""
        return await self.caller("DELETE", self.revocation(key_id))


async def _admin_routes(run: Run) -> KeysAPI:
    temporary_user = await run.actors.temporary_user()
    return KeysAPI(
        run, temporary_user, run.actors.admin, keys_path(temporary_user.id), revocation_path
    )


async def _own_routes(run: Run) -> KeysAPI:
    alice = await run.actors.alice()
    return KeysAPI(run, alice, alice.call, MY_KEYS, own_key_path)


_KeysCheck = Callable[[KeysAPI], Awaitable[None]]


def clauses_for_both_routes(
    rule: str, admin_sentence: str, own_sentence: str, *, source: str, level: Level = Level.MUST
) -> Callable[[_KeysCheck], _KeysCheck]:
    """Define two clauses with one check: `admin.…` and `me.…`.

    The first uses the administrator's routes, the second those of a user.
    """

    def define(check: _KeysCheck) -> _KeysCheck:
        admin = clause(
            f"admin.{rule}", admin_sentence, source=source, needs=Need.ADMIN, level=level
        )
        admin(partial(_check_with, check, _admin_routes))
        own = clause(f"me.{rule}", own_sentence, source=source, needs=Need.USER, level=level)
        own(partial(_check_with, check, _own_routes))
        return check

    return define


async def _check_with(
    check: _KeysCheck, keys_api: Callable[[Run], Awaitable[KeysAPI]], run: Run
) -> None:
    await check(await keys_api(run))


# Creation ---------------------------------------------------------------------------------------


@clauses_for_both_routes(
    "key-create.reply",
    "The administrator creates a key for a user: 201, with the key and its fields.",
    "A user creates a key: 201, with the key and its fields.",
    source="create-a-key",
)
async def a_key_is_created(keys_api: KeysAPI) -> None:
    name = keys_api.run.name("key")
    key = await keys_api.create(name=name)
    body = key.reply.expect_fields(201, success=True, message=TEXT, api_key=TEXT)
    info = {
        "id": ID,
        "key_prefix": key.secret[:PREFIX_SHOWN],
        "name": name,
        "created_at": TIMESTAMP,
        "expires_at": None,
    }
    actual = {field: body["key_info"].get(field, "nothing") for field in info}
    require(actual == info, f"key_info {info}", actual, key.reply)


@clauses_for_both_routes(
    "key-create.works",
    "A key that the administrator creates for a user works for that user.",
    "A key that a user creates works for that user.",
    source="create-a-key",
)
async def a_created_key_works(keys_api: KeysAPI) -> None:
    key = await keys_api.create()
    shown = (await keys_api.owner.saying(key.secret)("GET", "/api/me")).expect_fields()["user"]
    require(shown["id"] == keys_api.owner.id, f"the user {keys_api.owner.id}", shown)


@clauses_for_both_routes(
    "key-create.expiry",
    "A key's expiry is shown as requested.",
    "A key's expiry is shown as requested.",
    source="create-a-key",
)
async def a_keys_expiry_is_shown(keys_api: KeysAPI) -> None:
    key = await keys_api.create(expires_at=_EXPIRY)
    actual = key.reply.fields()["key_info"]["expires_at"]
    require(actual == _EXPIRY, f"expires_at {_EXPIRY}", actual, key.reply)
    row = await keys_api.row(key)
    require(row["expires_at"] == _EXPIRY, f"a row with expires_at {_EXPIRY}", row)
    (await keys_api.owner.saying(key.secret)("GET", "/api/me")).expect(200)


@clauses_for_both_routes(
    "key-create.offset",
    "An expiry in another time zone is shown in UTC.",
    "An expiry in another time zone is shown in UTC.",
    source="create-a-key",
)
async def an_expiry_is_converted_to_utc(keys_api: KeysAPI) -> None:
    key = await keys_api.create(expires_at="2100-01-31T14:00:00+02:00")
    actual = key.reply.fields()["key_info"]["expires_at"]
    require(actual == _EXPIRY, f"expires_at {_EXPIRY}", actual, key.reply)


@clauses_for_both_routes(
    "key-create.bad-expiry",
    "An expiry that is not a timestamp is 400.",
    "An expiry that is not a timestamp is 400.",
    source="expiry",
    level=Level.SHOULD,
)
async def an_invalid_expiry_is_refused(keys_api: KeysAPI) -> None:
    for expiry in ("tomorrow", "2100-13-01T00:00:00Z", {"year": 2100}):
        (await keys_api.request(expires_at=expiry)).expect_refusal(400)


@clauses_for_both_routes(
    "key-create.format",
    "A key is unique: sk_live_ and 32 characters, the first 12 of which are its prefix.",
    "A key is unique: sk_live_ and 32 characters, the first 12 of which are its prefix.",
    source="form-of-a-key",
)
async def keys_have_one_format(keys_api: KeysAPI) -> None:
    keys = [await keys_api.create() for _ in range(3)]
    for key in keys:
        # The message omits the key: a value of another form may still be a secret.
        require(KEY_FORM.fullmatch(key.secret), "sk_live_ and 32 characters", "another form")
        prefix = key.reply.fields()["key_info"]["key_prefix"]
        is_prefix = prefix == key.secret[:PREFIX_SHOWN]
        require(is_prefix, "a key_prefix of the key's first 12 characters", prefix, key.reply)
    require(len({key.secret for key in keys}) == len(keys), "different keys", "one of them twice")


@clause(
    "admin.key-create.without-name",
    "The administrator can create a key without a name and without an expiry.",
    source="create-a-key",
    needs=Need.ADMIN,
)
async def name_and_expiry_are_optional(run: Run) -> None:
    keys_api = await _admin_routes(run)
    key = await keys_api.create()
    info = key.reply.fields()["key_info"]
    require(info["name"] is None, "a key without a name", info, key.reply)
    require(info["expires_at"] is None, "a key without an expiry", info, key.reply)
    without_body = await run.actors.admin("POST", keys_api.path)
    run.redactor.keep(without_body.expect_fields(201)["api_key"])


@clause(
    "admin.key-create.past-expiry",
    "The administrator can create a key with an expiry in the past, and it is then expired.",
    source="expiry",
    needs=Need.ADMIN,
)
async def a_past_expiry_is_accepted(run: Run) -> None:
    keys_api = await _admin_routes(run)
    key = await keys_api.create(expires_at="2001-01-01T00:00:00Z")
    (await keys_api.owner.saying(key.secret)("GET", "/api/me")).expect_refusal(401, EXPIRED)


@clause(
    "admin.key-create.bad-id",
    "Creating a key for a user id that is not a UUID is 400.",
    source="ids",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def an_invalid_user_id_is_refused(run: Run) -> None:
    (await run.actors.admin("POST", keys_path("no-uuid"), {})).expect_refusal(400)


# Lists ------------------------------------------------------------------------------------------


@clauses_for_both_routes(
    "key-list.reply",
    "A user's keys are listed with their promised fields.",
    "A user's own keys are listed with their promised fields.",
    source="list-keys",
)
async def keys_are_listed(keys_api: KeysAPI) -> None:
    key = await keys_api.create(name=keys_api.run.name("key"), expires_at=_EXPIRY)
    row, info = await keys_api.row(key), key.reply.fields()["key_info"]
    expected = {field: info[field] for field in _DOCUMENTED}
    shown = {field: row[field] for field in _DOCUMENTED}
    require(same(shown, expected), f"a row that says {expected}", shown)
    require(row["is_active"] is True, "a row that is active", row)
    require(row["last_used_at"] is None, "a key that was not used yet", row)


@clauses_for_both_routes(
    "key-list.fields",
    "A user's key has the promised fields and no others, such as its hash.",
    "A user's own key has the promised fields and no others, such as its hash.",
    source="list-keys",
)
async def a_key_has_no_other_fields(keys_api: KeysAPI) -> None:
    key = await keys_api.create()
    require_fields(key.reply.fields()["key_info"], _DOCUMENTED, key.reply)
    require_fields(await keys_api.row(key), (*_DOCUMENTED, "last_used_at", "is_active"))


@clauses_for_both_routes(
    "key-list.count",
    "The list of a user's keys includes their count.",
    "The list of a user's own keys includes their count.",
    source="list-keys",
)
async def keys_are_counted(keys_api: KeysAPI) -> None:
    for is_revoked in (False, True):
        key = await keys_api.create()
        if is_revoked:
            (await keys_api.revoke(key.id)).expect(200)
        reply = await keys_api.caller("GET", keys_api.path)
        keys = reply.expect_fields(count=COUNT)["api_keys"]
        reply.expect_fields(count=len(keys))


@clauses_for_both_routes(
    "key-list.newest-first",
    "A user's keys are listed newest first.",
    "A user's own keys are listed newest first.",
    source="list-keys",
)
async def keys_are_listed_newest_first(keys_api: KeysAPI) -> None:
    first, second = await keys_api.create(), await keys_api.create()
    await keys_api.run.clock.advance(0.001)
    created = [first.id, second.id, (await keys_api.create()).id]
    (await keys_api.owner.saying(first.secret)("GET", "/api/me")).expect(200)
    shown = [row["id"] for row in await keys_api.listed() if row["id"] in created]
    require(shown == created[::-1], f"{created[::-1]}, in this order", shown)


@clauses_for_both_routes(
    "key-list.revoked",
    "A revoked key stays listed, as inactive.",
    "A revoked key stays listed, as inactive.",
    source="list-keys",
)
async def revoked_keys_stay_listed(keys_api: KeysAPI) -> None:
    key = await keys_api.create()
    (await keys_api.revoke(key.id)).expect(200)
    row = await keys_api.row(key)
    require(row["is_active"] is False, "a row that is not active", row)


@clauses_for_both_routes(
    "key-list.no-secret",
    "Only the response that creates a key contains it.",
    "Only the response that creates a key contains it.",
    source="stored-keys",
)
async def no_later_response_contains_the_key(keys_api: KeysAPI) -> None:
    key = await keys_api.create()
    for reply in (
        await keys_api.caller("GET", keys_api.path),
        await keys_api.owner.saying(key.secret)("GET", "/api/me"),
        await keys_api.revoke(key.id),
        await keys_api.caller("GET", keys_api.path),
    ):
        is_contained = key.secret.encode() in reply.exchange.body
        require(not is_contained, "a response without the key", "one with it", reply)
    require(_key_values(await keys_api.listed()) == [], "no field that holds a key", "some")


def _key_values(rows: list[Json]) -> list[Json]:
    """Return the values in the rows that have the form of a key."""
    values = [value for row in rows for value in row.values()]
    return [each for each in values if isinstance(each, str) and KEY_FORM.fullmatch(each)]


@clause(
    "admin.key-list.of-one-user",
    "Another user's keys are not listed.",
    source="list-keys",
    needs=Need.ADMIN,
)
async def only_the_users_keys_are_listed(run: Run) -> None:
    keys_api, other = await _admin_routes(run), await _admin_routes(run)
    key = await other.create()
    ids = [row["id"] for row in await keys_api.listed()]
    require(key.id not in ids, "a list without another user's key", ids)
    require(len(ids) == 1, "the one key that this user has", ids)


@clause(
    "me.key-list.own",
    "Another user's keys are not listed.",
    source="list-keys",
    needs=Need.SECOND_USER,
)
async def only_own_keys_are_listed(run: Run) -> None:
    keys_api, bob = await _own_routes(run), await run.actors.bob()
    key = await run.actors.make_own_key(bob)
    ids = [row["id"] for row in await keys_api.listed()]
    require(key.id not in ids, "a list without another user's key", ids)


@clause(
    "admin.key-list.last-used",
    "The list of keys shows when a key was last used.",
    source="list-keys",
    needs=Need.ADMIN,
)
async def last_use_is_listed(run: Run) -> None:
    keys_api = await _admin_routes(run)
    key, times = await keys_api.create(), list[str]()
    for _ in range(2):
        await run.clock.advance(_PAUSE)
        (await keys_api.owner.saying(key.secret)("GET", "/api/me")).expect(200)
        row = await keys_api.row(key)
        require(row["last_used_at"] == TIMESTAMP, "a time in last_used_at", row)
        times.append(row["last_used_at"])
    require(times[0] < times[1], "a later time after the second use", times)


# Revocation -------------------------------------------------------------------------------------

_REVOKED = "API key revoked successfully"


@clauses_for_both_routes(
    "key-revoke.reply",
    "The administrator revokes a user's key: 200, and the key no longer works.",
    "A user revokes a key: 200, and the key no longer works.",
    source="revoke-a-key",
)
async def a_key_is_revoked(keys_api: KeysAPI) -> None:
    key = await keys_api.create()
    (await keys_api.revoke(key.id)).expect_fields(success=True, message=_REVOKED)
    (await keys_api.owner.saying(key.secret)("GET", "/api/me")).expect_refusal(401, REVOKED)


@clauses_for_both_routes(
    "key-revoke.again",
    "Revoking a key again is 200.",
    "Revoking a key again is 200.",
    source="revoke-a-key",
)
async def revocation_is_repeatable(keys_api: KeysAPI) -> None:
    key = await keys_api.create()
    for _ in range(2):
        (await keys_api.revoke(key.id)).expect_fields(success=True, message=_REVOKED)


@clauses_for_both_routes(
    "key-revoke.unknown",
    "A key id that does not exist is 404.",
    "A key id that does not exist is 404.",
    source="revoke-a-key",
)
async def an_unknown_key_id_is_404(keys_api: KeysAPI) -> None:
    (await keys_api.revoke(NO_ID)).expect_refusal(404, NO_KEY)


@clauses_for_both_routes(
    "key-revoke.bad-id",
    "A key id that is not a UUID is 400.",
    "A key id that is not a UUID is 400.",
    source="ids",
    level=Level.SHOULD,
)
async def an_invalid_key_id_is_refused(keys_api: KeysAPI) -> None:
    (await keys_api.revoke("no-uuid")).expect_refusal(400)


@clause(
    "admin.key-revoke.one",
    "Revoking a key does not affect the user's other keys.",
    source="revoke-a-key",
    needs=Need.ADMIN,
)
async def other_keys_keep_working(run: Run) -> None:
    keys_api = await _admin_routes(run)
    key, other = await keys_api.create(), await keys_api.create()
    await keys_api.revoke(key.id)
    (await keys_api.owner.saying(other.secret)("GET", "/api/me")).expect(200)
    (await keys_api.owner.call("GET", "/api/me")).expect(200)


@clause(
    "me.key-revoke.in-use",
    "A key can revoke itself.",
    source="revoke-a-key",
    needs=Need.USER,
)
async def a_key_revokes_itself(run: Run) -> None:
    keys_api = await _own_routes(run)
    key = await keys_api.create()
    caller = keys_api.owner.saying(key.secret)
    (await caller("DELETE", own_key_path(key.id))).expect_fields(success=True, message=_REVOKED)
    (await caller("GET", "/api/me")).expect_refusal(401, REVOKED)


@clause(
    "me.key-revoke.others",
    "Revoking another user's key is 403, and the key still works.",
    source="revoke-a-key",
    needs=Need.SECOND_USER,
)
async def another_users_key_is_refused(run: Run) -> None:
    keys_api, bob = await _own_routes(run), await run.actors.bob()
    key = await run.actors.make_own_key(bob)
    (await keys_api.revoke(key.id)).expect_refusal(403, NOT_THE_OWNER)
    (await bob.saying(key.secret)("GET", "/api/me")).expect(200)


# GET /api/me ------------------------------------------------------------------------------------


@clause(
    "me.show.fields",
    "GET /api/me returns the promised fields of the user and no others.",
    source="who-am-i",
    needs=Need.USER,
)
async def the_own_user_has_no_other_fields(run: Run) -> None:
    reply = await (await run.actors.alice()).call("GET", "/api/me")
    require_fields(reply.expect_fields()["user"], ("id", "username", "email"), reply)


@clause(
    "me.show.reply",
    "GET /api/me returns the user to whom the key belongs.",
    source="who-am-i",
    needs=Need.USER,
)
async def the_keys_user_is_shown(run: Run) -> None:
    alice = await run.actors.alice()
    reply = await alice.call("GET", "/api/me")
    user = reply.expect_fields()["user"]
    require(user["id"] == ID, "an id", user, reply)
    require("email" in user, "an e-mail, if only null", user, reply)
    known = {"id": alice.id, "username": alice.username}
    actual = {field: user[field] for field in known}
    require(actual == known, f"the user {known}", actual, reply)
