"""Authentication: each kind of caller on each route."""

import base64
import hashlib
from datetime import datetime, timedelta

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import Key, User
from sandbox_contract.harness.clock import format_time
from sandbox_contract.harness.paths import (
    MY_KEYS,
    SANDBOXES,
    USERS,
    keys_path,
    own_key_path,
    user_path,
)
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import require
from sandbox_contract.target import Need, Unsupported

from .messages import (
    BAD_HEADER,
    DEACTIVATED,
    EXPIRED,
    KEY_FORM,
    NO_ACCESS,
    NO_HEADER,
    NO_USER,
    NOT_ADMIN,
    PREFIX_SHOWN,
    REVOKED,
    UNKNOWN_KEY,
)
from .routes import (
    NO_ID,
    admin_routes,
    altered,
    each_refused,
    each_without_effect,
    sandbox_routes,
    user_routes,
)

NOBODYS = "sk_live_" + "0" * 32
TICK = timedelta(milliseconds=1)  # the finest that an expiry can be asked for


async def _refused_with(run: Run, authorization: str | None, message: str) -> None:
    caller = run.actors.anonymous.saying(authorization)
    await each_refused(user_routes(run.name("refused")), caller, 401, message)


async def _refuses(run: Run, person: User, key: str, message: str) -> None:
    """Require that a user's key gives no access, not even to the user's own sandboxes."""
    box = await run.sandboxes.shared()
    caller = person.saying(key)
    await each_refused(
        [*user_routes(run.name("refused")), *sandbox_routes(box.name)], caller, 401, message
    )


# Headers ----------------------------------------------------------------------------------------


@clause(
    "auth.header.missing",
    "Without an Authorization header, every user route is 401.",
    source="authorization-header",
)
async def no_header(run: Run) -> None:
    await _refused_with(run, None, NO_HEADER)


@clause(
    "auth.header.empty",
    "With an empty Authorization header, every user route is 401.",
    source="authorization-header",
)
async def an_empty_header(run: Run) -> None:
    await _refused_with(run, "", NO_HEADER)


@clause(
    "auth.header.other-scheme",
    "With a scheme other than Bearer, every user route is 401.",
    source="authorization-header",
)
async def another_scheme(run: Run) -> None:
    for scheme in ("Basic", "Token"):
        await _refused_with(run, f"{scheme} {NOBODYS}", BAD_HEADER)


@clause(
    "auth.header.lower-case",
    "The scheme is case-sensitive: with bearer, every user route is 401.",
    source="authorization-header",
)
async def a_scheme_in_lower_case(run: Run) -> None:
    await _refused_with(run, f"bearer {NOBODYS}", BAD_HEADER)


@clause(
    "auth.header.bare-key",
    "With a key and no scheme, every user route is 401.",
    source="authorization-header",
)
async def a_key_without_a_scheme(run: Run) -> None:
    await _refused_with(run, NOBODYS, BAD_HEADER)


@clause(
    "auth.header.no-key",
    "With Bearer and no key, every user route is 401.",
    source="authorization-header",
)
async def a_scheme_without_a_key(run: Run) -> None:
    await _refused_with(run, "Bearer", BAD_HEADER)


_BLANKS = (" ", "\t", " \t ")


@clause(
    "auth.header.blanks-after",
    "Spaces and tabs after a user's key are ignored.",
    source="authorization-header",
    needs=Need.USER,
)
async def blanks_after_a_key(run: Run) -> None:
    alice = await run.actors.alice()
    for blanks in _BLANKS:
        caller = alice.saying(f"{alice.key}{blanks}")
        for path in ("/api/me", SANDBOXES):
            (await caller("GET", path)).expect(200)
        (await caller("GET", f"/proxy/{run.name('missing')}/any")).expect_refusal(403, NO_ACCESS)


@clause(
    "auth.admin-header.blanks-after",
    "Spaces and tabs after the admin key are ignored.",
    source="authorization-header",
    needs=Need.ADMIN,
)
async def blanks_after_the_admin_key(run: Run) -> None:
    for blanks in _BLANKS:
        caller = run.actors.anonymous.saying(f"Bearer {run.target.admin_key}{blanks}")
        (await caller("GET", user_path(NO_ID))).expect_refusal(404, NO_USER)


# Keys -------------------------------------------------------------------------------------------


@clause(
    "auth.key.unknown",
    "With a key that was never issued, every user route is 401.",
    source="user-keys",
)
async def nobodys_key(run: Run) -> None:
    for key in (NOBODYS, "x", "sk_live_"):
        await _refused_with(run, f"Bearer {key}", UNKNOWN_KEY)


@clause(
    "auth.key.nearly",
    "A key that differs from a user's key in one character, its case or its length is 401.",
    source="user-keys",
    needs=Need.USER,
)
async def nearly_a_key(run: Run) -> None:
    alice = await run.actors.alice()
    for key in altered(alice.key):
        await each_refused(user_routes(run.name("refused")), alice.saying(key), 401, UNKNOWN_KEY)


@clause(
    "auth.key.admin",
    "With the admin key, every user route is 401.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def the_admin_key(run: Run) -> None:
    await each_refused(user_routes(run.name("refused")), run.actors.admin, 401, UNKNOWN_KEY)


@clause(
    "auth.key.deleted-user",
    "With a deleted user's key, every user route is 401.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def a_deleted_users_key(run: Run) -> None:
    visitor = await run.actors.temporary_user()
    (await visitor.call("GET", "/api/me")).expect(200)
    await run.actors.admin("DELETE", user_path(visitor.id))
    await each_refused(user_routes(run.name("refused")), visitor.call, 401, UNKNOWN_KEY)


async def _revoked(run: Run, person: User) -> Key:
    key = await run.actors.make_own_key(person)
    (await person.saying(key.secret)("GET", "/api/me")).expect(200)
    (await person.call("DELETE", own_key_path(key.id))).expect(200)
    return key


@clause(
    "auth.key.revoked",
    "With a revoked key, every user route is 401.",
    source="user-keys",
    needs=Need.USER,
)
async def a_revoked_key(run: Run) -> None:
    alice = await run.actors.alice()
    key = await _revoked(run, alice)
    await _refuses(run, alice, key.secret, REVOKED)


@clause(
    "auth.key.revoked-first",
    "A revoked key of a deactivated user is refused as revoked.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def a_revoked_key_of_a_deactivated_user(run: Run) -> None:
    visitor = await run.actors.temporary_user()
    key = await _revoked(run, visitor)
    await _set_active(run, visitor, active=False)
    await each_refused(user_routes(run.name("refused")), visitor.saying(key.secret), 401, REVOKED)


@clause(
    "auth.key.expired",
    "With an expired key, every user route is 401.",
    source="user-keys",
    needs=Need.USER,
)
async def an_expired_key(run: Run) -> None:
    alice = await run.actors.alice()
    key = await run.actors.make_own_key(alice, expires_at="2001-01-01T00:00:00.000Z")
    await _refuses(run, alice, key.secret, EXPIRED)


async def _expiring(run: Run, seconds: float) -> tuple[Key, datetime]:
    """Make a key that expires so many seconds from now, by the target's clock."""
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
async def a_key_that_expires_later(run: Run) -> None:
    seconds = 3.0
    alice = await run.actors.alice()
    key, expiry = await _expiring(run, seconds)
    caller = alice.saying(key.secret)
    reply = await caller("GET", "/api/me")
    if await run.clock.now() < expiry:  # a slow answer may come after it
        reply.expect(200)

    async def look() -> bool | None:
        answer = await caller("GET", "/api/me")
        if answer.status == 200:
            late = await run.clock.now() - expiry
            require(late < timedelta(seconds=60), "a key that has expired", answer, answer)
            return None
        answer.expect_refusal(401, EXPIRED)
        return True

    what, patience = "the key to have expired", 60.0
    await run.clock.until(what, look, last=lambda: "a key that works", at_least=patience)
    # Every clock may differ from another, but not by more than a request takes.
    require(await run.clock.now() >= expiry, "a key that works until then", "one that expired")


@clause(
    "auth.key.expiry-instant",
    "A key works one millisecond before its expiry, and is 401 at that instant.",
    source="user-keys",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_key_at_the_instant_of_its_expiry(run: Run) -> None:
    alice = await run.actors.alice()
    key, _ = await _expiring(run, 1000)
    caller = alice.saying(key.secret)
    await run.clock.advance(1000 - TICK.total_seconds())
    (await caller("GET", "/api/me")).expect(200)
    (await caller("GET", SANDBOXES)).expect(200)
    await run.clock.advance(TICK.total_seconds())
    await each_refused(user_routes(run.name("refused")), caller, 401, EXPIRED)


async def _set_active(run: Run, person: User, *, active: bool) -> None:
    reply = await run.actors.admin("PUT", user_path(person.id), {"is_active": active})
    reply.expect(200)


@clause(
    "auth.user.deactivated",
    "With any key of a deactivated user, every user route is 401.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def a_deactivated_user(run: Run) -> None:
    visitor = await run.actors.temporary_user()
    other = await run.actors.make_key(visitor.id)
    await _set_active(run, visitor, active=False)
    for key in (visitor.key, other.secret):
        await each_refused(user_routes(run.name("refused")), visitor.saying(key), 401, DEACTIVATED)


@clause(
    "auth.user.reactivated",
    "A reactivated user's key works again.",
    source="user-keys",
    needs=Need.ADMIN,
)
async def a_reactivated_user(run: Run) -> None:
    visitor = await run.actors.temporary_user()
    await _set_active(run, visitor, active=False)
    await _set_active(run, visitor, active=True)
    (await visitor.call("GET", "/api/me")).expect(200)


@clause(
    "auth.refused.changes-nothing",
    "A request that is refused for lack of a valid key has no effect.",
    source="order-of-checks",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def what_is_refused_has_no_effect(run: Run) -> None:
    box = await run.sandboxes.ready()
    revoked = await _revoked(run, box.owner)
    callers = [run.actors.anonymous, box.owner.saying(NOBODYS), box.owner.saying(revoked.secret)]
    await each_without_effect(run, box, callers)
    before, name = await box.owner.names(), run.name("refused")
    run.sandboxes.handle(box.owner, name=name)
    for caller in callers:
        for route in user_routes(name):
            await route.ask(caller)
    after = await box.owner.names()
    require(after == before, f"the sandboxes {before} as they were", after)


# The administrator ------------------------------------------------------------------------------


@clause(
    "auth.admin-header.missing",
    "Without an Authorization header, or with an empty one, every admin route is 401.",
    source="admin-key",
)
async def no_header_on_admin_routes(run: Run) -> None:
    for authorization in (None, ""):
        caller = run.actors.anonymous.saying(authorization)
        await each_refused(admin_routes(run.name("refused")), caller, 401, NO_HEADER)


@clause(
    "auth.admin-header.format",
    "With another scheme, no scheme or no key, every admin route is 401.",
    source="admin-key",
)
async def a_faulty_header_on_admin_routes(run: Run) -> None:
    for authorization in (f"Basic {NOBODYS}", f"bearer {NOBODYS}", NOBODYS, "Bearer"):
        caller = run.actors.anonymous.saying(authorization)
        await each_refused(admin_routes(run.name("refused")), caller, 401, BAD_HEADER)


@clause(
    "auth.admin-refused.changes-nothing",
    "A request that is refused for lack of the admin key has no effect.",
    source="order-of-checks",
    needs=Need.ADMIN,
)
async def what_is_refused_to_no_administrator_has_no_effect(run: Run) -> None:
    visitor, name = await run.actors.temporary_user(), run.name("refused")
    for caller in (
        run.actors.anonymous,
        run.actors.anonymous.saying(f"Bearer {NOBODYS}"),
        visitor.call,
    ):
        (await caller("POST", USERS, {"username": name})).expect(401, 403)
        (await caller("PUT", user_path(visitor.id), {"is_active": False})).expect(401, 403)
        (await caller("POST", keys_path(visitor.id), {})).expect(401, 403)
        (await caller("DELETE", user_path(visitor.id))).expect(401, 403)
    listed = (await run.actors.admin("GET", USERS)).expect_fields()["users"]
    names = [user["username"] for user in listed]
    require(name not in names, f"a list without {name}", names)
    keys = (await visitor.call("GET", MY_KEYS)).expect_fields()["api_keys"]
    require(len(keys) == 1, "the one key that the user had", keys)


@clause(
    "auth.admin-key.unknown",
    "With a key that was never issued, every admin route is 403.",
    source="admin-key",
)
async def nobodys_key_on_admin_routes(run: Run) -> None:
    await each_refused(
        admin_routes(run.name("refused")),
        run.actors.anonymous.saying(f"Bearer {NOBODYS}"),
        403,
        NOT_ADMIN,
    )


@clause(
    "auth.admin-key.nearly",
    "A key that differs from the admin key in one character, its case or its length is 403.",
    source="admin-key",
    needs=Need.ADMIN,
)
async def nearly_the_admin_key(run: Run) -> None:
    for key in altered(str(run.target.admin_key)):
        run.redactor.keep(key)
        await each_refused(
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
async def a_users_key_on_admin_routes(run: Run) -> None:
    alice = await run.actors.alice()
    await each_refused(admin_routes(run.name("refused")), alice.call, 403, NOT_ADMIN)
    own = [route for route in admin_routes(run.name("refused")) if "users/" in route.path]
    for route in own:
        mine = route.path.replace(route.path.split("/")[4], alice.id)
        (await alice.call(route.method, mine, route.body)).expect_refusal(403, NOT_ADMIN)


def _in_base64(text: bytes) -> list[bytes]:
    """Return how a text reads within something longer in base64, wherever it begins there."""
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
    kept = run.target.stored()
    digest = hashlib.sha256(key.encode())
    forms = (digest.digest(), digest.hexdigest().encode(), digest.hexdigest().upper().encode())
    # The prefix is shown on purpose; the rest is secret.
    require(KEY_FORM.fullmatch(key), "a key", "another form of key")
    clear = key[PREFIX_SHOWN:].encode()
    for form in (clear, clear.hex().encode(), clear.hex().upper().encode(), *_in_base64(clear)):
        require(form not in kept, "a key that is not stored in clear", "one that is")
    require(any(form in kept for form in forms), "a key's SHA-256", "something else")
