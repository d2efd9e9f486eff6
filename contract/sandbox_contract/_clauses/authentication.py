"""Who may pass."""

from .clause import Need, Section

AUTHENTICATION = Section("Authentication")
_rule = AUTHENTICATION.rule

for _id, _row, _sentence in (
    ("missing", "no header", "Without an Authorization header, every user's route is 401."),
    ("empty", "empty header", "With an empty Authorization header, every user's route is 401."),
    ("other-scheme", "another scheme", "With another scheme, every user's route is 401."),
    ("lower-case", "bearer", "The scheme is case-sensitive: bearer is 401 on every user's route."),
    ("bare-key", "a bare key", "A key without a scheme is 401 on every user's route."),
    ("no-key", "Bearer and nothing", "Bearer with nothing after it is 401 on every user's route."),
):
    _rule(f"auth.header.{_id}", _row, _sentence)
_rule(
    "auth.header.blanks-after",
    "blanks after the key",
    "Blanks after the key are stripped: it opens what it opens without them.",
    Need.USER,
)
_rule(
    "auth.admin-header.blanks-after",
    "blanks after the key",
    "Blanks after the admin key are stripped: it opens what it opens without them.",
    Need.ADMIN,
)
_rule(
    "auth.key.unknown",
    "unknown key",
    "A key that nobody was given is 401 on every user's route.",
)
_rule(
    "auth.key.nearly",
    "unknown key",
    "A key that differs from a user's own in one character, in case or length is 401.",
    Need.USER,
)
_rule(
    "auth.key.admin",
    "the admin key",
    "The admin key is 401 on every user's route.",
    Need.ADMIN,
)
_rule(
    "auth.key.deleted-user",
    "key of a deleted user",
    "The key of a user who was deleted is 401 on every user's route.",
    Need.ADMIN,
)
_rule("auth.key.revoked", "revoked key", "A revoked key is 401 on every user's route.", Need.USER)
_rule(
    "auth.key.revoked-first",
    "revoked key (checked first)",
    "A revoked key of a user who was deactivated is refused as revoked.",
    Need.ADMIN,
)
_rule("auth.key.expired", "expired key", "An expired key is 401 on every user's route.", Need.USER)
_rule(
    "auth.key.expires-later",
    "expired key",
    "A key that expires later works until then, and no longer.",
    Need.USER,
    Need.WAITING,
)
_rule(
    "auth.key.expiry-instant",
    "expired key",
    "A key works one tick before it expires, and not at that instant.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_rule(
    "auth.user.deactivated",
    "user deactivated",
    "Every key of a user who was deactivated is 401 on every user's route.",
    Need.ADMIN,
)
_rule(
    "auth.user.reactivated",
    "user deactivated",
    "The key of a user who is active again works again.",
    Need.ADMIN,
)
_rule(
    "auth.refused.changes-nothing",
    "order of checks",
    "What is refused for want of a key that works has no effect.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_rule(
    "auth.admin-header.missing",
    "admin routes: header faults",
    "Without an Authorization header, every admin route is 401.",
)
_rule(
    "auth.admin-header.format",
    "admin routes: header faults",
    "With another scheme, a bare key or no key, every admin route is 401.",
)
_rule(
    "auth.admin-refused.changes-nothing",
    "order of checks",
    "What is refused for want of the admin key has no effect.",
    Need.ADMIN,
)
_rule(
    "auth.admin-key.unknown",
    "admin routes: any other key",
    "A key that nobody was given is 403 on every admin route.",
)
_rule(
    "auth.admin-key.nearly",
    "admin routes: any other key",
    "A key that differs from the admin key in one character, in case or length is 403.",
    Need.ADMIN,
)
_rule(
    "auth.admin-key.user",
    "admin routes: a user's key",
    "A user's key is 403 on every admin route.",
    Need.USER,
)
_rule(
    "auth.secret.hashed",
    "keys are stored as SHA-256",
    "What the proxy stores holds a key's SHA-256 and not the key.",
    Need.USER,
    Need.STORAGE,
)
