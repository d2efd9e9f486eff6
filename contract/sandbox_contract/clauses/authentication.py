"""Authentication: each kind of caller on each route."""

import base64
import hashlib
from datetime import datetime, timedelta

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import Key, User
from sandbox_contract.harness.api import (
    BAD_HEADER,
    DEACTIVATED,
    EXPIRED,
    KEY_FORM,
    MY_KEYS,
    NO_ACCESS,
    NO_HEADER,
    NO_USER,
    NOT_ADMIN,
    PREFIX_SHOWN,
    REVOKED,
    SANDBOXES,
    UNKNOWN_KEY,
    USERS,
    keys_path,
    own_key_path,
    revocation_path,
    user_path,
)
from sandbox_contract.harness.clock import format_time
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import require
from sandbox_contract.target import Need, Unsupported

from .routes import (
    NO_ID,
    Route,
    admin_routes,
    altered_keys,
    expect_no_effect,
    expect_refused_on_each,
    sandbox_routes,
    user_routes,
)

UNISSUED_KEY = "sk_live_" + "0" * 32
TICK = timedelta(milliseconds=1)  # the resolution of an expiry


async def _expect_header_refused(run: Run, authorization: str | None, message: str) -> None:
    caller = run.actors.anonymous.saying(authorization)
    await expect_refused_on_each(user_routes(run.name("refused")), caller, 401, message)


async def _expect_key_refused(run: Run, user: User, key: str, message: str) -> None:
    """Require that a user's key gives no access, not even to the user's own sandboxes."""
    box = await run.sandboxes.shared()
    caller = user.saying(key)
    await expect_refused_on_each(
        [*user_routes(run.name("refused")), *sandbox_routes(box.name)], caller, 401, message
    )


# Headers ----------------------------------------------------------------------------------------


@clause(
    "auth.header.missing",
    "Without an Authorization header, every user route is 401.",
    source="authorization-header",
)
async def a_missing_header_is_refused(run: Run) -> None:
    await _expect_header_refused(run, None, NO_HEADER)


@clause(
    "auth.header.empty",
    "With an empty Authorization header, every user route is 401.",
    source="authorization-header",
)
async def an_empty_header_is_refused(run: Run) -> None:
    await _expect_header_refused(run, "", NO_HEADER)


@clause(
    "auth.header.other-scheme",
    "With a scheme other than Bearer, every user route is 401.",
    source="authorization-header",
)
async def another_scheme_is_refused(run: Run) -> None:
    for scheme in ("Basic", "Token"):
        await _expect_header_refused(run, f"{scheme} {UNISSUED_KEY}", BAD_HEADER)


@clause(
    "auth.header.lower-case",
    "The scheme is case-sensitive: with bearer, every user route is 401.",
    source="authorization-header",
)
async def a_lower_case_scheme_is_refused(run: Run) -> None:
    await _expect_header_refused(run, f"bearer {UNISSUED_KEY}", BAD_HEADER)


@clause(
    "auth.header.bare-key",
    "With a key and no scheme, every user route is 401.",
    source="authorization-header",
)
async def a_key_without_a_scheme_is_refused(run: Run) -> None:
    await _expect_header_refused(run, UNISSUED_KEY, BAD_HEADER)


@clause(
    "auth.header.no-key",
    "With Bearer and no key, every user route is 401.",
    source="authorization-header",
)
async def a_scheme_without_a_key_is_refused(run: Run) -> None:
    await _expect_header_refused(run, "Bearer", BAD_HEADER)


_WHITESPACE = (" ", "\t", " \t ")


@clause(
    "auth.header.blanks-after",
    "Spaces and tabs after a user's key are ignored.",
    source="authorization-header",
    needs=Need.USER,
)
async def whitespace_after_a_key_is_ignored(run: Run) -> None:
    alice = await run.actors.alice()
    for whitespace in _WHITESPACE:
        caller = alice.saying(f"{alice.key}{whitespace}")
        for path in ("/api/me", SANDBOXES):
            (await caller("GET", path)).expect(200)
        (await caller("GET", f"/proxy/{run.name('missing')}/any")).expect_refusal(403, NO_ACCESS)


@clause(
    "auth.admin-header.blanks-after",
    "Spaces and tabs after the admin key are ignored.",
    source="authorization-header",
    needs=Need.ADMIN,
)
async def whitespace_after_the_admin_key_is_ignored(run: Run) -> None:
    for whitespace in _WHITESPACE:
        caller = run.actors.anonymous.saying(f"Bearer {run.target.admin_key}{whitespace}")
        (await caller("GET", user_path(NO_ID))).expect_refusal(404, NO_USER)


# Keys -------------------------------------------------------------------------------------------


@clause(
    "auth.key.unknown",
    "With a key that was never issued, every user route is 401.",
    source="user-keys",
)
async def an_unissued_key_is_refused(run: Run) -> None:
    for key in (UNISSUED_KEY, "x", "sk_live_"):
        await _expect_header_refused(run, f"Bearer {key}", UNKNOWN_KEY)


@clause(
    "auth.key.nearly",
    "A key that differs from a user's key in one character, its case or its length is 401.",
    source="user-keys",
    needs=Need.USER,
)
async def an_altered_key_is_refused(run: Run) -> None:
    alice = await run.actors.alice()
    for key in altered_keys(alice.key):
        run.redactor.keep(key)
        await expect_refused_on_each(
            user_routes(run.name("refused")), alice.saying(key), 401, UNKNOWN_KEY
        )


@clause(
    "auth.key.admin",
    "With the admin key, every user route is 401.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def the_admin_key_is_refused_on_user_routes(run: Run) -> None:
    await expect_refused_on_each(
        user_routes(run.name("refused")), run.actors.admin, 401, UNKNOWN_KEY
    )


@clause(
    "auth.key.deleted-user",
    "With a deleted user's key, every user route is 401.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def a_deleted_users_key_is_refused(run: Run) -> None:
    temporary_user = await run.actors.temporary_user()
    (await temporary_user.call("GET", "/api/me")).expect(200)
    await run.actors.admin("DELETE", user_path(temporary_user.id))
    await expect_refused_on_each(
        user_routes(run.name("refused")), temporary_user.call, 401, UNKNOWN_KEY
    )


async def _create_revoked_key(run: Run, user: User) -> Key:
    key = await run.actors.make_own_key(user)
    (await user.saying(key.secret)("GET", "/api/me")).expect(200)
    (await user.call("DELETE", own_key_path(key.id))).expect(200)
    return key


@clause(
    "auth.key.revoked",
    "With a revoked key, every user route is 401.",
    source="user-keys",
    needs=Need.USER,
)
async def a_revoked_key_is_refused(run: Run) -> None:
    alice = await run.actors.alice()
    key = await _create_revoked_key(run, alice)
    await _expect_key_refused(run, alice, key.secret, REVOKED)


@clause(
    "auth.key.revoked-first",
    "A revoked key of a deactivated user is refused as revoked.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def revocation_is_reported_before_deactivation(run: Run) -> None:
    temporary_user = await run.actors.temporary_user()
    key = await _create_revoked_key(run, temporary_user)
    await _set_active(run, temporary_user, active=False)
    await expect_refused_on_each(
        user_routes(run.name("refused")), temporary_user.saying(key.secret), 401, REVOKED
    )


@clause(
    "auth.key.expired",
    "With an expired key, every user route is 401.",
    source="user-keys",
    needs=Need.USER,
)
async def an_expired_key_is_refused(run: Run) -> None:
    alice = await run.actors.alice()
    key = await run.actors.make_own_key(alice, expires_at="2001-01-01T00:00:00.000Z")
    await _expect_key_refused(run, alice, key.secret, EXPIRED)


async def _create_expiring_key(run: Run, seconds: float) -> tuple[Key, datetime]:
    """Create a key that expires after some seconds by the target's clock."""
    expiry = await run.clock.now() + timedelta(seconds=seconds)
    return await run.actors.make_own_key(
        await run.actors.alice(), expires_at=format_time(expiry)
    ), expiry


@clause(
    "auth.key.expires-later",
    "A key works until it expires, and not after that.",
    source="user-keys",
    needs=(Need.USER, Need.WAITING),
)
async def a_key_works_until_it_expires(run: Run) -> None:
    seconds = 3.0
    alice = await run.actors.alice()
    key, expiry = await _create_expiring_key(run, seconds)
    caller = alice.saying(key.secret)
    reply = await caller("GET", "/api/me")
    if await run.clock.now() < expiry:  # a slow response may arrive after the expiry
        reply.expect(200)

    async def check_expired() -> bool | None:
        response = await caller("GET", "/api/me")
        if response.status == 200:
            overdue = await run.clock.now() - expiry
            require(overdue < timedelta(seconds=60), "a key that has expired", response, response)
            return None
        response.expect_refusal(401, EXPIRED)
        return True

    awaited, time_limit = "the key to have expired", 60.0
    await run.clock.until(
        awaited, check_expired, last=lambda: "a key that works", at_least=time_limit
    )
    # The clocks may differ, but not by more than the duration of a request.
    require(await run.clock.now() >= expiry, "a key that works until then", "one that expired")


@clause(
    "auth.key.expiry-instant",
    "A key works one millisecond before its expiry, and is 401 at that instant.",
    source="user-keys",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_key_expires_to_the_millisecond(run: Run) -> None:
    alice = await run.actors.alice()
    key, _ = await _create_expiring_key(run, 1000)
    caller = alice.saying(key.secret)
    await run.clock.advance(1000 - TICK.total_seconds())
    (await caller("GET", "/api/me")).expect(200)
    (await caller("GET", SANDBOXES)).expect(200)
    await run.clock.advance(TICK.total_seconds())
    await expect_refused_on_each(user_routes(run.name("refused")), caller, 401, EXPIRED)


async def _set_active(run: Run, user: User, *, active: bool) -> None:
    reply = await run.actors.admin("PUT", user_path(user.id), {"is_active": active})
    reply.expect(200)


@clause(
    "auth.user.deactivated",
    "With any key of a deactivated user, every user route is 401.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def a_deactivated_users_keys_are_refused(run: Run) -> None:
    temporary_user = await run.actors.temporary_user()
    other = await run.actors.make_key(temporary_user.id)
    await _set_active(run, temporary_user, active=False)
    for key in (temporary_user.key, other.secret):
        await expect_refused_on_each(
            user_routes(run.name("refused")), temporary_user.saying(key), 401, DEACTIVATED
        )


@clause(
    "auth.user.reactivated",
    "A reactivated user's key works again.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def a_reactivated_users_key_works(run: Run) -> None:
    temporary_user = await run.actors.temporary_user()
    await _set_active(run, temporary_user, active=False)
    await _set_active(run, temporary_user, active=True)
    (await temporary_user.call("GET", "/api/me")).expect(200)


@clause(
    "auth.refused.changes-nothing",
    "A request that is refused for lack of a valid key has no effect.",
    source="order-of-checks",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def refused_user_requests_have_no_effect(run: Run) -> None:
    box = await run.sandboxes.ready()
    revoked = await _create_revoked_key(run, box.owner)
    callers = [
        run.actors.anonymous,
        box.owner.saying(UNISSUED_KEY),
        box.owner.saying(revoked.secret),
    ]
    await expect_no_effect(run, box, callers)
    name, key = run.name("refused"), await run.actors.make_own_key(box.owner)
    names, keys = await box.owner.names(), await _keys_of(box.owner)
    run.sandboxes.handle(box.owner, name=name)
    for caller in callers:
        for route in [*user_routes(name), Route("DELETE", own_key_path(key.id))]:
            await route.send(caller)
    after = await box.owner.names()
    require(after == names, f"the sandboxes {names} as they were", after)
    keys_after = await _keys_of(box.owner)
    require(keys_after == keys, f"the keys {keys} as they were", keys_after)


async def _keys_of(user: User) -> dict[str, bool]:
    """Return whether a user's keys are active, by their ids."""
    rows = (await user.call("GET", MY_KEYS)).expect_fields()["api_keys"]
    return {row["id"]: row["is_active"] for row in rows}


# The administrator ------------------------------------------------------------------------------


@clause(
    "auth.admin-header.missing",
    "Without an Authorization header, or with an empty one, every admin route is 401.",
    source="admin-key",
)
async def a_missing_header_is_refused_on_admin_routes(run: Run) -> None:
    for authorization in (None, ""):
        caller = run.actors.anonymous.saying(authorization)
        await expect_refused_on_each(admin_routes(run.name("refused")), caller, 401, NO_HEADER)


@clause(
    "auth.admin-header.format",
    "With another scheme, no scheme or no key, every admin route is 401.",
    source="admin-key",
)
async def a_malformed_header_is_refused_on_admin_routes(run: Run) -> None:
    for authorization in (
        f"Basic {UNISSUED_KEY}",
        f"bearer {UNISSUED_KEY}",
        UNISSUED_KEY,
        "Bearer",
    ):
        caller = run.actors.anonymous.saying(authorization)
        await expect_refused_on_each(admin_routes(run.name("refused")), caller, 401, BAD_HEADER)


@clause(
    "auth.admin-refused.changes-nothing",
    "A request that is refused for lack of the admin key has no effect.",
    source="order-of-checks",
    needs=Need.ADMIN,
)
async def refused_admin_requests_have_no_effect(run: Run) -> None:
    temporary_user, name = await run.actors.temporary_user(), run.name("refused")
    key = await run.actors.make_key(temporary_user.id)
    keys = await _keys_of(temporary_user)
    user = (await run.actors.admin("GET", user_path(temporary_user.id))).expect(200)
    changes = {"is_active": False, "email": "other@example.org"}
    for caller in (
        run.actors.anonymous,
        run.actors.anonymous.saying(f"Bearer {UNISSUED_KEY}"),
        temporary_user.call,
    ):
        (await caller("POST", USERS, {"username": name})).expect(401, 403)
        (await caller("PUT", user_path(temporary_user.id), changes)).expect(401, 403)
        (await caller("POST", keys_path(temporary_user.id), {})).expect(401, 403)
        (await caller("DELETE", revocation_path(key.id))).expect(401, 403)
        (await caller("DELETE", user_path(temporary_user.id))).expect(401, 403)
    listed = (await run.actors.admin("GET", USERS)).expect_fields()["users"]
    names = [user["username"] for user in listed]
    require(name not in names, f"a list without {name}", names)
    (await run.actors.admin("GET", user_path(temporary_user.id))).expect_like(user)
    keys_after = await _keys_of(temporary_user)
    require(keys_after == keys, f"the keys {keys} as they were", keys_after)


@clause(
    "auth.admin-key.unknown",
    "With a key that was never issued, every admin route is 403.",
    source="admin-key",
)
async def an_unissued_key_is_refused_on_admin_routes(run: Run) -> None:
    await expect_refused_on_each(
        admin_routes(run.name("refused")),
        run.actors.anonymous.saying(f"Bearer {UNISSUED_KEY}"),
        403,
        NOT_ADMIN,
    )


@clause(
    "auth.admin-key.nearly",
    "A key that differs from the admin key in one character, its case or its length is 403.",
    source="admin-key",
    needs=Need.ADMIN,
)
async def an_altered_admin_key_is_refused(run: Run) -> None:
    for key in altered_keys(str(run.target.admin_key)):
        run.redactor.keep(key)
        await expect_refused_on_each(
            admin_routes(run.name("refused")),
            run.actors.anonymous.saying(f"Bearer {key}"),
            403,
            NOT_ADMIN,
        )


@clause(
    "auth.admin-key.user",
    "With a user's key, every admin route is 403.",
    source="admin-key",
    needs=Need.USER,
)
async def a_users_key_is_refused_on_admin_routes(run: Run) -> None:
    alice = await run.actors.alice()
    await expect_refused_on_each(admin_routes(run.name("refused")), alice.call, 403, NOT_ADMIN)
    user_id_routes = [
        route for route in admin_routes(run.name("refused")) if "users/" in route.path
    ]
    for route in user_id_routes:
        path = route.path.replace(route.path.split("/")[4], alice.id)
        (await alice.call(route.method, path, route.body)).expect_refusal(403, NOT_ADMIN)


def _base64_forms(text: bytes) -> list[bytes]:
    """Return the base64 forms of a text within a longer one, one for each alignment."""
    padded = (base64.b64encode(b"x" * before + text) for before in range(3))
    return [each[4:-4] for each in padded]


@clause(
    "auth.secret.hashed",
    "The proxy stores the SHA-256 of a key, and not the key.",
    source="stored-keys",
    needs=(Need.USER, Need.STORAGE),
)
async def keys_are_stored_as_hashes(run: Run) -> None:
    if run.target.stored is None:
        raise Unsupported(Need.STORAGE)
    key = (await run.actors.make_own_key(await run.actors.alice())).secret
    stored = run.target.stored()
    digest = hashlib.sha256(key.encode())
    hashed = digest.digest()
    forms = (hashed, hashed.hex().encode(), hashed.hex().upper().encode(), base64.b64encode(hashed))
    # The prefix is shown on purpose; the rest is secret.
    require(KEY_FORM.fullmatch(key), "a key", "another form of key")
    secret = key[PREFIX_SHOWN:].encode()
    for form in (
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        *_base64_forms(secret),
    ):
        require(form not in stored, "a key that is not stored in clear", "one that is")
    require(any(form in stored for form in forms), "a key's SHA-256", "something else")
