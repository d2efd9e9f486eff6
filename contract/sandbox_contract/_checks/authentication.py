"""Who may pass: every case on every route."""

import base64
import hashlib
from datetime import datetime, timedelta

from sandbox_contract._run.moments import written
from sandbox_contract._run.people import (
    MY_KEYS,
    SANDBOXES,
    USERS,
    Key,
    Person,
    keys_path,
    own_key_path,
    user_path,
)
from sandbox_contract._run.run import Run
from sandbox_contract._wire.expect import Unsupported, require

from .patterns import KEY_FORM, PREFIX_SHOWN
from .refusals import (
    BAD_HEADER,
    DEACTIVATED,
    EXPIRED,
    NO_ACCESS,
    NO_HEADER,
    NO_USER,
    NOT_ADMIN,
    REVOKED,
    UNKNOWN_KEY,
)
from .registry import checks
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
    caller = run.nobody.saying(authorization)
    await each_refused(user_routes(run.name("refused")), caller, 401, message)


async def _refuses(run: Run, person: Person, key: str, message: str) -> None:
    """Expect that a key of a user's opens nothing, not even what that user has."""
    box = await run.standing_box()
    caller = person.saying(key)
    await each_refused(
        [*user_routes(run.name("refused")), *sandbox_routes(box.name)], caller, 401, message
    )


# Headers ----------------------------------------------------------------------------------------


@checks("auth.header.missing")
async def no_header(run: Run) -> None:
    await _refused_with(run, None, NO_HEADER)


@checks("auth.header.empty")
async def an_empty_header(run: Run) -> None:
    await _refused_with(run, "", NO_HEADER)


@checks("auth.header.other-scheme")
async def another_scheme(run: Run) -> None:
    for scheme in ("Basic", "Token"):
        await _refused_with(run, f"{scheme} {NOBODYS}", BAD_HEADER)


@checks("auth.header.lower-case")
async def a_scheme_in_lower_case(run: Run) -> None:
    await _refused_with(run, f"bearer {NOBODYS}", BAD_HEADER)


@checks("auth.header.bare-key")
async def a_key_without_a_scheme(run: Run) -> None:
    await _refused_with(run, NOBODYS, BAD_HEADER)


@checks("auth.header.no-key")
async def a_scheme_without_a_key(run: Run) -> None:
    await _refused_with(run, "Bearer", BAD_HEADER)


_BLANKS = (" ", "\t", " \t ")


@checks("auth.header.blanks-after")
async def blanks_after_a_key(run: Run) -> None:
    alice = await run.alice()
    for blanks in _BLANKS:
        caller = alice.saying(f"{alice.key}{blanks}")
        for path in ("/api/me", SANDBOXES):
            (await caller("GET", path)).expect(200)
        (await caller("GET", f"/proxy/{run.name('missing')}/any")).expect_refusal(403, NO_ACCESS)


@checks("auth.admin-header.blanks-after")
async def blanks_after_the_admin_key(run: Run) -> None:
    for blanks in _BLANKS:
        caller = run.nobody.saying(f"Bearer {run.target.admin_key}{blanks}")
        (await caller("GET", user_path(NO_ID))).expect_refusal(404, NO_USER)


# Keys -------------------------------------------------------------------------------------------


@checks("auth.key.unknown")
async def nobodys_key(run: Run) -> None:
    for key in (NOBODYS, "x", "sk_live_"):
        await _refused_with(run, f"Bearer {key}", UNKNOWN_KEY)


@checks("auth.key.nearly")
async def nearly_a_key(run: Run) -> None:
    alice = await run.alice()
    for key in altered(alice.key):
        await each_refused(user_routes(run.name("refused")), alice.saying(key), 401, UNKNOWN_KEY)


@checks("auth.key.admin")
async def the_admin_key(run: Run) -> None:
    await each_refused(user_routes(run.name("refused")), run.admin, 401, UNKNOWN_KEY)


@checks("auth.key.deleted-user")
async def a_deleted_users_key(run: Run) -> None:
    visitor = await run.visitor()
    (await visitor.call("GET", "/api/me")).expect(200)
    await run.admin("DELETE", user_path(visitor.id))
    await each_refused(user_routes(run.name("refused")), visitor.call, 401, UNKNOWN_KEY)


async def _revoked(run: Run, person: Person) -> Key:
    key = await run.make_own_key(person)
    (await person.saying(key.secret)("GET", "/api/me")).expect(200)
    (await person.call("DELETE", own_key_path(key.id))).expect(200)
    return key


@checks("auth.key.revoked")
async def a_revoked_key(run: Run) -> None:
    alice = await run.alice()
    key = await _revoked(run, alice)
    await _refuses(run, alice, key.secret, REVOKED)


@checks("auth.key.revoked-first")
async def a_revoked_key_of_a_deactivated_user(run: Run) -> None:
    visitor = await run.visitor()
    key = await _revoked(run, visitor)
    await _set_active(run, visitor, active=False)
    await each_refused(user_routes(run.name("refused")), visitor.saying(key.secret), 401, REVOKED)


@checks("auth.key.expired")
async def an_expired_key(run: Run) -> None:
    alice = await run.alice()
    key = await run.make_own_key(alice, expires_at="2001-01-01T00:00:00.000Z")
    await _refuses(run, alice, key.secret, EXPIRED)


async def _expiring(run: Run, seconds: float) -> tuple[Key, datetime]:
    """Make a key that expires so many seconds from now, by the target's clock."""
    expiry = await run.now() + timedelta(seconds=seconds)
    return await run.make_own_key(await run.alice(), expires_at=written(expiry)), expiry


@checks("auth.key.expires-later")
async def a_key_that_expires_later(run: Run) -> None:
    seconds = 3.0
    alice = await run.alice()
    key, expiry = await _expiring(run, seconds)
    caller = alice.saying(key.secret)
    reply = await caller("GET", "/api/me")
    if await run.now() < expiry:  # a slow answer may come after it
        reply.expect(200)

    async def look() -> bool | None:
        answer = await caller("GET", "/api/me")
        if answer.status == 200:
            late = await run.now() - expiry
            require(late < timedelta(seconds=60), "a key that has expired", answer, answer)
            return None
        answer.expect_refusal(401, EXPIRED)
        return True

    what, patience = "the key to have expired", 60.0
    await run.until(what, look, last=lambda: "a key that works", at_least=patience)
    # Every clock may differ from another, but not by more than a request takes.
    require(await run.now() >= expiry, "a key that works until then", "one that expired")


@checks("auth.key.expiry-instant")
async def a_key_at_the_instant_of_its_expiry(run: Run) -> None:
    alice = await run.alice()
    key, _ = await _expiring(run, 1000)
    caller = alice.saying(key.secret)
    await run.target.time.pass_by(1000 - TICK.total_seconds())
    (await caller("GET", "/api/me")).expect(200)
    (await caller("GET", SANDBOXES)).expect(200)
    await run.target.time.pass_by(TICK.total_seconds())
    await each_refused(user_routes(run.name("refused")), caller, 401, EXPIRED)


async def _set_active(run: Run, person: Person, *, active: bool) -> None:
    reply = await run.admin("PUT", user_path(person.id), {"is_active": active})
    reply.expect(200)


@checks("auth.user.deactivated")
async def a_deactivated_user(run: Run) -> None:
    visitor = await run.visitor()
    other = await run.make_key(visitor.id)
    await _set_active(run, visitor, active=False)
    for key in (visitor.key, other.secret):
        await each_refused(user_routes(run.name("refused")), visitor.saying(key), 401, DEACTIVATED)


@checks("auth.user.reactivated")
async def a_reactivated_user(run: Run) -> None:
    visitor = await run.visitor()
    await _set_active(run, visitor, active=False)
    await _set_active(run, visitor, active=True)
    (await visitor.call("GET", "/api/me")).expect(200)


@checks("auth.refused.changes-nothing")
async def what_is_refused_has_no_effect(run: Run) -> None:
    box = await run.ready_box()
    revoked = await _revoked(run, box.owner)
    callers = [run.nobody, box.owner.saying(NOBODYS), box.owner.saying(revoked.secret)]
    await each_without_effect(run, box, callers)
    before, name = await box.owner.names(), run.name("refused")
    run.box(box.owner, name=name)
    for caller in callers:
        for route in user_routes(name):
            await route.ask(caller)
    after = await box.owner.names()
    require(after == before, f"the sandboxes {before} as they were", after)


# The administrator ------------------------------------------------------------------------------


@checks("auth.admin-header.missing")
async def no_header_on_admin_routes(run: Run) -> None:
    for authorization in (None, ""):
        caller = run.nobody.saying(authorization)
        await each_refused(admin_routes(run.name("refused")), caller, 401, NO_HEADER)


@checks("auth.admin-header.format")
async def a_faulty_header_on_admin_routes(run: Run) -> None:
    for authorization in (f"Basic {NOBODYS}", f"bearer {NOBODYS}", NOBODYS, "Bearer"):
        caller = run.nobody.saying(authorization)
        await each_refused(admin_routes(run.name("refused")), caller, 401, BAD_HEADER)


@checks("auth.admin-refused.changes-nothing")
async def what_is_refused_to_no_administrator_has_no_effect(run: Run) -> None:
    visitor, name = await run.visitor(), run.name("refused")
    for caller in (run.nobody, run.nobody.saying(f"Bearer {NOBODYS}"), visitor.call):
        (await caller("POST", USERS, {"username": name})).expect(401, 403)
        (await caller("PUT", user_path(visitor.id), {"is_active": False})).expect(401, 403)
        (await caller("POST", keys_path(visitor.id), {})).expect(401, 403)
        (await caller("DELETE", user_path(visitor.id))).expect(401, 403)
    listed = (await run.admin("GET", USERS)).expect_fields()["users"]
    names = [user["username"] for user in listed]
    require(name not in names, f"a list without {name}", names)
    keys = (await visitor.call("GET", MY_KEYS)).expect_fields()["api_keys"]
    require(len(keys) == 1, "the one key that the user had", keys)


@checks("auth.admin-key.unknown")
async def nobodys_key_on_admin_routes(run: Run) -> None:
    await each_refused(
        admin_routes(run.name("refused")), run.nobody.saying(f"Bearer {NOBODYS}"), 403, NOT_ADMIN
    )


@checks("auth.admin-key.nearly")
async def nearly_the_admin_key(run: Run) -> None:
    for key in altered(str(run.target.admin_key)):
        run.redactor.keep(key)
        await each_refused(
            admin_routes(run.name("refused")), run.nobody.saying(f"Bearer {key}"), 403, NOT_ADMIN
        )


@checks("auth.admin-key.user")
async def a_users_key_on_admin_routes(run: Run) -> None:
    alice = await run.alice()
    await each_refused(admin_routes(run.name("refused")), alice.call, 403, NOT_ADMIN)
    own = [route for route in admin_routes(run.name("refused")) if "users/" in route.path]
    for route in own:
        mine = route.path.replace(route.path.split("/")[4], alice.id)
        (await alice.call(route.method, mine, route.body)).expect_refusal(403, NOT_ADMIN)


def _in_base64(text: bytes) -> list[bytes]:
    """Return how a text reads within something longer in base64, wherever it begins there."""
    padded = (base64.b64encode(b"x" * before + text) for before in range(3))
    return [each[4:-4] for each in padded]


@checks("auth.secret.hashed")
async def keys_are_stored_as_hashes(run: Run) -> None:
    if run.target.stored is None:
        raise Unsupported("a look at what the proxy stores")
    key = (await run.make_own_key(await run.alice())).secret
    kept = run.target.stored()
    digest = hashlib.sha256(key.encode())
    forms = (digest.digest(), digest.hexdigest().encode(), digest.hexdigest().upper().encode())
    # Its prefix is shown on purpose; what is after that is secret.
    require(KEY_FORM.fullmatch(key), "a key", "another form of key")
    clear = key[PREFIX_SHOWN:].encode()
    for form in (clear, clear.hex().encode(), clear.hex().upper().encode(), *_in_base64(clear)):
        require(form not in kept, "a key that is not stored in clear", "one that is")
    require(any(form in kept for form in forms), "a key's SHA-256", "something else")
