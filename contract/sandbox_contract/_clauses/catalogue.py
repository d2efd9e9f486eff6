"""Every clause, in the order of a run."""

from .administration import ADMINISTRATION, SELF_SERVICE
from .authentication import AUTHENTICATION
from .clause import clauses_by_id
from .commands import COMMANDS, FILES, SHELL
from .conventions import CONVENTIONS, HEALTH
from .sandboxes import PROFILES, READINESS, SANDBOXES
from .together import HISTORIES, RACES

SECTIONS = (
    HEALTH,
    CONVENTIONS,
    AUTHENTICATION,
    ADMINISTRATION,
    SELF_SERVICE,
    SANDBOXES,
    READINESS,
    PROFILES,
    COMMANDS,
    SHELL,
    FILES,
    RACES,
    HISTORIES,
)
CLAUSES = tuple(clause for section in SECTIONS for clause in section.clauses)
BY_ID = clauses_by_id(CLAUSES)
LAST = "run.end.nothing-left"
