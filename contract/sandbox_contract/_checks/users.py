"""Users, as the administrator makes, shows, changes and deletes them."""

from typing import Any

from sandbox_contract._run.people import USERS, keys_path, user_path
from sandbox_contract._run.run import Run
from sandbox_contract._wire.expect import Json, Reply, require, same

from .patterns import COUNT, ID, TIMESTAMP
from .refusals import NO_USER, UNKNOWN_KEY, USERNAME_REQUIRED
from .registry import checks
from .routes import NO_ID

_DOCUMENTED = ("id", "username", "email", "created_at", "is_active")
LABEL_LIMIT = 58  # of a username, whose namespace `user-<username>` is a label
EMAIL_LIMIT = 255
_A_WHILE = 0.05  # seconds


async def _made(run: Run, **fields: Any) -> tuple[str, Json, Reply]:
    """Make a user; return the name, what is shown of it, and the answer."""
    username = run.name("user")
    reply = await run.make_user(username, **fields)
    user = reply.expect_fields(201)["user"]
    return username, {field: user[field] for field in _DOCUMENTED}, reply


async def _listed(run: Run, query: str = "") -> list[Json]:
    return list((await run.admin("GET", USERS + query)).expect_fields()["users"])


def _padded(run: Run, length: int) -> str:
    return run.name("u").ljust(length, "x")


@checks("admin.user-create.reply")
async def a_user_is_made(run: Run) -> None:
    username = run.name("user")
    reply = await run.make_user(username, email="who@example.org")
    user = reply.expect_fields(201, success=True)["user"]
    fields = {"username": username, "email": "who@example.org", "is_active": True}
    _require_user(user, reply, id=ID, created_at=TIMESTAMP, **fields)


def _require_user(user: Json, reply: Reply, **fields: object) -> None:
    for field, wanted in fields.items():
        said = user[field]
        is_right = said is wanted if isinstance(wanted, bool) else said == wanted
        require(is_right, f"a user whose {field} is {wanted!r}", said, reply)


@checks("admin.user-create.without-email")
async def a_user_without_email(run: Run) -> None:
    _, user, reply = await _made(run)
    _require_user(user, reply, email=None)


@checks("admin.user-create.username-required")
async def a_user_without_a_username(run: Run) -> None:
    for fields in ({}, {"email": "who@example.org"}, {"username": ""}, {"username": None}):
        reply = await run.admin("POST", USERS, fields)
        reply.expect_refusal(400, USERNAME_REQUIRED)


@checks("admin.user-create.taken")
async def a_username_that_is_taken(run: Run) -> None:
    username, user, _ = await _made(run)
    again = await run.admin("POST", USERS, {"username": username})
    again.expect_refusal(409, f"User with username '{username}' already exists")
    (await run.admin("GET", user_path(user["id"]))).expect(200)


@checks("admin.user-create.longest")
async def the_longest_username(run: Run) -> None:
    (await run.make_user(_padded(run, LABEL_LIMIT))).expect(201)
    (await run.make_user(f"1{run.name('user')}")).expect(201)


@checks("admin.user-create.longest-email")
async def the_longest_email(run: Run) -> None:
    email = "@example.org".rjust(EMAIL_LIMIT, "a")
    _, user, reply = await _made(run, email=email)
    _require_user(user, reply, email=email)


@checks("admin.user-create.no-label")
async def a_username_that_is_no_label(run: Run) -> None:
    base = run.name("u")
    for username in ([base], {"of": base}, f"{base}\n"):
        (await run.make_user(username)).expect_refusal(400)
    for username in (f"-{base}", f"{base}-", f"{base}_", f"{base}.x", f"{base} x", f"{base}X"):
        (await run.make_user(username)).expect_refusal(400)


@checks("admin.user-create.too-long")
async def a_username_that_is_too_long(run: Run) -> None:
    for length in (LABEL_LIMIT + 1, 63):
        (await run.make_user(_padded(run, length))).expect_refusal(400)


@checks("admin.user-create.long-email")
async def an_email_that_is_too_long(run: Run) -> None:
    email = "@example.org".rjust(EMAIL_LIMIT + 1, "a")
    (await run.make_user(run.name("user"), email=email)).expect_refusal(400)


@checks("admin.user-list.reply")
async def users_are_listed(run: Run) -> None:
    username, user, _ = await _made(run)
    reply = await run.admin("GET", USERS)
    reply.expect_fields(count=COUNT)
    rows = [each for each in reply.fields()["users"] if each["username"] == username]
    require(len(rows) == 1, f"one row of {username}", rows, reply)
    shown = {key: rows[0][key] for key in user}
    require(same(shown, user), f"a row that says {user}", shown, reply)


@checks("admin.user-list.count")
async def users_are_counted(run: Run) -> None:
    for is_active in (True, False):
        _, user, _ = await _made(run)
        await run.admin("PUT", user_path(user["id"]), {"is_active": is_active})
        reply = await run.admin("GET", USERS)
        users = reply.expect_fields(count=COUNT)["users"]
        reply.expect_fields(count=len(users))


@checks("admin.user-list.newest-first")
async def users_are_listed_newest_first(run: Run) -> None:
    first, user, _ = await _made(run)
    made = [first, (await _made(run))[0]]
    await run.target.time.pass_by(0.001)
    made.append((await _made(run))[0])
    await run.admin("PUT", user_path(user["id"]), {"email": "new@example.org"})
    listed = [each["username"] for each in await _listed(run)]
    shown = [name for name in listed if name in made]
    require(shown == made[::-1], f"{made[::-1]}, in this order", shown)


@checks("admin.user-list.active-only")
async def inactive_users_can_be_left_out(run: Run) -> None:
    (username, user, _), (active, _, _) = await _made(run), await _made(run)
    await run.admin("PUT", user_path(user["id"]), {"is_active": False})
    some = [each["username"] for each in await _listed(run, "?active_only=true")]
    everybody = [each["username"] for each in await _listed(run)]
    require(username not in some, f"a list without {username}", some)
    require(active in some, f"a list with {active}", some)
    require(username in everybody, f"{username} in the whole list", everybody)
    all_of_them = [each["username"] for each in await _listed(run, "?active_only=false")]
    require(username in all_of_them, f"{username} with active_only=false", all_of_them)


@checks("admin.user-list.admin")
async def there_is_a_user_named_admin(run: Run) -> None:
    names = [each["username"] for each in await _listed(run)]
    require("admin" in names, "a user named admin", names)


@checks("admin.user-get.reply")
async def a_user_is_shown(run: Run) -> None:
    _, user, _ = await _made(run, email="who@example.org")
    reply = await run.admin("GET", user_path(user["id"]))
    shown = reply.expect_fields()["user"]
    _require_user(shown, reply, updated_at=TIMESTAMP, **user)


@checks("admin.user-get.unknown")
async def an_unknown_user(run: Run) -> None:
    (await run.admin("GET", user_path(NO_ID))).expect_refusal(404, NO_USER)


@checks("admin.user-get.bad-id")
async def a_users_id_that_is_none(run: Run) -> None:
    for user_id in ("no-uuid", "1"):
        for method in ("GET", "PUT", "DELETE"):
            (await run.admin(method, user_path(user_id))).expect_refusal(400)
        (await run.admin("GET", keys_path(user_id))).expect_refusal(400)


@checks("admin.user-update.reply")
async def a_user_is_changed(run: Run) -> None:
    username, user, _ = await _made(run, email="old@example.org")
    fields = {"email": "new@example.org", "is_active": False}
    reply = await run.admin("PUT", user_path(user["id"]), fields)
    shown = reply.expect_fields(success=True)["user"]
    _require_user(shown, reply, id=user["id"], username=username, updated_at=TIMESTAMP, **fields)


@checks("admin.user-update.kept")
async def a_change_is_kept(run: Run) -> None:
    _, user, _ = await _made(run, email="old@example.org")
    _, other, _ = await _made(run, email="other@example.org")
    path = user_path(user["id"])
    await run.admin("PUT", path, {"email": "new@example.org"})
    reply = await run.admin("GET", path)
    _require_user(reply.fields()["user"], reply, email="new@example.org", is_active=True)
    await run.admin("PUT", path, {"is_active": False})
    reply = await run.admin("GET", path)
    _require_user(reply.fields()["user"], reply, email="new@example.org", is_active=False)
    reply = await run.admin("GET", user_path(other["id"]))
    _require_user(reply.fields()["user"], reply, email="other@example.org", is_active=True)


@checks("admin.user-update.nothing")
async def an_empty_change(run: Run) -> None:
    _, user, _ = await _made(run, email="old@example.org")
    path = user_path(user["id"])
    before = (await run.admin("GET", path)).expect(200)
    (await run.admin("PUT", path, {})).expect_fields(success=True)
    after = (await run.admin("GET", path)).expect_fields()["user"]
    kept = {key: after[key] for key in user}
    require(same(kept, user), f"a user as before: {user}", kept, before)


@checks("admin.user-update.updated-at")
async def a_change_is_dated(run: Run) -> None:
    _, user, _ = await _made(run)
    path = user_path(user["id"])
    dates = [await _updated_at(run, path)]
    for change in ({}, {"email": "new@example.org"}):
        await run.target.time.pass_by(_A_WHILE)
        await run.admin("PUT", path, change)
        dates.append(await _updated_at(run, path))
    made, unchanged, changed = dates
    require(unchanged == made, f"updated_at {made}, as nothing changed", unchanged)
    require(changed > made, f"updated_at later than {made}", changed)


async def _updated_at(run: Run, path: str) -> str:
    user = (await run.admin("GET", path)).expect_fields()["user"]
    require(user["updated_at"] == TIMESTAMP, "a time in updated_at", user)
    return str(user["updated_at"])


@checks("admin.user-delete.reply")
async def a_user_is_deleted(run: Run) -> None:
    username, user, _ = await _made(run)
    reply = await run.admin("DELETE", user_path(user["id"]))
    reply.expect_fields(success=True, message=f"User '{username}' deleted successfully")


@checks("admin.user-delete.gone")
async def a_deleted_user_is_gone(run: Run) -> None:
    username, user, _ = await _made(run)
    await run.admin("DELETE", user_path(user["id"]))
    (await run.admin("GET", user_path(user["id"]))).expect_refusal(404, NO_USER)
    names = [each["username"] for each in await _listed(run)]
    require(username not in names, f"a list without {username}", names)


@checks("admin.user-delete.again")
async def a_user_is_deleted_again(run: Run) -> None:
    _, user, _ = await _made(run)
    await run.admin("DELETE", user_path(user["id"]))
    (await run.admin("DELETE", user_path(user["id"]))).expect_refusal(404, NO_USER)


@checks("admin.user-delete.others-stay")
async def other_users_stay(run: Run) -> None:
    visitor = await run.visitor()
    _, user, _ = await _made(run)
    await run.admin("DELETE", user_path(user["id"]))
    (await visitor.call("GET", "/api/me")).expect(200)


@checks("admin.user-delete.frees-username")
async def a_deleted_users_name_is_free(run: Run) -> None:
    first = await run.visitor()
    (await first.call("GET", "/api/me")).expect(200)
    await run.admin("DELETE", user_path(first.id))
    second = await run.person(first.username)
    require(second.id != first.id, f"another id than {first.id}", second.id)
    (await first.call("GET", "/api/me")).expect_refusal(401, UNKNOWN_KEY)
    (await second.call("GET", "/api/me")).expect(200)


@checks("admin.user-delete.takes-sandboxes")
async def a_deleted_users_sandboxes_go_along(run: Run) -> None:
    first = await run.visitor()
    name = (await run.new_box(first)).name
    reply = await run.admin("DELETE", user_path(first.id))
    if reply.status != 200:
        run.may_be_left(first)
    second = await run.person(first.username)
    names = await second.names()
    require(names == [], "no sandboxes", names)
    (await (await run.vacant(second, name=name)).create()).expect(201)
