"""Wrong proxies that leave a route open, or one check of it."""

from __future__ import annotations

from .gates import (
    ADMIN_HANDLERS,
    BOX_HANDLERS,
    DEACTIVATED,
    EXPIRED,
    INACTIVE,
    MISSING,
    NOT_ADMIN,
    UNKNOWN,
    USER_HANDLERS,
    Open,
    before,
    forgiving,
    handler_id,
    hasty,
)
from .mutant import Kind

# Routes without a lock ---------------------------------------------------------------------------

SKIPPED = Kind("Authentication skipped on a route")
for _route, _handler in (USER_HANDLERS | BOX_HANDLERS).items():
    SKIPPED.add(
        f"auth.skipped.{handler_id(_handler)}",
        f"{_route} asks for no key.",
        before(_handler, Open),
        "auth.header.missing",
        "auth.key.unknown",
    )
for _route, _handler in ADMIN_HANDLERS.items():
    SKIPPED.add(
        f"auth.skipped.{handler_id(_handler)}",
        f"{_route} asks for no key.",
        before(_handler, Open),
        "auth.admin-header.missing",
        "auth.admin-key.unknown",
    )

HALF = Kind("One check of authentication skipped on a route")
for _id, _handler, _said, _message, _clause in (
    ("revoked", "Sandboxes.delete", "A revoked key still deletes sandboxes", INACTIVE, "revoked"),
    ("revoked", "Sandboxes.get", "A revoked key still shows sandboxes", INACTIVE, "revoked"),
    ("revoked", "Forwarding.forward", "A revoked key still runs commands", INACTIVE, "revoked"),
    ("expired", "Sandboxes.pause", "An expired key still pauses sandboxes", EXPIRED, "expired"),
    ("expired", "SelfService.create_key", "An expired key still makes keys", EXPIRED, "expired"),
    ("unknown", "Sandboxes.resume", "Any key resumes any sandbox", UNKNOWN, "unknown"),
    ("unknown", "SelfService.list_keys", "Any key lists somebody's keys", UNKNOWN, "unknown"),
    ("missing", "Sandboxes.list", "Without a header, sandboxes are listed", MISSING, "missing"),
):
    HALF.add(
        f"auth.{_id}.{handler_id(_handler)}",
        f"{_said}.",
        before(_handler, forgiving(_message)),
        f"auth.{'header' if _id == 'missing' else 'key'}.{_clause}",
    )
for _handler in ("Forwarding.forward", "Sandboxes.create", "SelfService.show"):
    HALF.add(
        f"auth.deactivated.{handler_id(_handler)}",
        f"The key of a user who was deactivated still opens {_handler}.",
        before(_handler, forgiving(DEACTIVATED)),
        "auth.user.deactivated",
    )
for _handler in ("Administration.delete_user", "Administration.create_key"):
    HALF.add(
        f"auth.any-key.{handler_id(_handler)}",
        f"Any key opens {_handler}.",
        before(_handler, forgiving(NOT_ADMIN)),
        "auth.admin-key.unknown",
        "auth.admin-key.user",
    )


# Performed all the same -------------------------------------------------------------------------

TOO_LATE = Kind("A refusal that comes when the deed is done")
for _handler in ("Sandboxes.delete", "Sandboxes.pause", "Sandboxes.resume"):
    TOO_LATE.add(
        f"auth.refused-too-late.{handler_id(_handler)}",
        f"Without a key, {_handler} is refused, and done all the same.",
        before(_handler, hasty(MISSING, UNKNOWN)),
        "auth.refused.changes-nothing",
    )
TOO_LATE.add(
    "auth.refused-too-late.revoked",
    "With a revoked key, a sandbox is refused, and made all the same.",
    before("Sandboxes.create", hasty(INACTIVE)),
    "auth.refused.changes-nothing",
)
TOO_LATE.add(
    "auth.refused-too-late.exec",
    "A command without a key is refused, and runs all the same.",
    before("Forwarding.forward", hasty(MISSING, UNKNOWN)),
    "auth.refused.changes-nothing",
)
TOO_LATE.add(
    "auth.refused-too-late.create-user",
    "Without the admin key, a user is refused, and made all the same.",
    before("Administration.create_user", hasty(MISSING, NOT_ADMIN)),
    "auth.admin-refused.changes-nothing",
)

KINDS = (
    SKIPPED,
    HALF,
    TOO_LATE,
)
