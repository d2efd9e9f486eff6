"""Conventions that hold on every route, and `GET /health`."""

import json
from datetime import timedelta

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import SandboxHandle, User
from sandbox_contract.harness.api import (
    EXEC,
    MY_KEYS,
    NAME_REQUIRED,
    NO_ACCESS,
    NO_HEADER,
    NO_USER,
    NOT_ADMIN,
    SANDBOXES,
    TIMESTAMP,
    UNKNOWN_KEY,
    USERNAME_REQUIRED,
    USERS,
    keys_path,
    own_key_path,
    revocation_path,
    user_path,
)
from sandbox_contract.harness.clock import parse_time
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply, require
from sandbox_contract.target import Need

from .lifetime import observe_lifetime
from .routes import NO_ID, expect_head_as_get

_JSON = {"Content-Type": "application/json"}
_LIMIT = 100 * 1024  # bytes of a body
_MAX_CLOCK_SKEW = timedelta(minutes=2)


# Health -----------------------------------------------------------------------------------------


@clause(
    "health.answer.no-key",
    "GET /health is 200 without a key.",
    source="health-check",
)
async def health_needs_no_key(run: Run) -> None:
    (await run.actors.anonymous("GET", "/health")).expect(200)


@clause(
    "health.answer.shape",
    "GET /health reports status ok, the time, and a connected database.",
    source="health-check",
)
async def health_reports_its_state(run: Run) -> None:
    reply = await run.actors.anonymous("GET", "/health")
    reply.expect_fields(status="ok", timestamp=TIMESTAMP, database="connected")


@clause(
    "health.database.down",
    "While the database is down, GET /health does not report it as connected.",
    source="database-down",
    needs=Need.OUTAGE,
    level=Level.SHOULD,
)
async def health_reports_a_database_outage(run: Run) -> None:
    assert run.target.outage is not None  # noqa: S101  (the clause needs it)
    with run.target.outage():
        reply = await run.actors.anonymous("GET", "/health")
    reported = reply.fields().get("database")
    require(reported != "connected", "a database that is not said to be connected", reply, reply)


# Replies ----------------------------------------------------------------------------------------


async def _error_responses(run: Run) -> list[Reply]:
    """Return an error response of each kind that a user can get."""
    alice = await run.actors.alice()
    missing = run.name("missing")
    return [
        await run.actors.anonymous("GET", "/api/me"),
        await alice.call("GET", "/api/admin/users"),
        await alice.call("POST", SANDBOXES, {}),
        await alice.call("GET", f"{SANDBOXES}/{missing}"),
        await alice.call("DELETE", own_key_path(NO_ID)),
        await alice.call("GET", "/api/nowhere"),
    ]


@clause(
    "conventions.error.shape",
    "Every error is a JSON object with the status's phrase as error and a text as message.",
    source="errors",
    needs=Need.USER,
)
async def errors_have_one_shape(run: Run) -> None:
    for reply, status in zip(
        await _error_responses(run), (401, 403, 400, 403, 404, 404), strict=True
    ):
        reply.expect_refusal(status)


@clause(
    "conventions.reply.json",
    "Every response of the proxy itself to a user has the content type application/json.",
    source="json",
    needs=Need.USER,
)
async def responses_are_declared_as_json(run: Run) -> None:
    alice, seen = await run.actors.alice(), await run.once(observe_lifetime)
    key = await run.actors.make_own_key(alice)
    for reply in [
        *[await alice.call("GET", path) for path in ("/api/me", SANDBOXES, MY_KEYS)],
        *[key.reply, await alice.call("DELETE", own_key_path(key.id))],
        *[seen.created, seen.first_get, seen.duplicate, seen.paused, seen.resumed, seen.deleted],
        await run.actors.anonymous("GET", "/health"),
        *await _error_responses(run),
    ]:
        _require_json(reply)


@clause(
    "conventions.reply.json-admin",
    "Every response to the administrator has the content type application/json.",
    source="json",
    needs=Need.ADMIN,
)
async def responses_to_the_administrator_are_declared_as_json(run: Run) -> None:
    admin, username = run.actors.admin, run.name("user")
    created = await run.actors.request_user(username)
    _require_json(created)
    path = user_path(created.expect_fields(201)["user"]["id"])
    key = await admin("POST", f"{path}/apikeys", {})
    _require_json(key)
    run.redactor.keep(key.expect_fields(201)["api_key"])
    for method, route, body in (
        ("GET", USERS, None),
        ("POST", USERS, {}),
        ("POST", USERS, {"username": username}),
        ("GET", path, None),
        ("PUT", path, {}),
        ("GET", f"{path}/apikeys", None),
        ("DELETE", revocation_path(key.fields()["key_info"]["id"]), None),
        ("DELETE", path, None),
        ("GET", path, None),
    ):
        _require_json(await admin(method, route, body))


def _require_json(reply: Reply) -> None:
    content_type = reply.headers.get("content-type", "nothing")
    require(reply.is_json, "a content type of application/json", content_type, reply)


@clause(
    "conventions.timestamp.format",
    "Timestamps are ISO 8601 in UTC with milliseconds and Z.",
    source="timestamps",
    needs=Need.USER,
)
async def timestamps_have_one_format(run: Run) -> None:
    alice = await run.actors.alice()
    key = await run.actors.make_own_key(alice, expires_at="2100-01-31T12:00:00Z")
    key.reply.expect_fields(201)
    shown = key.reply.fields()["key_info"]
    require(shown["created_at"] == TIMESTAMP, "created_at with milliseconds and Z", shown)
    expiry = "2100-01-31T12:00:00.000Z"
    require(shown["expires_at"] == expiry, f"expires_at {expiry}", shown, key.reply)
    (await (await run.sandboxes.shared()).get()).expect_fields(createdAt=TIMESTAMP)
    created_at, now = parse_time(shown["created_at"]), await run.clock.now()
    is_current = abs(now - created_at) < _MAX_CLOCK_SKEW
    require(is_current, f"a created_at of about {now}", shown, key.reply)


# Paths ------------------------------------------------------------------------------------------


@clause(
    "conventions.path.trailing-slash",
    "A trailing slash in the path does not change the response.",
    source="paths",
    needs=Need.USER,
)
async def a_trailing_slash_is_ignored(run: Run) -> None:
    alice = await run.actors.alice()
    missing = f"{SANDBOXES}/{run.name('missing')}"
    for path in (SANDBOXES, "/api/nowhere/at-all"):
        with_slash = await alice.call("GET", f"{path}/")
        with_slash.expect((await alice.call("GET", path)).status)
    for path in ("/api/me", missing):
        (await alice.call("GET", f"{path}/")).expect_like(await alice.call("GET", path))
    (await run.actors.anonymous("GET", "/health/")).expect(200)
    (await alice.call("POST", f"{SANDBOXES}/", {})).expect_refusal(400, NAME_REQUIRED)
    created = await alice.call("POST", f"{MY_KEYS}/", {"name": run.name("key")})
    key_id = created.expect_fields(201)["key_info"]["id"]
    (await alice.call("DELETE", f"{own_key_path(key_id)}/")).expect(200)
    for method, path in (("POST", "pause/"), ("POST", "resume/"), ("DELETE", "")):
        (await alice.call(method, f"{missing}/{path}")).expect_refusal(403, NO_ACCESS)


@clause(
    "conventions.path.trailing-slash-admin",
    "A trailing slash in the path does not change the response of an admin route.",
    source="paths",
    needs=Need.ADMIN,
)
async def a_trailing_slash_is_ignored_on_admin_routes(run: Run) -> None:
    temporary_user = await run.actors.temporary_user()
    for path in (USERS, user_path(temporary_user.id), keys_path(temporary_user.id)):
        (await run.actors.admin("GET", f"{path}/")).expect_like(await run.actors.admin("GET", path))
    (await run.actors.admin("POST", f"{USERS}/", {})).expect_refusal(400, USERNAME_REQUIRED)
    (await run.actors.admin("PUT", f"{user_path(temporary_user.id)}/", {})).expect(200)
    created = await run.actors.admin("POST", f"{keys_path(temporary_user.id)}/", {})
    run.redactor.keep(created.expect_fields(201)["api_key"])
    key_id = created.fields()["key_info"]["id"]
    (await run.actors.admin("DELETE", f"{revocation_path(key_id)}/")).expect(200)
    (await run.actors.admin("DELETE", f"{user_path(NO_ID)}/")).expect_refusal(404, NO_USER)


# HEAD -------------------------------------------------------------------------------------------


@clause(
    "conventions.head.as-get",
    "Every route with GET, and no other, has HEAD: the same status and headers, and no body.",
    source="head-and-options",
    needs=Need.USER,
)
async def head_matches_get(run: Run) -> None:
    box = await run.sandboxes.shared()
    missing = f"{SANDBOXES}/{run.name('missing')}"
    await expect_head_as_get(run.actors.anonymous, "/health")
    await expect_head_as_get(run.actors.anonymous, "/api/me")
    for path in ("/api/me", MY_KEYS, SANDBOXES, box.path, missing):
        await expect_head_as_get(box.owner.call, path)
    for path in ("/api/nowhere", f"{missing}/pause"):
        (await box.owner.call("HEAD", path)).expect(404)


@clause(
    "conventions.head.admin",
    "Every admin route with GET also has HEAD: the same status and headers, and no body.",
    source="head-and-options",
    needs=Need.ADMIN,
)
async def head_matches_get_on_admin_routes(run: Run) -> None:
    temporary_user = await run.actors.temporary_user()
    for path in (
        USERS,
        user_path(temporary_user.id),
        keys_path(temporary_user.id),
        user_path(NO_ID),
    ):
        await expect_head_as_get(run.actors.admin, path)


@clause(
    "conventions.name.case-sensitive",
    "Names of sandboxes are case-sensitive in paths.",
    source="paths",
    needs=Need.USER,
)
async def names_are_case_sensitive(run: Run) -> None:
    seen = await run.once(observe_lifetime)
    for reply in (seen.get_in_upper_case, seen.exec_in_upper_case):
        reply.expect_refusal(403, NO_ACCESS)


@clause(
    "conventions.order.authentication-first",
    "A missing key is reported before any other error of the request.",
    source="order-of-checks",
)
async def authentication_is_checked_first(run: Run) -> None:
    missing = run.name("missing")
    for method, path in (
        ("POST", SANDBOXES),
        ("POST", f"/proxy/{missing}/v1/shell/exec"),
        ("DELETE", own_key_path("no-uuid")),
        ("POST", "/api/admin/users"),
    ):
        (await run.actors.anonymous(method, path, {})).expect_refusal(401, NO_HEADER)


@clause(
    "conventions.order.ownership-second",
    "That a sandbox does not exist is reported before any error in the body.",
    source="order-of-checks",
    needs=Need.USER,
)
async def ownership_is_checked_second(run: Run) -> None:
    await _expect_refused_before_the_body(await run.actors.alice(), run.name("missing"))


@clause(
    "conventions.order.other-users-second",
    "That a sandbox is another user's is reported before any error in the body.",
    source="order-of-checks",
    needs=Need.SECOND_USER,
)
async def another_users_sandbox_is_checked_second(run: Run) -> None:
    hidden = await run.sandboxes.of_bob()
    await _expect_refused_before_the_body(await run.actors.alice(), hidden.name)


async def _expect_refused_before_the_body(user: User, name: str) -> None:
    box = SandboxHandle(user, name)
    for path, body in (
        (EXEC, {}),
        (EXEC, {"command": 5}),
        ("/v1/file/read", {}),
        ("/v1/shell/view", {"id": 5}),
    ):
        (await box.ask(path, body)).expect_refusal(403, NO_ACCESS)


@clause(
    "conventions.order.malformed-after-authentication",
    "Malformed JSON without a key is 401.",
    source="order-of-checks",
    level=Level.SHOULD,
)
async def authentication_is_checked_before_json(run: Run) -> None:
    for method, path in (("POST", SANDBOXES), ("POST", MY_KEYS), ("POST", "/api/admin/users")):
        reply = await run.actors.anonymous(method, path, content=b'{"name": ', headers=_JSON)
        reply.expect_refusal(401, NO_HEADER)


# Unknown routes ---------------------------------------------------------------------------------


def _unknown_route_message(method: str, path: str) -> str:
    return f"Route {method} {path} not found"


@clause(
    "conventions.unknown-route.open",
    "An unknown route outside /api/ and /proxy/<name>/ is 404 and names the method and path.",
    source="unknown-routes",
)
async def an_unknown_route_is_404(run: Run) -> None:
    for method, path in (("GET", "/nowhere"), ("POST", "/health/nowhere"), ("PUT", "/")):
        (await run.actors.anonymous(method, path)).expect_refusal(
            404, _unknown_route_message(method, path)
        )


@clause(
    "conventions.unknown-route.api-without-key",
    "An unknown route below /api/ is 401 without a key.",
    source="unknown-routes",
)
async def an_unknown_api_route_needs_a_key(run: Run) -> None:
    for path in ("/api/nowhere", "/api/me/nowhere", "/api/sandboxes/a/b/c"):
        (await run.actors.anonymous("GET", path)).expect_refusal(401, NO_HEADER)


@clause(
    "conventions.unknown-route.api",
    "An unknown route below /api/ is 404 with a user's key.",
    source="unknown-routes",
    needs=Need.USER,
)
async def an_unknown_api_route_is_404(run: Run) -> None:
    alice = await run.actors.alice()
    for path in ("/api/nowhere", "/api/me/nowhere"):
        (await alice.call("GET", path)).expect_refusal(404, _unknown_route_message("GET", path))


@clause(
    "conventions.unknown-route.method",
    "A method that a path does not support is an unknown route: 404.",
    source="unknown-routes",
    needs=Need.USER,
)
async def an_unknown_method_is_404(run: Run) -> None:
    alice = await run.actors.alice()
    for method, path in (("PATCH", SANDBOXES), ("DELETE", "/api/me"), ("PUT", MY_KEYS)):
        (await alice.call(method, path)).expect_refusal(404, _unknown_route_message(method, path))


@clause(
    "conventions.unknown-route.admin-without-key",
    "An unknown route below /api/admin/ is 401 without a key.",
    source="unknown-routes",
)
async def an_unknown_admin_route_needs_a_key(run: Run) -> None:
    (await run.actors.anonymous("GET", "/api/admin/nowhere")).expect_refusal(401, NO_HEADER)


@clause(
    "conventions.unknown-route.admin-with-users-key",
    "An unknown route below /api/admin/ is 403 with a user's key.",
    source="unknown-routes",
    needs=Need.USER,
)
async def an_unknown_admin_route_needs_the_admin_key(run: Run) -> None:
    alice = await run.actors.alice()
    reply = await alice.call("GET", "/api/admin/nowhere")
    reply.expect_refusal(403, NOT_ADMIN)


@clause(
    "conventions.unknown-route.admin",
    "With the admin key, an unknown route below /api/admin/ is 404, or 401 as deployed.",
    source="unknown-routes",
    needs=Need.ADMIN,
)
async def an_unknown_admin_route_is_404_or_401(run: Run) -> None:
    path = "/api/admin/nowhere"
    reply = (await run.actors.admin("GET", path)).expect(404, 401)
    run.note(f"{reply.status} with the admin key")
    if reply.status == 404:
        reply.expect_refusal(404, _unknown_route_message("GET", path))
    else:
        reply.expect_refusal(401, UNKNOWN_KEY)


@clause(
    "conventions.unknown-route.proxy-without-key",
    "Any path below /proxy/<name>/ is 401 without a key.",
    source="unknown-routes",
)
async def every_path_below_a_sandbox_needs_a_key(run: Run) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/proxy/any/", "/proxy/any/nowhere", "/proxy/any/v1/file/list"):
            (await run.actors.anonymous(method, path)).expect_refusal(401, NO_HEADER)


@clause(
    "conventions.unknown-route.bare-proxy",
    "/proxy/<name> without a further path is an unknown route: 404.",
    source="unknown-routes",
)
async def a_bare_sandbox_path_is_an_unknown_route(run: Run) -> None:
    (await run.actors.anonymous("GET", "/proxy/any")).expect_refusal(
        404, _unknown_route_message("GET", "/proxy/any")
    )


# Bodies -----------------------------------------------------------------------------------------


async def _post_body(
    run: Run, content: bytes | None, content_type: str = "application/json"
) -> Reply:
    """Send a request to create a sandbox with any bytes as its body."""
    alice = await run.actors.alice()
    headers = {} if content is None else {"Content-Type": content_type}
    return await alice.call("POST", SANDBOXES, content=content, headers=headers)


@clause(
    "conventions.body.absent",
    "A request without a body is read as an empty object: 400 names the first required field.",
    source="bodies",
    needs=Need.USER,
)
async def an_absent_body_is_an_empty_object(run: Run) -> None:
    (await _post_body(run, None)).expect_refusal(400, NAME_REQUIRED)


@clause(
    "conventions.body.empty-object",
    "An empty object is 400, and the message names the first required field.",
    source="bodies",
    needs=Need.USER,
)
async def an_empty_object_lacks_the_name(run: Run) -> None:
    (await _post_body(run, b"{}")).expect_refusal(400, NAME_REQUIRED)


@clause(
    "conventions.body.array",
    "An array is read as an empty object: 400 names the first required field.",
    source="bodies",
    needs=Need.USER,
)
async def an_array_is_an_empty_object(run: Run) -> None:
    (await _post_body(run, b'["name"]')).expect_refusal(400, NAME_REQUIRED)


@clause(
    "conventions.body.other-type",
    "A body that is not declared as JSON is read as an empty object: 400 names the field.",
    source="bodies",
    needs=Need.USER,
)
async def a_body_of_another_type_is_an_empty_object(run: Run) -> None:
    content = f'{{"name": "{run.name("box")}"}}'.encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        (await _post_body(run, content, content_type)).expect_refusal(400, NAME_REQUIRED)


def _json_of_size(size: int, **fields: str) -> bytes:
    """Return a JSON object of `size` bytes, which has an unknown field at its end."""
    frame = json.dumps({**fields, "unknown": ""}).encode()
    return frame[:-2] + b"x" * (size - len(frame)) + frame[-2:]


@clause(
    "conventions.body.large",
    "A body just below 100 KB is read.",
    source="bodies",
    needs=Need.USER,
)
async def a_large_body_is_read(run: Run) -> None:
    name = (await run.sandboxes.shared()).name  # a name that is taken: nothing is created
    content = _json_of_size(_LIMIT - 1024, name=name)
    (await _post_body(run, content)).expect_refusal(409, f"Sandbox '{name}' already exists")


@clause(
    "conventions.body.utf-8",
    "JSON whose content type names the charset UTF-8 is read.",
    source="bodies",
    needs=Need.USER,
)
async def a_utf_8_charset_is_read(run: Run) -> None:
    alice = await run.actors.alice()
    for content_type in ("application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
        name = run.name("key")
        content, headers = json.dumps({"name": name}).encode(), {"Content-Type": content_type}
        reply = await alice.call("POST", MY_KEYS, content=content, headers=headers)
        info = reply.expect_fields(201)["key_info"]
        require(info["name"] == name, f"a key named {name}", info, reply)
        (await alice.call("DELETE", own_key_path(info["id"]))).expect(200)


@clause(
    "conventions.body.too-large",
    "A body over 100 KB is 413.",
    source="large-bodies",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def a_too_large_body_is_refused(run: Run) -> None:
    (await _post_body(run, _json_of_size(_LIMIT + 1024))).expect_refusal(413)


@clause(
    "conventions.body.malformed",
    "Malformed JSON is 400.",
    source="malformed-bodies",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def malformed_json_is_refused(run: Run) -> None:
    for content in (b'{"name": ', b"{name: 1}", b"\xff\xfe", b'{"name": "a"} x'):
        await _expect_body_refused(run, content)


async def _expect_body_refused(
    run: Run, content: bytes, content_type: str = "application/json"
) -> None:
    """Require that a body is refused, even where an empty object would be accepted."""
    alice = await run.actors.alice()
    headers = {"Content-Type": content_type}
    reply = await alice.call("POST", MY_KEYS, content=content, headers=headers)
    if reply.status == 201:
        run.redactor.keep(reply.fields()["api_key"])
        await alice.call("DELETE", own_key_path(reply.fields()["key_info"]["id"]))
    reply.expect_refusal(400)
    (await _post_body(run, content, content_type)).expect_refusal(400)


@clause(
    "conventions.body.scalar",
    "A JSON scalar is 400.",
    source="malformed-bodies",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def a_json_scalar_is_refused(run: Run) -> None:
    for content in (b"5", b'"name"', b"true", b"null"):
        await _expect_body_refused(run, content)


@clause(
    "conventions.body.charset",
    "JSON with an unknown charset is 400.",
    source="malformed-bodies",
    needs=Need.USER,
    level=Level.SHOULD,
)
async def an_unknown_charset_is_refused(run: Run) -> None:
    await _expect_body_refused(run, b"{}", "application/json; charset=nonsense")
