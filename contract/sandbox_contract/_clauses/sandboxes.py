"""Sandboxes: made, listed, shown, paused, resumed, deleted, and how they become ready."""

from .clause import Need, Section

SANDBOXES = Section("Sandboxes")
_rule, _bug = SANDBOXES.rule, SANDBOXES.bug
_CREATE = "POST /api/sandboxes"
_rule("sandboxes.create.reply", _CREATE, "A sandbox is made with 201 and shown.", Need.USER)
_rule("sandboxes.create.image", _CREATE, "The image asked for is the sandbox's.", Need.USER)
_rule(
    "sandboxes.create.default-image",
    _CREATE,
    "No image and an empty one mean the proxy's default.",
    Need.USER,
)
_rule(
    "sandboxes.create.unknown-fields",
    _CREATE,
    "Unknown fields, and port, are ignored.",
    Need.USER,
)
_rule(
    "sandboxes.create.name-required",
    "no name",
    "A sandbox without a name is 400, and the message says what is required.",
    Need.USER,
)
_rule("sandboxes.create.duplicate", "a duplicate", "A name one already uses is 409.", Need.USER)
_rule(
    "sandboxes.create.duplicate-changes-nothing",
    "a duplicate",
    "A refused duplicate leaves the sandbox as it was.",
    Need.USER,
    Need.WAITING,
)
_rule(
    "sandboxes.create.name-per-user",
    "names are unique per user",
    "Two users may use the same name, and neither sees the other's sandbox.",
    Need.SECOND_USER,
)
_rule(
    "sandboxes.create.longest-name",
    "the rule for names",
    "A name of 63 characters is taken.",
    Need.USER,
)
_bug(
    "sandboxes.create.no-label",
    "the rule for names",
    "A name that is no DNS label is 400, and the message says the rule.",
    Need.USER,
)
_bug(
    "sandboxes.create.dots",
    "names with dots",
    "A name with dots is 400, and leaves nothing behind.",
    Need.ADMIN,
)
_bug(
    "sandboxes.create.too-long",
    "names of 64 to 253 characters",
    "A name of 64 characters or more is 400, and leaves nothing behind.",
    Need.ADMIN,
)
_bug(
    "sandboxes.create.leading-digit",
    "a name that starts with a digit",
    "A name that starts with a digit is 400.",
    Need.USER,
)
_LIST = "GET /api/sandboxes"
_rule("sandboxes.list.reply", _LIST, "One's sandboxes are listed and described.", Need.USER)
_rule(
    "sandboxes.list.count",
    _LIST,
    "The list of sandboxes, paused ones too, carries their count.",
    Need.USER,
    Need.WAITING,
)
_rule(
    "sandboxes.list.newest-first",
    _LIST,
    "One's sandboxes are listed newest first.",
    Need.USER,
    Need.WAITING,
)
_rule("sandboxes.list.own", _LIST, "Another user's sandbox is not listed.", Need.SECOND_USER)
_rule(
    "sandboxes.list.brief",
    _LIST,
    "The list says neither replicas nor a reason.",
    Need.USER,
)
_rule(
    "sandboxes.list.agrees",
    _LIST,
    "The list says of a sandbox what is said when it is shown.",
    Need.USER,
    Need.WAITING,
)
_GET = "GET /api/sandboxes/:name"
_rule("sandboxes.get.reply", _GET, "A sandbox is shown with its status.", Need.USER)
_rule(
    "sandboxes.get.service",
    "service and serviceFQDN",
    "The service has the sandbox's name, and its address the namespace's too.",
    Need.USER,
    Need.WAITING,
)
_DELETE = "DELETE /api/sandboxes/:name"
_rule("sandboxes.delete.reply", _DELETE, "Deleting a sandbox is 200.", Need.USER)
_rule("sandboxes.delete.gone", _DELETE, "A deleted sandbox is shown nowhere.", Need.USER)
_rule("sandboxes.delete.again", _DELETE, "Deleting a sandbox again is 403.", Need.USER)
_rule("sandboxes.delete.frees-name", _DELETE, "A deleted sandbox's name is free.", Need.USER)
_rule(
    "sandboxes.delete.paused",
    "in any state",
    "A paused sandbox can be deleted.",
    Need.USER,
)
_rule(
    "sandboxes.delete.others-stay",
    _DELETE,
    "Deleting a sandbox leaves the others.",
    Need.USER,
    Need.WAITING,
)
_ISOLATION = "two users may use the same name, in isolation"
_rule(
    "sandboxes.files.per-user",
    _ISOLATION,
    "Two users' sandboxes of one name share no files.",
    Need.SECOND_USER,
    Need.WAITING,
    Need.RUNTIME,
)
_rule(
    "sandboxes.files.per-sandbox",
    _ISOLATION,
    "Two sandboxes of one user share no files.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_bug(
    "sandboxes.files.of-a-life",
    "after DELETE the files are gone",
    "A sandbox that takes a deleted one's name has none of its files.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_PAUSE = "POST /api/sandboxes/:name/pause"
_rule("sandboxes.pause.reply", _PAUSE, "Pausing is 200 with 0 replicas.", Need.USER)
_rule("sandboxes.pause.again", _PAUSE, "Pausing again is 200 with 0 replicas.", Need.USER)
_rule(
    "sandboxes.pause.others-stay",
    _PAUSE,
    "Pausing a sandbox leaves the others.",
    Need.USER,
    Need.WAITING,
)
_rule(
    "sandboxes.pause.keeps-files",
    "the persistent volume",
    "What is below /sandbox outlasts a pause.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_rule(
    "sandboxes.pause.ends-work",
    "paused",
    "A pause ends what runs in the sandbox, in the background too.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_RESUME = "POST /api/sandboxes/:name/resume"
_rule("sandboxes.resume.reply", _RESUME, "Resuming is 200 with 1 replica.", Need.USER)
_rule("sandboxes.resume.again", _RESUME, "Resuming again is 200 with 1 replica.", Need.USER)
_rule(
    "sandboxes.resume.ready",
    _RESUME,
    "A resumed sandbox becomes ready and runs commands again.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_rule(
    "sandboxes.resume.running",
    _RESUME,
    "Resuming a sandbox that runs leaves it ready, with what runs in it.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_OWNER = "another user's, and one that does not exist"
_rule(
    "sandboxes.ownership.missing",
    _OWNER,
    "A sandbox that does not exist is 403 on every route.",
    Need.USER,
)
_rule(
    "sandboxes.ownership.hidden",
    _OWNER,
    "Another user's sandbox answers on every route as one that does not exist.",
    Need.SECOND_USER,
)
_rule(
    "sandboxes.ownership.untouched",
    _OWNER,
    "What is refused to a stranger leaves the sandbox as it was.",
    Need.SECOND_USER,
    Need.WAITING,
    Need.RUNTIME,
)
_QUOTA = "at most 10 sandboxes a user"
_rule("sandboxes.quota.room", _QUOTA, "A user may have 10 sandboxes.", Need.USER)
_rule("sandboxes.quota.held", _QUOTA, "No user gets an 11th sandbox.", Need.USER)
_rule("sandboxes.quota.paused", "paused ones counted", "A paused one counts.", Need.USER)
_rule(
    "sandboxes.quota.duplicate",
    "the duplicate check comes first",
    "In a full house, a name that is taken is 409.",
    Need.USER,
)
_rule("sandboxes.quota.freed", _QUOTA, "A deleted sandbox makes room for another.", Need.USER)
_rule(
    "sandboxes.quota.per-user",
    _QUOTA,
    "One user's full house leaves room for another user.",
    Need.SECOND_USER,
)
_bug(
    "sandboxes.quota.reply",
    "the 11th",
    "The 11th sandbox is 403, and the message says the quota.",
    Need.USER,
)

READINESS = Section("Readiness")
_rule, _quirk = READINESS.rule, READINESS.quirk
_STATES = "the table of states"
_rule(
    "readiness.created.row",
    "just created",
    "Before the controller has seen a sandbox, its service is pending, and there is no reason.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_quirk(
    "readiness.pending.row",
    "pending",
    "While its pod is pending, a sandbox says so.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_quirk(
    "readiness.starting.row",
    "starting",
    "While its pod starts, a sandbox says so.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_quirk(
    "readiness.ready.row",
    "ready",
    "A sandbox that is ready says so in the words of either controller.",
    Need.USER,
    Need.WAITING,
)
_quirk(
    "readiness.paused.row",
    "paused",
    "A sandbox that is paused says so in the words of either controller.",
    Need.USER,
    Need.WAITING,
)
_quirk(
    "readiness.rows.known",
    _STATES,
    "Every status on the way to ready is one of the table's.",
    Need.USER,
    Need.WAITING,
)
_rule(
    "readiness.rows.forward",
    _STATES,
    "On the way to ready, no status goes back.",
    Need.USER,
    Need.WAITING,
)
_rule(
    "readiness.created.not-ready",
    _STATES,
    "A sandbox that was just made is not ready.",
    Need.USER,
)
_rule(
    "readiness.ready.instant",
    "ready",
    "A sandbox is not ready one tick before its time, and ready at it.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_rule(
    "readiness.resume.instant",
    "resuming",
    "A resumed sandbox is not ready one tick before its time, and ready at it.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_rule(
    "readiness.ready.lasts",
    "ready",
    "A sandbox that is ready stays so for hours.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_rule(
    "readiness.paused.lasts",
    "paused",
    "A sandbox that is paused stays so for hours.",
    Need.USER,
    Need.EXACT_CLOCK,
)
_rule(
    "readiness.change.old-status",
    "state changes are asynchronous",
    "Until the controller has seen a pause or a resume, the old status shows.",
    Need.USER,
    Need.EXACT_CLOCK,
)
PROFILES = Section("Profiles")
PROFILES.quirk(
    "readiness.profile.one",
    "the two controllers",
    "A proxy words ready and paused as one and the same controller.",
    Need.USER,
    Need.WAITING,
)
PROFILES.quirk(
    "readiness.failed.row",
    "failed pod",
    "A sandbox whose pod failed says so in the words of either controller.",
    Need.USER,
    Need.FATES,
)
PROFILES.quirk(
    "readiness.expired.row",
    "expired",
    "A sandbox that has expired says so.",
    Need.USER,
    Need.FATES,
)
PROFILES.quirk(
    "readiness.controller-error.row",
    "controller error",
    "A sandbox that the controller cannot reconcile says so.",
    Need.USER,
    Need.FATES,
)
