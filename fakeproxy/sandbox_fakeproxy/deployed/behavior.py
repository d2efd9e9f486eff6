"""The deployed proxy's quirks and bugs: one table, each row below its line of the wire contract.

The lines after § quote the contract's section *As deployed, in detail*, or the section they name.
In everything that is not in the table, the deployed proxy follows the contract.
"""

import re

from sandbox_fakeproxy.api.behavior import Behavior, ErrorResponse
from sandbox_fakeproxy.api.validation import IMAGE_LIMIT
from sandbox_fakeproxy.errors import Quirk
from sandbox_fakeproxy.service import Rules

from .routing import ENDPOINTS

DEPLOYED = Behavior(
    # "An unexpected fault is always 500 `Internal server error` with some backend's text."
    phrases={500: "Internal server error", 413: "Payload Too Large"},
    error_responses={
        # § Routing: "404 bodies also carry an `endpoints` object."
        Quirk.UNKNOWN_ROUTE: ErrorResponse(404, extra={"endpoints": ENDPOINTS}),
        # § Routing: "An unknown route or method under `/api/admin/` with the admin key: 401
        # `Invalid API key`."
        Quirk.UNKNOWN_ADMIN_ROUTE: ErrorResponse(401, "Invalid API key"),
        # § Routing: "A path segment with bad percent-encoding: 500 `Failed to decode param
        # '<segment>'`, with `%00`: 500 `Failed to authorize request`; both after authentication."
        Quirk.BAD_ESCAPE: ErrorResponse(500),
        Quirk.NUL_IN_NAME: ErrorResponse(500, "Failed to authorize request"),
        # § Bodies: "malformed, scalar or null JSON, bad charset, bad gzip, over 100 KB: 500."
        Quirk.MALFORMED_BODY: ErrorResponse(500),
        Quirk.LARGE_BODY: ErrorResponse(500),
        # § Users: "any other non-label, an object, an array, 64 characters or more: 500."
        Quirk.USERNAME: ErrorResponse(500),
        # § Users: "E-mails are not checked, over 255: 500."
        Quirk.EMAIL: ErrorResponse(500),
        # § Users: "`is_active`: other text or numbers 500."
        Quirk.IS_ACTIVE: ErrorResponse(500),
        # § Users: "Any non-UUID id: 500."
        Quirk.ID: ErrorResponse(500),
        # § Users: "DELETE: 500, although the user and the keys are gone."
        Quirk.ORPHANS: ErrorResponse(500),
        # § Keys: "garbage is 500"; a name "over 255 characters is 500."
        Quirk.EXPIRES_AT: ErrorResponse(500),
        Quirk.KEY_NAME: ErrorResponse(500),
        # § Sandbox names: "Not a label, or not a string: 500." "An image that is not a string:
        # 500." And "a username of 59 or more: 500."
        Quirk.SANDBOX_NAME: ErrorResponse(500),
        Quirk.IMAGE: ErrorResponse(500),
        Quirk.NAMESPACE: ErrorResponse(500),
        # § Sandbox names: "500, and the name is spent."
        Quirk.RESERVED: ErrorResponse(500),
        # § Quota: "500, the message holding `exceeded quota`."
        Quirk.QUOTA: ErrorResponse(500, "The sandbox cannot be created: exceeded quota, limit 10"),
        # § Races: "Concurrent creates: one 201, the rest 500. Deletes: one 200, the rest 500, 403
        # or 404 `Sandbox not found` (below `/proxy/` without a `message`). Pause against resume:
        # some 500."
        Quirk.LOST_RACE: ErrorResponse(500),
        Quirk.DELETED_MEANWHILE: ErrorResponse(404, "Sandbox not found"),
        Quirk.DELETED_BELOW_PROXY: ErrorResponse(404, body={"error": "Sandbox not found"}),
        # § Below `/proxy/`: "Paused or refused: 500 `fetch failed`."
        Quirk.PAUSED: ErrorResponse(500, "fetch failed"),
        Quirk.UNREACHABLE: ErrorResponse(500, "fetch failed"),
        # § Readiness: until the runtime answers, "every request below `/proxy/` is 500 `fetch
        # failed`."
        Quirk.NOT_LISTENING: ErrorResponse(500, "fetch failed"),
        # § Below `/proxy/`: "a reply that is not JSON is 500."
        Quirk.NO_JSON: ErrorResponse(500),
        # § Commands (its table): "longer than 300 s: 500 at 301 s."
        Quirk.TIME_LIMIT: ErrorResponse(500, "fetch failed"),
        # § Backend gone: "get and exec 500 `HTTP request failed`, delete 500."
        Quirk.VANISHED: ErrorResponse(500, "HTTP request failed"),
    },
    rules=Rules(
        # § Keys: "`Bearer` with two blanks before the key is 401 `Invalid API key`." The second
        # blank counts as the first character of the key.
        credentials=re.compile(r"Bearer ( *[^ ]+)"),
        # § Sandbox names: "With a dot, or 64-253 characters, or with an image over 512 characters:
        # 500, and the name is spent: it counts against the quota, GET says 403, creating it again
        # 500."
        complete_name=re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
        complete_image_limit=IMAGE_LIMIT,
        # § Users: "A user made again under that name finds its old sandbox names taken: create
        # 500."
        leaves_orphans=True,
        # § Backend gone: "delete 500."
        deletes_vanished=False,
        # § Directories: "a new sandbox of the same name finds the old files."
        keeps_files=True,
        # § Races: the deployed proxy picks either response at random; here the two alternate.
        race_window=0.01,
        deletion_race_quirks=(Quirk.DELETED_MEANWHILE, Quirk.LOST_RACE),
    ),
    # § Users: "A falsy username is 400; a number or `true` is taken as its text." "E-mails are not
    # checked (a number is taken)." "null is stored, `"yes"` is true."
    # § Keys: "`expires_at` as a number (milliseconds, up to 8.64e15, shown as `+275760-09-13T…`) or
    # `true` is taken, `""` is none." "A key's name may be any JSON value and is stored as its
    # text."
    # § Sandbox names: "A leading digit: 201, then `ReconcilerError` for ever."
    # (`initial_failure_mode`) "An image: any text is accepted."
    coerces_fields=True,
    # § Keys: "The user `admin` that exists from the start has an e-mail address."
    admin_email="admin@example.com",
    # § Routing: "Paths match without regard to case." "OPTIONS on a known route with a key: 200,
    # the methods as text and in `Allow`; without one 401; on an unknown one 404." "`OPTIONS
    # /health` is 404." Bodies: "are parsed before anything else, on every route, the unknown and
    # `/health` included, key or no key."
    has_loose_routes=True,
    # § Routing: "JSON answers carry a weak ETag, and `If-None-Match` answers 304."
    sends_etags=True,
    # § Below `/proxy/`: "The path is decoded once (`%2F` is a slash, `%3F` starts a query), the
    # query string and headers are dropped, a body that is not JSON becomes `{}`." "redirects are
    # followed (POST becomes GET), a reply that is not JSON is 500, a JSON scalar passes."
    # § Routing: "HEAD works wherever GET does (not below `/proxy/`, where it is 500)."
    rewrites_forwarded=True,
    # § Commands (its table): "500 at 301 s."
    time_limit=301.0,
    # § Health: "Deployed says connected with the database down."
    checks_database=False,
)
