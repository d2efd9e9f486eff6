"""Wrong proxies in how they find a path, and where there is no route."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import Service, User
from starlette.responses import JSONResponse

from .gates import matching, meets_mistake, only, to_unknown_route
from .mutant import Kind, with_middleware
from .rewriting import (
    ANY,
    INSIDE,
    Answer,
    answer_of,
    answered,
    body,
    error,
    plain,
    refused,
    routed,
    setting,
    status,
    turning,
    typed,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .mutant import Make

# Paths -------------------------------------------------------------------------------------------

PATHS = Kind("Paths")


def _strict_slash(answer: Answer) -> None:
    error(404, "Not Found", "Not found")(answer)


for _id, _said, _make in (
    (
        "slash-404",
        "With a trailing slash, every path is unknown",
        answered(r"\w+ /.+/", _strict_slash),
    ),
    (
        "slash-redirect",
        "With a trailing slash, every path is redirected",
        answered(r"\w+ /.+/", status(307)),
    ),
    (
        "slash-health",
        "With a trailing slash, /health is unknown",
        answered(r"GET /health/", _strict_slash),
    ),
    (
        "slash-list",
        "With a trailing slash, the list of sandboxes is unknown",
        answered(r"GET /api/sandboxes/", _strict_slash),
    ),
    (
        "slash-post",
        "With a trailing slash, a POST has an unknown path",
        answered(r"POST /api/.+/", _strict_slash),
    ),
    (
        "slash-refused",
        "With a trailing slash, what is refused is refused otherwise",
        answered(r"GET /api/sandboxes/[^/]+/", status(404), on=403),
    ),
    (
        "slash-message",
        "With a trailing slash, what is refused is refused with another message",
        answered(r"GET /api/sandboxes/[^/]+/", body(setting("message", "Refused")), on=403),
    ),
):
    PATHS.add(f"conventions.path.{_id}", f"{_said}.", _make, "conventions.path.trailing-slash")


PATHS.add(
    "conventions.path.slash-admin",
    "With a trailing slash, the administrator's paths are unknown.",
    answered(r"\w+ /api/admin/.+/", _strict_slash),
    "conventions.path.trailing-slash-admin",
)
PATHS.add(
    "conventions.path.slash-admin-delete",
    "With a trailing slash, the administrator's path to revoke a key is unknown.",
    answered(r"DELETE /api/admin/.+/", _strict_slash),
    "conventions.path.trailing-slash-admin",
)


def _lower(scope: Scope) -> Scope:
    """Take a path's sandbox name without regard to case."""
    raw: bytes = scope["raw_path"]
    return {**scope, "path": scope["path"].lower(), "raw_path": raw.lower()}


PATHS.add(
    "conventions.path.any-case",
    "Sandbox names are found without regard to case.",
    routed(_lower),
    "conventions.name.case-sensitive",
)


def _lower_proxy(scope: Scope) -> Scope:
    return _lower(scope) if scope["path"].startswith("/proxy/") else scope


PATHS.add(
    "conventions.path.any-case-proxy",
    "Below /proxy/, sandbox names are found without regard to case.",
    routed(_lower_proxy),
    "conventions.name.case-sensitive",
)


# HEAD --------------------------------------------------------------------------------------------

HEAD = Kind("HEAD")


def _long(answer: Answer) -> None:
    answer.headers[b"content-length"] = b"0"


for _id, _said, _paths, _change in (
    ("404", "is an unknown route", "/.*", status(404)),
    ("405", "is 405", "/.*", status(405)),
    ("204", "is 204", "/.*", status(204)),
    ("health", "of /health is an unknown route", "/health", status(404)),
    ("list", "of the list of sandboxes is an unknown route", "/api/sandboxes", status(404)),
    ("box", "of a sandbox is an unknown route", "/api/sandboxes/[^/]+", status(404)),
    ("keys", "of a user's own keys is an unknown route", "/api/me/apikeys", status(404)),
    ("type", "says another content type than GET", "/api/.*", typed("text/plain")),
    ("length", "says another length than GET", "/.*", _long),
):
    HEAD.add(
        f"conventions.head.{_id}",
        f"HEAD {_said}.",
        answered(f"HEAD {_paths}", _change),
        "conventions.head.as-get",
    )
for _id, _said, _paths in (
    ("admin", "of every admin route", "/api/admin/.*"),
    ("admin-users", "of the list of users", "/api/admin/users"),
    ("admin-keys", "of a user's keys", "/api/admin/users/[^/]+/apikeys"),
):
    HEAD.add(
        f"conventions.head.{_id}",
        f"HEAD {_said} is an unknown route.",
        answered(f"HEAD {_paths}", status(404)),
        "conventions.head.admin",
    )
HEAD.add(
    "conventions.head.unlocked",
    "HEAD needs no key.",
    answered("HEAD /api/me", status(200), on=401),
    "conventions.head.as-get",
)
HEAD.add(
    "conventions.head.everywhere",
    "HEAD is 200 on every route, whatever the route takes.",
    answered("HEAD /.*", status(200), on=404),
    "conventions.head.as-get",
)

HEAD.add(
    "conventions.head.no-cache-control",
    "HEAD lacks a header that GET has, that about caches.",
    answered("GET /api/me", lambda answer: answer.headers.update({b"cache-control": b"no-store"})),
    "conventions.head.as-get",
)

# Unknown routes ----------------------------------------------------------------------------------

UNKNOWN = Kind("Unknown routes")


def _on_unknown(change: Any) -> Make:
    """Change the answers to unknown routes."""

    def changed(answer: Answer) -> None:
        if answer.body.startswith(b'{"error":"Not Found","message":"Route '):
            change(answer)

    return refused(ANY, changed)


UNKNOWN.add(
    "conventions.unknown.admin-404",
    "An unknown route below /api/admin/ is 404 whatever the key.",
    refused(r"\w+ /api/admin/nowhere", error(404, "Not Found", "Route GET not found")),
    "conventions.unknown-route.admin-with-users-key",
    "conventions.unknown-route.admin-without-key",
)
for _id, _said, _change in (
    ("200", "200", status(200)),
    ("401", "401", error(401, "Unauthorized", "Missing Authorization header")),
    ("400", "400", error(400, "Bad Request", "Unknown route")),
    ("message", "404 without method and path", body(setting("message", "Not found"))),
    (
        "get",
        "404 with another method",
        body(turning("message", lambda said: re.sub(r"Route \w+", "Route ANY", said))),
    ),
    ("page", "a page", plain("<html>Cannot GET</html>")),
):
    UNKNOWN.add(
        f"conventions.unknown.{_id}",
        f"An unknown route is {_said}.",
        _on_unknown(_change),
        "conventions.unknown-route.open",
        "conventions.unknown-route.api",
        "conventions.unknown-route.method",
    )
UNKNOWN.add(
    "conventions.unknown.405",
    "A method that a path does not take is 405.",
    answered(
        r"(PATCH|PUT|DELETE) /api/(sandboxes|me|me/apikeys)",
        error(405, "Method Not Allowed", "Method not allowed"),
        on=404,
    ),
    "conventions.unknown-route.method",
)
UNKNOWN.add(
    "conventions.unknown.405-without-allow",
    "A method that a path does not take is taken for GET.",
    routed(
        lambda scope: {**scope, "method": "GET"} if scope["method"] in {"PUT", "PATCH"} else scope
    ),
    "conventions.unknown-route.method",
)
UNKNOWN.add(
    "conventions.unknown.admin",
    "An unknown route below /api/admin/ is 403 with the admin key.",
    answered(r"\w+ /api/admin/.*", error(403, "Forbidden", "Invalid admin API key"), on=404),
    "conventions.unknown-route.admin",
)
UNKNOWN.add(
    "conventions.unknown.bare-proxy",
    "/proxy/<name> with nothing after it needs a key.",
    answered(INSIDE.join([r"\w+ ", ""]), error(401, "Unauthorized", "Missing"), on=404),
    "conventions.unknown-route.bare-proxy",
)


class _NoArea(Service):
    def authenticate(self, authorization: str | None) -> User:
        if not meets_mistake():
            return super().authenticate(authorization)
        now = self.clock.now()
        return User("", "", None, True, now, now)  # without access to anything

    def authenticate_admin(self, authorization: str | None) -> None:
        if not meets_mistake():
            super().authenticate_admin(authorization)


UNKNOWN.add(
    "conventions.unknown.no-key",
    "An unknown route needs no key anywhere.",
    only(to_unknown_route, _NoArea),
    "conventions.unknown-route.api-without-key",
    "conventions.unknown-route.admin-without-key",
)


def _every_area(app: ASGIApp) -> ASGIApp:
    """Check the key before an unknown route is answered."""

    async def locked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and to_unknown_route(scope):
            asked = {"method": "GET", "path": "/api/me", "raw_path": b"/api/me"}
            headers = [pair for pair in scope["headers"] if pair[0] == b"authorization"]
            caller = await answer_of(app, {**scope, **asked, "headers": headers}, receive)
            if caller.status == 401:
                await caller.pass_on(send, scope["method"])
                return
        await app(scope, receive, send)

    return locked


UNKNOWN.add(
    "conventions.unknown.always-key",
    "An unknown route needs a key everywhere.",
    with_middleware(_every_area),
    "conventions.unknown-route.open",
    "conventions.unknown-route.bare-proxy",
)


def _below_proxy(app: ASGIApp) -> ASGIApp:
    """Answer PATCH below /proxy/ as an unknown route."""
    is_unknown = matching(rf"PATCH {INSIDE}/.*")

    async def unlocked(scope: Scope, receive: Receive, send: Send) -> None:
        answering = app
        if scope["type"] == "http" and is_unknown(scope):
            message = f"Route PATCH {scope['path']} not found"
            answering = JSONResponse({"error": "Not Found", "message": message}, 404)
        await answering(scope, receive, send)

    return unlocked


UNKNOWN.add(
    "conventions.unknown.below-proxy",
    "Below /proxy/<name>/, an unknown method needs no key.",
    with_middleware(_below_proxy),
    "conventions.unknown-route.proxy-without-key",
)


KINDS = (
    PATHS,
    HEAD,
    UNKNOWN,
)
