"""Wrong proxies in the form of their answers on every route, and in `/health`."""

from __future__ import annotations

import re
from typing import Any

from .mutant import Kind
from .rewriting import (
    ANY,
    BOX,
    KEYS,
    answered,
    body,
    changing,
    error,
    losing,
    plain,
    refused,
    renaming,
    setting,
    status,
    turning,
    typed,
)

HEALTH = "GET /health/?"


# Health ------------------------------------------------------------------------------------------

ALIVE = Kind("Health")
for _id, _said, _change in (
    ("status", "says up", setting("status", "up")),
    ("no-time", "lacks the time", losing("timestamp")),
    ("no-database", "lacks the database", losing("database")),
    ("database-true", "says true of the database", setting("database", True)),
    ("seconds", "has a time in seconds", setting("timestamp", 1767225600)),
    (
        "no-milliseconds",
        "has a time without milliseconds",
        turning("timestamp", lambda at: re.sub(r"\.\d+", "", at)),
    ),
    ("no-z", "has a time without its zone", turning("timestamp", lambda at: at[:-1])),
    (
        "offset",
        "has +00:00 in place of Z",
        turning("timestamp", lambda at: at.replace("Z", "+00:00")),
    ),
):
    ALIVE.add(
        f"health.{_id}",
        f"GET /health {_said}.",
        answered(HEALTH, body(_change)),
        "health.answer.shape",
    )
ALIVE.add(
    "health.204",
    "GET /health is 204.",
    answered(HEALTH, status(204)),
    "health.answer.no-key",
)
ALIVE.add(
    "health.key",
    "GET /health needs a key.",
    answered(HEALTH, error(401, "Unauthorized", "Missing Authorization header")),
    "health.answer.no-key",
)
ALIVE.add(
    "health.stands",
    "GET /health says when the proxy was started, in place of the time.",
    answered(HEALTH, body(setting("timestamp", "2026-01-01T00:00:00.000Z"))),
    "auth.key.expires-later",
)


ALIVE.add(
    "health.connected",
    "GET /health says that the database is connected while it is down.",
    answered(HEALTH, body(setting("database", "connected")), on=503),
    "health.database.down",
)


# Errors ------------------------------------------------------------------------------------------


def _swapped(said: Any) -> Any:
    return {"error": said.get("message"), "message": said.get("error")}


ERRORS = Kind("The form of errors")
for _id, _said, _change in (
    ("no-message", "lack the message", body(losing("message"))),
    ("no-error", "lack the phrase", body(losing("error"))),
    ("empty-message", "have an empty message", body(setting("message", ""))),
    ("message-list", "have a list as message", body(turning("message", lambda said: [said]))),
    ("renamed", "call the message detail", body(renaming("message", "detail"))),
    ("lower-case", "have the phrase in lower case", body(turning("error", str.lower))),
    ("code", "have the code as error", body(lambda said: said | {"error": "E_REFUSED"})),
    ("swapped", "have phrase and message swapped", body(_swapped)),
    ("nested", "are below error", body(lambda said: {"error": said})),
    ("list", "are in a list", body(lambda said: [said])),
    ("null", "are null", body(lambda _said: None)),
    ("number", "have a number as message", body(setting("message", 7))),
    ("plain", "are plain text", plain("Something went wrong")),
    ("html", "are a page", plain("<html><h1>Error</h1></html>")),
    ("empty", "are empty", changing(lambda answer: setattr(answer, "body", b""))),
    ("200", "are 200", status(200)),
    ("400", "are all 400", status(400)),
):
    ERRORS.add(
        f"conventions.error.{_id}",
        f"Errors {_said}.",
        refused(ANY, _change),
        "conventions.error.shape",
    )
for _code, _phrase in ((400, "BadRequest"), (401, "Unauthenticated"), (403, "No"), (404, "None")):
    ERRORS.add(
        f"conventions.error.phrase-{_code}",
        f"A {_code} is called {_phrase}.",
        answered(ANY, body(setting("error", _phrase)), on=_code),
        "conventions.error.shape",
    )

TYPES = Kind("Content types")
for _id, _said, _make in (
    ("errors-html", "Errors say that they are a page", refused(ANY, typed("text/html"))),
    ("errors-plain", "Errors say that they are text", refused(ANY, typed("text/plain"))),
    ("text", "Answers say that they are text", answered("GET /api/.*", typed("text/plain"))),
    (
        "none",
        "Answers do not say what they are",
        answered("GET /api/.*", lambda answer: answer.headers.pop(b"content-type")),
    ),
    (
        "problem",
        "Errors say that they are problem+json",
        refused(ANY, typed("application/problem+json")),
    ),
    ("health", "GET /health says that it is text", answered(HEALTH, typed("text/plain"))),
    (
        "key-made",
        "The answer that makes a key says that it is text",
        answered("POST /api/me/apikeys", typed("text/plain")),
    ),
    (
        "key-revoked",
        "The answer that revokes a key says that it is text",
        answered("DELETE /api/me/apikeys/.*", typed("text/plain")),
    ),
    (
        "box-made",
        "The answer that makes a sandbox says that it is text",
        answered("POST /api/sandboxes", typed("text/plain")),
    ),
    (
        "box-changed",
        "The answer that pauses or resumes a sandbox says that it is text",
        answered(f"POST {BOX}/.*", typed("text/plain")),
    ),
):
    TYPES.add(f"conventions.type.{_id}", f"{_said}.", _make, "conventions.reply.json")
for _id, _said, _make in (
    ("admin", "lists users", answered("(GET|HEAD) /api/admin/users", typed("text/plain"))),
    ("admin-put", "changes a user", answered("PUT /api/admin/.*", typed("text/plain"))),
    ("admin-refused", "refuses a change", refused("POST /api/admin/.*", typed("text/plain"))),
):
    TYPES.add(
        f"conventions.type.{_id}",
        f"The answer that {_said} says that it is text.",
        _make,
        "conventions.reply.json-admin",
    )


# Times -------------------------------------------------------------------------------------------

TIMESTAMPS = Kind("Timestamps")

_FORMS: tuple[tuple[str, str, Any], ...] = (
    ("no-milliseconds", "no milliseconds", changing(lambda at: at and re.sub(r"\.\d+", "", at))),
    ("no-z", "no zone", changing(lambda at: at and at.removesuffix("Z"))),
    ("offset", "+00:00 in place of Z", changing(lambda at: at and at.replace("Z", "+00:00"))),
    ("microseconds", "microseconds", changing(lambda at: at and at.replace("Z", "000Z"))),
    ("space", "a space in place of T", changing(lambda at: at and at.replace("T", " "))),
    ("number", "a number", changing(lambda at: at and 1767225600000)),
)
for _id, _said, _form in _FORMS:
    TIMESTAMPS.add(
        f"conventions.time.sandbox.{_id}",
        f"A sandbox's createdAt has {_said}.",
        answered(f"GET {BOX}", body(turning("createdAt", _form))),
        "conventions.timestamp.format",
        "sandboxes.get.reply",
    )
    TIMESTAMPS.add(
        f"conventions.time.key.{_id}",
        f"A key's created_at has {_said}.",
        answered(f"POST {KEYS}", body(turning("key_info.created_at", _form))),
        "conventions.timestamp.format",
        "me.key-create.reply",
    )
for _id, _said, _form in _FORMS[:3]:
    TIMESTAMPS.add(
        f"conventions.time.expiry.{_id}",
        f"A key's expires_at has {_said}.",
        answered(f"POST {KEYS}", body(turning("key_info.expires_at", _form))),
        "conventions.timestamp.format",
    )
    TIMESTAMPS.add(
        f"conventions.time.used.{_id}",
        f"A key's last_used_at has {_said}.",
        answered(f"GET {KEYS}", body(turning("api_keys.*.last_used_at", _form))),
        "admin.key-list.last-used",
    )

KINDS = (
    ALIVE,
    ERRORS,
    TYPES,
    TIMESTAMPS,
)
