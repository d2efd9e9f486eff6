"""The errors of the fake: one place turns them into HTTP, another into an exit code.

Exception
├── Refusal                   the proxy's own answer: a status and a message
├── Unprocessable             the runtime's own answer to a body that does not fit (`runtime.api`)
├── FileFault                 the runtime's own answer to a failed file operation (`runtime.files`)
├── Misfit                    a path or a file that does not fit: a FileFault soon (`runtime.files`)
├── BadExpression             no regular expression (`runtime.files.search`): Unprocessable soon
├── RuntimeUnreachable        the runtime is gone, or went while it was asked (`runtime`): 502
├── AlreadyExists             the store: a unique name is taken: 409
├── StoreUnusable             the state is not one of ours: exit 2
├── DataUnusable              it cannot be kept there (`serving.data_directory`): exit 2
├── ListenerRefused           no listening there (`serving.listener`): exit 2
└── ValueError
    └── UnusableAdminKey      no header can carry it: exit 2
"""

from enum import Enum, auto


class Fault(Enum):
    """Refusals that the deployed proxy answers differently; `deployed` has the answers."""

    MALFORMED_BODY = auto()
    LARGE_BODY = auto()
    UNKNOWN_ROUTE = auto()
    UNKNOWN_ADMIN_ROUTE = auto()
    BAD_ESCAPE = auto()
    NUL_IN_NAME = auto()
    USERNAME = auto()
    EMAIL = auto()
    IS_ACTIVE = auto()
    ID = auto()
    KEY_NAME = auto()
    EXPIRES_AT = auto()
    SANDBOX_NAME = auto()
    IMAGE = auto()
    QUOTA = auto()
    NAMESPACE = auto()
    SPENT = auto()
    ORPHANS = auto()
    LOST_RACE = auto()
    DELETED_MEANWHILE = auto()
    DELETED_BELOW_PROXY = auto()
    VANISHED = auto()
    PAUSED = auto()
    UNREACHABLE = auto()
    NO_JSON = auto()
    TIME_LIMIT = auto()


class Refusal(Exception):
    """An answer other than the one that was asked for."""

    def __init__(self, status: int, message: str, fault: Fault | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fault = fault


class AlreadyExists(Exception):
    """A name that must be unique is taken."""


class UnusableAdminKey(ValueError):
    """The admin key is one that no request could carry."""


class StoreUnusable(Exception):
    """The state on disk cannot be read by this version."""


def vanished(name: str) -> Refusal:
    """Return the refusal for a sandbox without a resource."""
    message = f"The resource of sandbox '{name}' has vanished. Delete the sandbox to free its name"
    return Refusal(502, message, Fault.VANISHED)
