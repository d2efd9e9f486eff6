"""What holds on every route, and `/health`."""

from .clause import Need, Section

CONVENTIONS = Section("Conventions")
_rule, _bug, _quirk = CONVENTIONS.rule, CONVENTIONS.bug, CONVENTIONS.quirk

_rule(
    "conventions.error.shape",
    "errors",
    "Every error is a JSON object whose error is the status's phrase and whose message is text.",
    Need.USER,
)
_rule(
    "conventions.reply.json",
    "JSON everywhere",
    "Every answer of the proxy's own says that it is JSON.",
    Need.USER,
)
_rule(
    "conventions.timestamp.format",
    "timestamps",
    "Timestamps are ISO 8601 in UTC with milliseconds and Z.",
    Need.USER,
)
_rule(
    "conventions.path.trailing-slash",
    "trailing slash",
    "A trailing slash changes no answer.",
    Need.USER,
)
_rule(
    "conventions.path.trailing-slash-admin",
    "trailing slash",
    "A trailing slash changes no answer to the administrator.",
    Need.ADMIN,
)
_rule(
    "conventions.name.case-sensitive",
    "sandbox names",
    "A sandbox's name in other letters' case is another sandbox.",
    Need.USER,
)
_rule(
    "conventions.head.as-get",
    "HEAD answers wherever GET does",
    "HEAD is answered wherever GET is, with its status and headers and no body.",
    Need.USER,
)
_rule(
    "conventions.head.admin",
    "HEAD answers wherever GET does",
    "On admin routes, HEAD is answered wherever GET is, with its status and headers and no body.",
    Need.ADMIN,
)
_rule(
    "conventions.order.authentication-first",
    "order of checks",
    "Who has no key hears so before anything about the body.",
)
_rule(
    "conventions.order.ownership-second",
    "order of checks",
    "Who does not own a sandbox hears so before anything about the body.",
    Need.USER,
)
_bug(
    "conventions.order.malformed-after-authentication",
    "malformed JSON without a key",
    "Malformed JSON without a key is 401.",
)
_rule(
    "conventions.unknown-route.open",
    "unknown route",
    "An unknown route outside /api/ and /proxy/<name>/ is 404 and says method and path.",
)
_rule(
    "conventions.unknown-route.api-without-key",
    "unknown route",
    "An unknown route below /api/ is 401 without a key.",
)
_rule(
    "conventions.unknown-route.api",
    "unknown route",
    "An unknown route below /api/ is 404 with a user's key.",
    Need.USER,
)
_rule(
    "conventions.unknown-route.method",
    "unknown route",
    "A method that a path does not take makes an unknown route.",
    Need.USER,
)
_rule(
    "conventions.unknown-route.admin-without-key",
    "unknown route",
    "An unknown route below /api/admin/ is 401 without a key.",
)
_rule(
    "conventions.unknown-route.admin-with-users-key",
    "unknown route",
    "An unknown route below /api/admin/ is 403 with a user's key.",
    Need.USER,
)
_quirk(
    "conventions.unknown-route.admin",
    "unknown route with the admin key",
    "An unknown route below /api/admin/ is 404 with the admin key, or as deployed 401.",
    Need.ADMIN,
)
_rule(
    "conventions.unknown-route.proxy-without-key",
    "unknown route",
    "Any path below /proxy/<name>/ is 401 without a key.",
)
_rule(
    "conventions.unknown-route.bare-proxy",
    "/proxy/<name> with nothing after it",
    "/proxy/<name> with nothing after it is an unknown route.",
)
for _form, _words in {
    "absent": "No body",
    "empty-object": "An empty object",
    "array": "An array",
    "other-type": "A body of another content type than JSON",
}.items():
    _rule(
        f"conventions.body.{_form}",
        "what counts as an empty object",
        f"{_words} counts as an empty object: 400 names the first required field.",
        Need.USER,
    )
_rule(
    "conventions.body.large",
    "100 KB",
    "A body just below 100 KB is read.",
    Need.USER,
)
_rule(
    "conventions.body.utf-8",
    "content types",
    "JSON whose content type says its charset, UTF-8, is read.",
    Need.USER,
)
_bug("conventions.body.too-large", "over 100 KB", "A body over 100 KB is 413.", Need.USER)
_bug("conventions.body.malformed", "malformed JSON", "Malformed JSON is 400.", Need.USER)
_bug("conventions.body.scalar", "a JSON scalar", "A JSON scalar is 400.", Need.USER)
_bug("conventions.body.charset", "bad charset", "JSON in a charset that is none is 400.", Need.USER)

HEALTH = Section("Health")
HEALTH.rule("health.answer.no-key", "GET /health", "GET /health is 200 without a key.")
HEALTH.rule(
    "health.answer.shape",
    "GET /health",
    "GET /health says that status is ok, the time, and that the database is connected.",
)
HEALTH.bug(
    "health.database.down",
    "connected with the database down",
    "With its database down, GET /health does not say that it is connected.",
    Need.OUTAGE,
)
