"""Wrong proxies that leave a route open, or one check of it."""

from __future__ import annotations

from .gates import (
    ADMIN_ROUTES,
    BOX_ROUTES,
    DEACTIVATED,
    EXPIRED,
    INACTIVE,
    MISSING,
    NOT_ADMIN,
    UNKNOWN,
    USER_ROUTES,
    Open,
    forgiving,
    hasty,
    on_route,
    route_id,
)
from .mutant import Kind

# Routes without a lock ---------------------------------------------------------------------------

SKIPPED = Kind("Authentication skipped on a route")
for _name, _route in (USER_ROUTES | BOX_ROUTES).items():
    SKIPPED.add(
        f"auth.skipped.{route_id(_name)}",
        f"{_route} asks for no key.",
        on_route(_name, Open),
        "auth.header.missing",
        "auth.key.unknown",
    )
for _name, _route in ADMIN_ROUTES.items():
    SKIPPED.add(
        f"auth.skipped.{route_id(_name)}",
        f"{_route} asks for no key.",
        on_route(_name, Open),
        "auth.admin-header.missing",
        "auth.admin-key.unknown",
    )

HALF = Kind("One check of authentication skipped on a route")
for _id, _name, _said, _message, _clause in (
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
        f"auth.{_id}.{route_id(_name)}",
        f"{_said}.",
        on_route(_name, forgiving(_message)),
        f"auth.{'header' if _id == 'missing' else 'key'}.{_clause}",
    )
for _name in ("Forwarding.forward", "Sandboxes.create", "SelfService.show"):
    HALF.add(
        f"auth.deactivated.{route_id(_name)}",
        f"The key of a user who was deactivated still opens {_name}.",
        on_route(_name, forgiving(DEACTIVATED)),
        "auth.user.deactivated",
    )
for _name in ("Administration.delete_user", "Administration.create_key"):
    HALF.add(
        f"auth.any-key.{route_id(_name)}",
        f"Any key opens {_name}.",
        on_route(_name, forgiving(NOT_ADMIN)),
        "auth.admin-key.unknown",
        "auth.admin-key.user",
    )


# Performed all the same -------------------------------------------------------------------------

TOO_LATE = Kind("A refusal that comes when the deed is done")
for _name in ("Sandboxes.delete", "Sandboxes.pause", "Sandboxes.resume"):
    TOO_LATE.add(
        f"auth.refused-too-late.{route_id(_name)}",
        f"Without a key, {_name} is refused, and done all the same.",
        hasty(_name, MISSING, UNKNOWN),
        "auth.refused.changes-nothing",
    )
TOO_LATE.add(
    "auth.refused-too-late.revoked",
    "With a revoked key, a sandbox is refused, and made all the same.",
    hasty("Sandboxes.create", INACTIVE),
    "auth.refused.changes-nothing",
)
for _name in ("SelfService.create_key", "SelfService.revoke_key"):
    TOO_LATE.add(
        f"auth.refused-too-late.{route_id(_name)}",
        f"With a revoked key, {_name} is refused, and done all the same.",
        hasty(_name, INACTIVE),
        "auth.refused.changes-nothing",
    )
TOO_LATE.add(
    "auth.refused-too-late.exec",
    "A command without a key is refused, and runs all the same.",
    hasty("Forwarding.forward", MISSING, UNKNOWN),
    "auth.refused.changes-nothing",
)
TOO_LATE.add(
    "auth.refused-too-late.create-user",
    "Without the admin key, a user is refused, and made all the same.",
    hasty("Administration.create_user", MISSING, NOT_ADMIN),
    "auth.admin-refused.changes-nothing",
)
TOO_LATE.add(
    "auth.refused-too-late.revoke-key",
    "Without the admin key, revoking a key is refused, and done all the same.",
    hasty("Administration.revoke_key", MISSING, NOT_ADMIN),
    "auth.admin-refused.changes-nothing",
)

KINDS = (
    SKIPPED,
    HALF,
    TOO_LATE,
)
