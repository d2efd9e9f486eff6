"""What no single request shows: races, long histories, and what a run leaves behind."""

from .clause import Need, Section

RACES = Section("Races")
_rule, _bug = RACES.rule, RACES.bug
_CREATE, _DELETE = "concurrent creates", "concurrent deletes"
_SCALE = "concurrent pause and resume"
_rule("races.create.one", _CREATE, "Of concurrent creates of one name, one is 201.", Need.USER)
_bug(
    "races.create.others",
    _CREATE,
    "Of concurrent creates of one name, all but one are 409.",
    Need.USER,
)
_rule(
    "races.create.different",
    _CREATE,
    "Concurrent creates of different names are all 201, and all are there.",
    Need.USER,
)
_rule("races.delete.one", _DELETE, "Of concurrent deletes, one is 200.", Need.USER)
_bug("races.delete.others", _DELETE, "Of concurrent deletes, all but one are 403.", Need.USER)
_bug("races.scale.no-fault", _SCALE, "Pause against resume is never 5xx.", Need.USER, Need.WAITING)
_rule(
    "races.scale.legal",
    _SCALE,
    "Pause against resume comes to rest, ready or paused.",
    Need.USER,
    Need.WAITING,
)
_rule(
    "races.quota.held",
    "at most 10 sandboxes a user",
    "Concurrent creates do not pass the quota.",
    Need.USER,
)
_rule(
    "races.create-delete.legal",
    _DELETE,
    "Create against delete answers as some order of the two would.",
    Need.USER,
)
_rule(
    "races.exec-delete.legal",
    _DELETE,
    "Exec against delete answers as some order of the two would.",
    Need.USER,
    Need.WAITING,
    Need.RUNTIME,
)
_rule(
    "races.revoke-use.legal",
    "revoked key",
    "Revoke against use answers as some order of the two would.",
    Need.USER,
)

HISTORIES = Section("The whole")
HISTORIES.rule(
    "model.history.legal",
    "all operations",
    "Whatever users and administrator do in whatever order, each answer follows from those before.",
    Need.USER,
)
HISTORIES.rule(
    "run.end.nothing-left",
    "all operations",
    "This run left nothing: what it made is deleted, and stays so.",
)
