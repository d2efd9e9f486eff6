"""The deployed proxy's quirks and bugs: one table.

Each row stands below its source: a heading of docs/wire-contract.md, whose paragraph *As deployed*
says what the row does. In everything that is not in the table, the deployed proxy follows the
contract.
"""

import re

from sandbox_fakeproxy.api.behavior import Behavior, ErrorResponse
from sandbox_fakeproxy.api.validation import IMAGE_LIMIT
from sandbox_fakeproxy.errors import Quirk
from sandbox_fakeproxy.service import Rules

from .routing import ENDPOINTS
from .validation import LABEL

DEPLOYED = Behavior(
    # #errors
    phrases={500: "Internal server error", 413: "Payload Too Large"},
    error_responses={
        # #json
        Quirk.UNKNOWN_ROUTE: ErrorResponse(404, extra={"endpoints": ENDPOINTS}),
        # #unknown-routes
        Quirk.UNKNOWN_ADMIN_ROUTE: ErrorResponse(401, "Invalid API key"),
        # #paths
        Quirk.BAD_ESCAPE: ErrorResponse(500),
        Quirk.NUL_IN_NAME: ErrorResponse(500, "Failed to authorize request"),
        # #malformed-bodies
        Quirk.MALFORMED_BODY: ErrorResponse(500),
        # #large-bodies
        Quirk.LARGE_BODY: ErrorResponse(500),
        # #usernames
        Quirk.USERNAME: ErrorResponse(500),
        Quirk.NAMESPACE: ErrorResponse(500),
        # #e-mail-addresses
        Quirk.EMAIL: ErrorResponse(500),
        # #change-a-user
        Quirk.IS_ACTIVE: ErrorResponse(500),
        # #ids
        Quirk.ID: ErrorResponse(500),
        # #delete-a-user
        Quirk.ORPHANS: ErrorResponse(500),
        # #expiry
        Quirk.EXPIRES_AT: ErrorResponse(500),
        # #create-a-key
        Quirk.KEY_NAME: ErrorResponse(500),
        # #other-names
        Quirk.SANDBOX_NAME: ErrorResponse(500),
        Quirk.RESERVED: ErrorResponse(500),
        # #create-a-sandbox
        Quirk.IMAGE: ErrorResponse(500),
        # #quota-reached
        Quirk.QUOTA: ErrorResponse(500, "The sandbox cannot be created: exceeded quota, limit 10"),
        # #losers-of-a-create, #losers-of-a-delete, #pause-against-resume
        Quirk.LOST_RACE: ErrorResponse(500),
        # #losers-of-a-delete
        Quirk.DELETED_MEANWHILE: ErrorResponse(404, "Sandbox not found"),
        Quirk.DELETED_BELOW_PROXY: ErrorResponse(404, body={"error": "Sandbox not found"}),
        # #paused
        Quirk.PAUSED: ErrorResponse(500, "fetch failed"),
        # #ready-and-listening
        Quirk.NOT_LISTENING: ErrorResponse(500, "fetch failed"),
        # #unreachable-runtimes
        Quirk.UNREACHABLE: ErrorResponse(500, "fetch failed"),
        # #query-strings-headers-and-bodies
        Quirk.NO_JSON: ErrorResponse(500),
        # #time-limit
        Quirk.TIME_LIMIT: ErrorResponse(500, "fetch failed"),
        # #vanished-resources
        Quirk.VANISHED: ErrorResponse(500, "HTTP request failed"),
    },
    rules=Rules(
        # #authorization-header: the second space counts as the first character of the key
        credentials=re.compile(r"Bearer ( *[^ ]+)"),
        # #other-names
        complete_name=LABEL,
        # #create-a-sandbox
        complete_image_limit=IMAGE_LIMIT,
        # #sandboxes-of-a-deleted-user
        leaves_orphans=True,
        # #vanished-resources
        deletes_vanished=False,
        # #files-after-a-delete
        keeps_files=True,
        # #losers-of-a-delete: the deployed proxy picks a response at random; here they alternate
        race_window=0.01,
        deletion_race_quirks=(Quirk.DELETED_MEANWHILE, Quirk.LOST_RACE),
    ),
    # #usernames, #e-mail-addresses, #change-a-user, #create-a-key, #expiry, #create-a-sandbox and
    # #other-names, of which those with a leading digit never become ready (`initial_failure_mode`)
    coerces_fields=True,
    # #list-users
    admin_email="admin@example.com",
    # #paths, #head-and-options, #order-of-checks
    has_loose_routes=True,
    # #json
    sends_etags=True,
    # #forwarded-requests, #query-strings-headers-and-bodies, #head-and-options
    rewrites_forwarded=True,
    # #runtimes-without-pipes
    runtime_api="1.0",
    # #time-limit
    time_limit=301.0,
    # #database-down
    checks_database=False,
)
