"""Users and keys: the administrator's routes, and a user's own."""

from .clause import Need, Section

ADMINISTRATION = Section("Administration")
_rule, _bug = ADMINISTRATION.rule, ADMINISTRATION.bug
_CREATE = "POST /api/admin/users"
_rule("admin.user-create.reply", _CREATE, "A user is made with 201 and shown.", Need.ADMIN)
_rule("admin.user-create.without-email", _CREATE, "A user needs no e-mail address.", Need.ADMIN)
_rule(
    "admin.user-create.username-required",
    _CREATE,
    "A user without a username is 400, and the message says what is required.",
    Need.ADMIN,
)
_rule("admin.user-create.taken", _CREATE, "A username that is taken is 409.", Need.ADMIN)
_rule(
    "admin.user-create.longest",
    "usernames",
    "A username of 58 characters, and one that starts with a digit, is taken.",
    Need.ADMIN,
)
_rule(
    "admin.user-create.longest-email",
    "e-mail over 255",
    "An e-mail address of 255 characters is taken.",
    Need.ADMIN,
)
_bug(
    "admin.user-create.no-label",
    "usernames",
    "A username that is no DNS label is 400.",
    Need.ADMIN,
)
_bug(
    "admin.user-create.too-long",
    "usernames",
    "A username of 59 to 63 characters, whose namespace would be no label, is 400.",
    Need.ADMIN,
)
_bug(
    "admin.user-create.long-email",
    "e-mail over 255",
    "An e-mail address over 255 characters is 400.",
    Need.ADMIN,
)
_LIST = "GET /api/admin/users"
_rule("admin.user-list.reply", _LIST, "Users are listed with what is shown of each.", Need.ADMIN)
_rule("admin.user-list.count", _LIST, "The list of users carries their count.", Need.ADMIN)
_rule("admin.user-list.newest-first", _LIST, "Users are listed newest first.", Need.ADMIN)
_rule(
    "admin.user-list.active-only",
    _LIST,
    "With active_only=true, users who were deactivated are left out.",
    Need.ADMIN,
)
_rule(
    "admin.user-list.admin",
    "a user named admin",
    "A user named admin exists from the start.",
    Need.ADMIN,
)
_GET = "GET /api/admin/users/:id"
_rule("admin.user-get.reply", _GET, "A user is shown by id.", Need.ADMIN)
_rule("admin.user-get.unknown", _GET, "An id that no user has is 404.", Need.ADMIN)
_bug("admin.user-get.bad-id", "a non-UUID id", "A user's id that is no UUID is 400.", Need.ADMIN)
_PUT = "PUT /api/admin/users/:id"
_rule("admin.user-update.reply", _PUT, "A user's e-mail is changed and shown.", Need.ADMIN)
_rule("admin.user-update.kept", _PUT, "What was changed of a user stays changed.", Need.ADMIN)
_rule("admin.user-update.nothing", _PUT, "An empty object changes nothing.", Need.ADMIN)
_rule(
    "admin.user-update.updated-at",
    _PUT,
    "updated_at moves on with a change, and not without one.",
    Need.ADMIN,
)
_DELETE = "DELETE /api/admin/users/:id"
_bug("admin.user-delete.reply", _DELETE, "Deleting a user is 200.", Need.ADMIN)
_rule("admin.user-delete.gone", _DELETE, "A user who was deleted is gone: 404.", Need.ADMIN)
_rule("admin.user-delete.again", _DELETE, "Deleting a user again is 404.", Need.ADMIN)
_rule("admin.user-delete.others-stay", _DELETE, "Deleting one user leaves the others.", Need.ADMIN)
_rule(
    "admin.user-delete.frees-username",
    _DELETE,
    "The username of a user who was deleted can be had again, by a user of another id.",
    Need.ADMIN,
)
_bug(
    "admin.user-delete.takes-sandboxes",
    "orphaned resources",
    "Deleting a user takes the sandboxes along: their names are free for who has that name next.",
    Need.ADMIN,
)
_KEY = "POST /api/admin/users/:id/apikeys"
_rule("admin.key-create.reply", _KEY, "A user's key is made with 201 and described.", Need.ADMIN)
_rule(
    "admin.key-create.format",
    "keys",
    "A key is sk_live_ and 32 characters, its prefix the first 12, and no two are the same.",
    Need.ADMIN,
)
_rule("admin.key-create.works", _KEY, "A key that was made works, for that user.", Need.ADMIN)
_rule("admin.key-create.without-name", _KEY, "A key needs neither name nor expiry.", Need.ADMIN)
_rule("admin.key-create.expiry", _KEY, "A key's expiry is shown as it was asked.", Need.ADMIN)
_rule(
    "admin.key-create.offset",
    _KEY,
    "An expiry in another time zone is shown in UTC.",
    Need.ADMIN,
)
_rule(
    "admin.key-create.past-expiry",
    "an expiry in the past",
    "An expiry in the past is accepted, and the key is then expired.",
    Need.ADMIN,
)
_bug(
    "admin.key-create.bad-expiry",
    "a bad expires_at",
    "An expiry that is no time is 400.",
    Need.ADMIN,
)
_bug(
    "admin.key-create.bad-id",
    "a non-UUID id",
    "Making a key for a user's id that is no UUID is 400.",
    Need.ADMIN,
)
_KEYS = "GET /api/admin/users/:id/apikeys"
_rule("admin.key-list.reply", _KEYS, "A user's keys are listed and described.", Need.ADMIN)
_rule("admin.key-list.count", _KEYS, "The list of keys carries their count.", Need.ADMIN)
_rule("admin.key-list.newest-first", _KEYS, "A user's keys are listed newest first.", Need.ADMIN)
_rule("admin.key-list.of-one-user", _KEYS, "Another user's keys are not listed.", Need.ADMIN)
_rule("admin.key-list.revoked", _KEYS, "A revoked key stays listed, as inactive.", Need.ADMIN)
_rule("admin.key-list.last-used", _KEYS, "A key's list says when it was used.", Need.ADMIN)
_rule(
    "admin.key-list.no-secret",
    "the clear key is shown once",
    "No answer but the one that makes a key holds it.",
    Need.ADMIN,
)
_REVOKE = "DELETE /api/admin/apikeys/:keyId"
_rule("admin.key-revoke.reply", _REVOKE, "Revoking a key is 200.", Need.ADMIN)
_rule("admin.key-revoke.again", _REVOKE, "Revoking a key again is 200.", Need.ADMIN)
_rule("admin.key-revoke.one", _REVOKE, "Revoking a key leaves the user's others.", Need.ADMIN)
_rule("admin.key-revoke.unknown", _REVOKE, "An id that no key has is 404.", Need.ADMIN)
_bug("admin.key-revoke.bad-id", "a non-UUID id", "A key's id that is no UUID is 400.", Need.ADMIN)

SELF_SERVICE = Section("Self-service")
_rule, _bug = SELF_SERVICE.rule, SELF_SERVICE.bug
_rule("me.show.reply", "GET /api/me", "A user is told whose key it is.", Need.USER)
_MY_KEY = "POST /api/me/apikeys"
_rule("me.key-create.reply", _MY_KEY, "A user's own key is made with 201 and described.", Need.USER)
_rule(
    "me.key-create.works", _MY_KEY, "A key of one's own making works, for the same user.", Need.USER
)
_rule("me.key-create.expiry", _MY_KEY, "A key's expiry is shown as it was asked.", Need.USER)
_rule(
    "me.key-create.format",
    "keys",
    "A key is sk_live_ and 32 characters, its prefix the first 12, and no two are the same.",
    Need.USER,
)
_rule(
    "me.key-create.offset",
    _MY_KEY,
    "An expiry in another time zone is shown in UTC.",
    Need.USER,
)
_bug("me.key-create.bad-expiry", "a bad expires_at", "An expiry that is no time is 400.", Need.USER)
_MY_KEYS = "GET /api/me/apikeys"
_rule("me.key-list.reply", _MY_KEYS, "One's own keys are listed and described.", Need.USER)
_rule("me.key-list.count", _MY_KEYS, "The list of one's keys carries their count.", Need.USER)
_rule("me.key-list.newest-first", _MY_KEYS, "One's keys are listed newest first.", Need.USER)
_rule("me.key-list.own", _MY_KEYS, "Another user's keys are not listed.", Need.SECOND_USER)
_rule("me.key-list.revoked", _MY_KEYS, "A revoked key stays listed, as inactive.", Need.USER)
_rule(
    "me.key-list.no-secret",
    "the clear key is shown once",
    "No answer but the one that makes a key holds it.",
    Need.USER,
)
_MY_REVOCATION = "DELETE /api/me/apikeys/:keyId"
_rule("me.key-revoke.reply", _MY_REVOCATION, "Revoking one's key is 200.", Need.USER)
_rule("me.key-revoke.again", _MY_REVOCATION, "Revoking one's key again is 200.", Need.USER)
_rule("me.key-revoke.in-use", "revoking the key in use", "A key can revoke itself.", Need.USER)
_rule("me.key-revoke.unknown", _MY_REVOCATION, "An id that no key has is 404.", Need.USER)
_rule(
    "me.key-revoke.others",
    "another user's key",
    "Another user's key is 403, and goes on working.",
    Need.SECOND_USER,
)
_bug("me.key-revoke.bad-id", "a non-UUID id", "A key's id that is no UUID is 400.", Need.USER)
