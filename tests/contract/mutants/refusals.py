"""Wrong proxies in how they read the header, and in why they say that they refuse."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, ApiKey, Service, User

from .gates import DEACTIVATED, EXPIRED, FORMAT, INACTIVE, MISSING, NOT_ADMIN, UNKNOWN
from .mutant import Kind
from .rewriting import ANY, changing, error, refused, routed, status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.types import Scope

    from .mutant import Make
    from .rewriting import Answer

# Messages ---------------------------------------------------------------------------------------

SAID = Kind("The reason that is given for a refusal")


@SAID.of(
    "auth.said.revoked-last",
    "That a user was deactivated is checked before that a key was revoked.",
    "auth.key.revoked-first",
)
class RevokedLast(Service):
    def check_key(self, key: ApiKey, user: User, now: datetime) -> None:
        if not user.is_active:
            raise APIError(401, DEACTIVATED)
        super().check_key(key, user, now)


def _instead(message: str, code: int, phrase: str, said: str) -> Make:
    """Change the refusals that have this message."""

    def change(answer: Answer) -> None:
        if json.loads(answer.body).get("message") == message:
            error(code, phrase, said)(answer)

    return refused(ANY, change)


for _id, _message, _clause in (
    ("missing", MISSING, "auth.header.missing"),
    ("unknown", UNKNOWN, "auth.key.unknown"),
    ("revoked", INACTIVE, "auth.key.revoked"),
    ("deactivated", DEACTIVATED, "auth.user.deactivated"),
    ("expired", EXPIRED, "auth.key.expired"),
):
    SAID.add(
        f"auth.said.{_id}-as-403",
        f"Who is refused with '{_message}' gets 403.",
        _instead(_message, 403, "Forbidden", _message),
        _clause,
    )
for _id, _message, _said, _clause in (
    ("missing", MISSING, FORMAT, "auth.header.missing"),
    ("format", FORMAT, MISSING, "auth.header.bare-key"),
    ("revoked", INACTIVE, UNKNOWN, "auth.key.revoked"),
    ("expired", EXPIRED, INACTIVE, "auth.key.expired"),
    ("deactivated", DEACTIVATED, UNKNOWN, "auth.user.deactivated"),
):
    SAID.add(
        f"auth.said.{_id}-as-another",
        f"Instead of '{_message}', a refusal says '{_said}'.",
        _instead(_message, 401, "Unauthorized", _said),
        _clause,
    )
SAID.add(
    "auth.said.admin-401",
    "Any other key than the admin's is 401 on the administrator's routes.",
    _instead(NOT_ADMIN, 401, "Unauthorized", NOT_ADMIN),
    "auth.admin-key.unknown",
    "auth.admin-key.user",
)
SAID.add(
    "auth.said.admin-404",
    "Who has not the admin key is told that its routes are not there.",
    _instead(NOT_ADMIN, 404, "Not Found", "Route not found"),
    "auth.admin-key.unknown",
)
SAID.add(
    "auth.said.admin-format",
    "A faulty header is 403 on the administrator's routes.",
    refused(r"\w+ /api/admin/.*", status(403)),
    "auth.admin-header.missing",
    "auth.admin-header.format",
)


# Headers -----------------------------------------------------------------------------------------

HEADERS = Kind("The Authorization header")


def _header(change: Callable[[str], str | None]) -> Make:
    """Have the proxy read another Authorization header than was sent."""

    def changed(scope: Scope) -> Scope:
        headers = {name: value for name, value in scope["headers"] if name != b"authorization"}
        sent = dict(scope["headers"]).get(b"authorization")
        read = None if sent is None else change(sent.decode())
        if read is not None:
            headers[b"authorization"] = read.encode()
        return {**scope, "headers": list(headers.items())}

    return routed(changed)


for _id, _said, _change, _clause in (
    (
        "lower-case",
        "bearer is as good as Bearer",
        changing(lambda said: re.sub("^bearer ", "Bearer ", said, flags=re.IGNORECASE)),
        "auth.header.lower-case",
    ),
    (
        "any-scheme",
        "any scheme is as good as Bearer",
        changing(lambda said: re.sub(r"^\w+ ", "Bearer ", said)),
        "auth.header.other-scheme",
    ),
    (
        "token",
        "Token is as good as Bearer",
        changing(lambda said: re.sub("^Token ", "Bearer ", said)),
        "auth.header.other-scheme",
    ),
    (
        "bare",
        "a key needs no scheme",
        changing(lambda said: said if " " in said else f"Bearer {said}"),
        "auth.header.bare-key",
    ),
    (
        "nothing",
        "Bearer with nothing after it is taken for no header",
        changing(lambda said: None if said.strip() == "Bearer" else said),
        "auth.header.no-key",
    ),
    (
        "empty",
        "an empty header is taken for a faulty one",
        changing(lambda said: said or "Bearer"),
        "auth.header.empty",
    ),
):
    HEADERS.add(f"auth.read.{_id}", f"{_said[0].upper()}{_said[1:]}.", _header(_change), _clause)

KINDS = (
    SAID,
    HEADERS,
)
