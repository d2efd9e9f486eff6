"""Users: the administrator creates, lists, shows, updates and deletes them."""

from typing import Any

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.api import (
    COUNT,
    ID,
    NO_USER,
    TIMESTAMP,
    UNKNOWN_KEY,
    USERNAME_REQUIRED,
    USERS,
    keys_path,
    user_path,
)
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require, require_fields, same
from sandbox_contract.target import Need

from .routes import NO_ID

_DOCUMENTED = ("id", "username", "email", "created_at", "is_active")
LABEL_LIMIT = 58  # characters of a username, as `user-<username>` is a label of at most 63
EMAIL_LIMIT = 255  # characters
_PAUSE = 0.05  # seconds


async def _create_user(run: Run, **fields: Any) -> tuple[str, Json, Reply]:
    """Create a user; return the username, the documented fields and the response."""
    username = run.name("user")
    reply = await run.actors.request_user(username, **fields)
    user = reply.expect_fields(201)["user"]
    return username, {field: user[field] for field in _DOCUMENTED}, reply


async def _list_users(run: Run, query: str = "") -> list[Json]:
    return list((await run.actors.admin("GET", USERS + query)).expect_fields()["users"])


def _padded(run: Run, length: int) -> str:
    return run.name("u").ljust(length, "x")


@clause(
    "admin.user-create.reply",
    "Creating a user is 201 and returns the user.",
    source="create-a-user",
    needs=Need.ADMIN,
)
async def a_user_is_created(run: Run) -> None:
    username = run.name("user")
    reply = await run.actors.request_user(username, email="who@example.org")
    user = reply.expect_fields(201, success=True)["user"]
    fields = {"username": username, "email": "who@example.org", "is_active": True}
    _require_user(user, reply, id=ID, created_at=TIMESTAMP, **fields)


def _require_user(user: Json, reply: Reply, **fields: object) -> None:
    for field, wanted in fields.items():
        actual = user[field]
        is_equal = actual is wanted if isinstance(wanted, bool) else actual == wanted
        require(is_equal, f"a user whose {field} is {wanted!r}", actual, reply)


@clause(
    "admin.user-create.without-email",
    "A user can be created without an e-mail address.",
    source="create-a-user",
    needs=Need.ADMIN,
)
async def an_email_is_optional(run: Run) -> None:
    _, user, reply = await _create_user(run)
    _require_user(user, reply, email=None)


@clause(
    "admin.user-create.username-required",
    "A user without a username is 400, and the message says that it is required.",
    source="create-a-user",
    needs=Need.ADMIN,
)
async def a_username_is_required(run: Run) -> None:
    for fields in ({}, {"email": "who@example.org"}, {"username": ""}, {"username": None}):
        reply = await run.actors.admin("POST", USERS, fields)
        reply.expect_refusal(400, USERNAME_REQUIRED)


@clause(
    "admin.user-create.taken",
    "A username that already exists is 409.",
    source="create-a-user",
    needs=Need.ADMIN,
)
async def a_taken_username_is_refused(run: Run) -> None:
    username, user, _ = await _create_user(run)
    duplicate = await run.actors.admin("POST", USERS, {"username": username})
    duplicate.expect_refusal(409, f"User with username '{username}' already exists")
    (await run.actors.admin("GET", user_path(user["id"]))).expect(200)


@clause(
    "admin.user-create.longest",
    "A username can have 58 characters, and can start with a digit.",
    source="usernames",
    needs=Need.ADMIN,
)
async def the_longest_username_is_accepted(run: Run) -> None:
    (await run.actors.request_user(_padded(run, LABEL_LIMIT))).expect(201)
    (await run.actors.request_user(f"1{run.name('user')}")).expect(201)


@clause(
    "admin.user-create.longest-email",
    "An e-mail address can have 255 characters.",
    source="e-mail-addresses",
    needs=Need.ADMIN,
)
async def the_longest_email_is_accepted(run: Run) -> None:
    email = "@example.org".rjust(EMAIL_LIMIT, "a")
    _, user, reply = await _create_user(run, email=email)
    _require_user(user, reply, email=email)


@clause(
    "admin.user-create.no-label",
    "A username that is not a DNS label is 400.",
    source="usernames",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_username_that_is_not_a_label_is_refused(run: Run) -> None:
    base = run.name("u")
    for username in ([base], {"of": base}, f"{base}\n"):
        (await run.actors.request_user(username)).expect_refusal(400)
    for username in (f"-{base}", f"{base}-", f"{base}_", f"{base}.x", f"{base} x", f"{base}X"):
        (await run.actors.request_user(username)).expect_refusal(400)


@clause(
    "admin.user-create.too-long",
    "A username of 59 to 63 characters is 400: its namespace would not be a DNS label.",
    source="usernames",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_too_long_username_is_refused(run: Run) -> None:
    for length in (LABEL_LIMIT + 1, 63):
        (await run.actors.request_user(_padded(run, length))).expect_refusal(400)


@clause(
    "admin.user-create.long-email",
    "An e-mail address over 255 characters is 400.",
    source="e-mail-addresses",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_too_long_email_is_refused(run: Run) -> None:
    email = "@example.org".rjust(EMAIL_LIMIT + 1, "a")
    (await run.actors.request_user(run.name("user"), email=email)).expect_refusal(400)


@clause(
    "admin.user-list.reply",
    "Users are listed with their promised fields.",
    source="list-users",
    needs=Need.ADMIN,
)
async def users_are_listed(run: Run) -> None:
    username, user, _ = await _create_user(run)
    reply = await run.actors.admin("GET", USERS)
    reply.expect_fields(count=COUNT)
    rows = [row for row in reply.fields()["users"] if row["username"] == username]
    require(len(rows) == 1, f"one row of {username}", rows, reply)
    shown = {key: rows[0][key] for key in user}
    require(same(shown, user), f"a row that says {user}", shown, reply)


@clause(
    "admin.user-list.count",
    "The list of users includes their count.",
    source="list-users",
    needs=Need.ADMIN,
)
async def users_are_counted(run: Run) -> None:
    for is_active in (True, False):
        _, user, _ = await _create_user(run)
        await run.actors.admin("PUT", user_path(user["id"]), {"is_active": is_active})
        reply = await run.actors.admin("GET", USERS)
        users = reply.expect_fields(count=COUNT)["users"]
        reply.expect_fields(count=len(users))


@clause(
    "admin.user-list.newest-first",
    "Users are listed newest first.",
    source="list-users",
    needs=Need.ADMIN,
)
async def users_are_listed_newest_first(run: Run) -> None:
    first, user, _ = await _create_user(run)
    created = [first, (await _create_user(run))[0]]
    await run.clock.advance(0.001)
    created.append((await _create_user(run))[0])
    await run.actors.admin("PUT", user_path(user["id"]), {"email": "new@example.org"})
    listed = [row["username"] for row in await _list_users(run)]
    shown = [name for name in listed if name in created]
    require(shown == created[::-1], f"{created[::-1]}, in this order", shown)


@clause(
    "admin.user-list.active-only",
    "With active_only=true, deactivated users are not listed.",
    source="list-users",
    needs=Need.ADMIN,
)
async def active_only_omits_inactive_users(run: Run) -> None:
    (username, user, _), (active, _, _) = await _create_user(run), await _create_user(run)
    await run.actors.admin("PUT", user_path(user["id"]), {"is_active": False})
    active_names = [row["username"] for row in await _list_users(run, "?active_only=true")]
    all_names = [row["username"] for row in await _list_users(run)]
    require(username not in active_names, f"a list without {username}", active_names)
    require(active in active_names, f"a list with {active}", active_names)
    require(username in all_names, f"{username} in the whole list", all_names)
    explicit_all = [row["username"] for row in await _list_users(run, "?active_only=false")]
    require(username in explicit_all, f"{username} with active_only=false", explicit_all)


@clause(
    "admin.user-list.admin",
    "A user named admin exists from the start.",
    source="list-users",
    needs=Need.ADMIN,
)
async def a_user_named_admin_exists(run: Run) -> None:
    names = [row["username"] for row in await _list_users(run)]
    require("admin" in names, "a user named admin", names)


@clause(
    "admin.user-get.reply",
    "A user is shown by id.",
    source="show-a-user",
    needs=Need.ADMIN,
)
async def a_user_is_shown(run: Run) -> None:
    _, user, _ = await _create_user(run, email="who@example.org")
    reply = await run.actors.admin("GET", user_path(user["id"]))
    shown = reply.expect_fields()["user"]
    _require_user(shown, reply, updated_at=TIMESTAMP, **user)


@clause(
    "admin.user-get.fields",
    "A user has the promised fields and no others.",
    source="show-a-user",
    needs=Need.ADMIN,
)
async def a_user_has_no_other_fields(run: Run) -> None:
    _, user, created = await _create_user(run)
    path = user_path(user["id"])
    shown = await run.actors.admin("GET", path)
    updated = await run.actors.admin("PUT", path, {"email": "other@example.org"})
    (listed,) = [row for row in await _list_users(run) if row["id"] == user["id"]]
    require_fields(created.fields()["user"], _DOCUMENTED, created)
    require_fields(shown.fields()["user"], (*_DOCUMENTED, "updated_at"), shown)
    wanted = ("id", "username", "email", "updated_at", "is_active")
    require_fields(updated.fields()["user"], wanted, updated)
    require_fields(listed, _DOCUMENTED)


@clause(
    "admin.user-get.unknown",
    "Showing a user whose id does not exist is 404.",
    source="show-a-user",
    needs=Need.ADMIN,
)
async def an_unknown_user_is_404(run: Run) -> None:
    (await run.actors.admin("GET", user_path(NO_ID))).expect_refusal(404, NO_USER)


@clause(
    "admin.user-get.bad-id",
    "A user id that is not a UUID is 400.",
    source="ids",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def an_invalid_user_id_is_refused(run: Run) -> None:
    for user_id in ("no-uuid", "1"):
        for method in ("GET", "PUT", "DELETE"):
            (await run.actors.admin(method, user_path(user_id))).expect_refusal(400)
        (await run.actors.admin("GET", keys_path(user_id))).expect_refusal(400)


@clause(
    "admin.user-update.reply",
    "An update of a user returns the updated user.",
    source="change-a-user",
    needs=Need.ADMIN,
)
async def a_user_is_updated(run: Run) -> None:
    username, user, _ = await _create_user(run, email="old@example.org")
    fields = {"email": "new@example.org", "is_active": False}
    reply = await run.actors.admin("PUT", user_path(user["id"]), fields)
    shown = reply.expect_fields(success=True)["user"]
    _require_user(shown, reply, id=user["id"], username=username, updated_at=TIMESTAMP, **fields)


@clause(
    "admin.user-update.kept",
    "An update of a user persists, and changes no other user.",
    source="change-a-user",
    needs=Need.ADMIN,
)
async def an_update_persists(run: Run) -> None:
    _, user, _ = await _create_user(run, email="old@example.org")
    _, other, _ = await _create_user(run, email="other@example.org")
    path = user_path(user["id"])
    await run.actors.admin("PUT", path, {"email": "new@example.org"})
    reply = await run.actors.admin("GET", path)
    _require_user(reply.fields()["user"], reply, email="new@example.org", is_active=True)
    await run.actors.admin("PUT", path, {"is_active": False})
    reply = await run.actors.admin("GET", path)
    _require_user(reply.fields()["user"], reply, email="new@example.org", is_active=False)
    reply = await run.actors.admin("GET", user_path(other["id"]))
    _require_user(reply.fields()["user"], reply, email="other@example.org", is_active=True)


@clause(
    "admin.user-update.nothing",
    "An update with an empty object changes nothing.",
    source="change-a-user",
    needs=Need.ADMIN,
)
async def an_empty_update_changes_nothing(run: Run) -> None:
    _, user, _ = await _create_user(run, email="old@example.org")
    path = user_path(user["id"])
    before = (await run.actors.admin("GET", path)).expect(200)
    (await run.actors.admin("PUT", path, {})).expect_fields(success=True)
    after = (await run.actors.admin("GET", path)).expect_fields()["user"]
    kept = {key: after[key] for key in user}
    require(same(kept, user), f"a user as before: {user}", kept, before)


@clause(
    "admin.user-update.updated-at",
    "updated_at advances with a change, and only then.",
    source="change-a-user",
    needs=Need.ADMIN,
)
async def updated_at_advances_with_a_change(run: Run) -> None:
    _, user, _ = await _create_user(run)
    path = user_path(user["id"])
    dates = [await _updated_at(run, path)]
    for change in ({}, {"email": "new@example.org"}):
        await run.clock.advance(_PAUSE)
        await run.actors.admin("PUT", path, change)
        dates.append(await _updated_at(run, path))
    created, unchanged, changed = dates
    require(unchanged == created, f"updated_at {created}, as nothing changed", unchanged)
    require(changed > created, f"updated_at later than {created}", changed)


async def _updated_at(run: Run, path: str) -> str:
    user = (await run.actors.admin("GET", path)).expect_fields()["user"]
    require(user["updated_at"] == TIMESTAMP, "a time in updated_at", user)
    return str(user["updated_at"])


@clause(
    "admin.user-delete.reply",
    "Deleting a user is 200.",
    source="delete-a-user",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_user_is_deleted(run: Run) -> None:
    username, user, _ = await _create_user(run)
    reply = await run.actors.admin("DELETE", user_path(user["id"]))
    reply.expect_fields(success=True, message=f"User '{username}' deleted successfully")


@clause(
    "admin.user-delete.gone",
    "A deleted user is 404 and not listed.",
    source="delete-a-user",
    needs=Need.ADMIN,
)
async def a_deleted_user_is_gone(run: Run) -> None:
    username, user, _ = await _create_user(run)
    await run.actors.admin("DELETE", user_path(user["id"]))
    (await run.actors.admin("GET", user_path(user["id"]))).expect_refusal(404, NO_USER)
    names = [row["username"] for row in await _list_users(run)]
    require(username not in names, f"a list without {username}", names)


@clause(
    "admin.user-delete.again",
    "Deleting a user again is 404.",
    source="delete-a-user",
    needs=Need.ADMIN,
)
async def a_user_is_deleted_again(run: Run) -> None:
    _, user, _ = await _create_user(run)
    await run.actors.admin("DELETE", user_path(user["id"]))
    (await run.actors.admin("DELETE", user_path(user["id"]))).expect_refusal(404, NO_USER)


@clause(
    "admin.user-delete.others-stay",
    "Deleting a user does not affect other users.",
    source="delete-a-user",
    needs=Need.ADMIN,
)
async def a_delete_leaves_other_users(run: Run) -> None:
    temporary_user = await run.actors.temporary_user()
    _, user, _ = await _create_user(run)
    await run.actors.admin("DELETE", user_path(user["id"]))
    (await temporary_user.call("GET", "/api/me")).expect(200)


@clause(
    "admin.user-delete.frees-username",
    "A deleted user's username is free again, for a user with another id.",
    source="delete-a-user",
    needs=Need.ADMIN,
)
async def a_deleted_users_name_is_reusable(run: Run) -> None:
    first = await run.actors.temporary_user()
    (await first.call("GET", "/api/me")).expect(200)
    await run.actors.admin("DELETE", user_path(first.id))
    second = await run.actors.user(first.username)
    require(second.id != first.id, f"another id than {first.id}", second.id)
    (await first.call("GET", "/api/me")).expect_refusal(401, UNKNOWN_KEY)
    (await second.call("GET", "/api/me")).expect(200)


@clause(
    "admin.user-delete.takes-sandboxes",
    "Deleting a user deletes the user's sandboxes, and frees their names.",
    source="sandboxes-of-a-deleted-user",
    needs=Need.ADMIN,
    level=Level.SHOULD,
)
async def a_deleted_users_sandboxes_are_deleted(run: Run) -> None:
    first = await run.actors.temporary_user()
    name = (await run.sandboxes.new(first)).name
    reply = await run.actors.admin("DELETE", user_path(first.id))
    if reply.status != 200:
        run.cluster.may_keep_sandbox_of(first.username)
    second = await run.actors.user(first.username)
    names = await second.names()
    require(names == [], "no sandboxes", names)
    (await (await run.sandboxes.unused(second, name=name)).create()).expect(201)
