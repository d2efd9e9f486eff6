"""The errors of the fake: their tree, and those that several modules raise.

Exception
├── APIError                  the proxy's answer: a status and a message
├── Unprocessable             the runtime's answer, 422 (`runtime.api`)
├── SessionError              the runtime's answer for a session (`runtime.shell.sessions`)
│   ├── SessionNotFound       404
│   ├── SessionBusy           409: another command runs there
│   ├── NothingRuns           409: no command runs there
│   └── TooMuchInput          409: earlier input is still unread
├── FileError                 the runtime's answer for a file, by its `error_type` (`runtime.files`)
├── FileRejected              a path or a file does not fit; it becomes a FileError
├── InvalidExpression         a regular expression is malformed; it becomes an Unprocessable
├── RuntimeUnreachable        the runtime has ended, or ended while it was asked: 502
├── AlreadyExists             a unique name is taken in the store: 409
├── CannotStart               `sandbox-fakeproxy serve` exits with 2
│   ├── StoreUnusable         the state is not of this version
│   ├── DataUnusable          the data directory cannot be used (`serving.data_directory`)
│   ├── ListenerRefused       the address cannot, or must not, be listened on (`serving.listener`)
│   └── IsolationUnavailable  jails are required and do not work (`runtime.local.isolation`)
└── ValueError
    ├── UnusableAdminKey      no header can carry the admin key: exit 2
    └── InvalidDocument       a seed or faults are wrong (`control.documents`): exit 2, or 400
"""

from enum import Enum, auto


class Quirk(Enum):
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
    RESERVED = auto()
    ORPHANS = auto()
    LOST_RACE = auto()
    DELETED_MEANWHILE = auto()
    DELETED_BELOW_PROXY = auto()
    VANISHED = auto()
    PAUSED = auto()
    UNREACHABLE = auto()
    NO_JSON = auto()
    TIME_LIMIT = auto()


class APIError(Exception):
    """An answer other than the one that was asked for."""

    def __init__(self, status: int, message: str, quirk: Quirk | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.quirk = quirk


class AlreadyExists(Exception):
    """A name that must be unique is taken."""


class CannotStart(Exception):
    """The fake cannot be started as it was asked to be."""


class UnusableAdminKey(ValueError):
    """The admin key is one that no request could carry."""


class StoreUnusable(CannotStart):
    """The state on disk cannot be read by this version."""


def vanished(name: str) -> APIError:
    """Return the refusal for a sandbox without a resource."""
    message = f"The resource of sandbox '{name}' has vanished. Delete the sandbox to free its name"
    return APIError(502, message, Quirk.VANISHED)
