"""The tree of all public errors of the fake; those that several modules raise are defined here.

Exception
├── APIError                  the proxy's error response: a status and a message
├── Unprocessable             the runtime's error response, 422 (`runtime.api`)
├── SessionError              the runtime's error response for a session (`runtime.session_errors`)
│   ├── SessionNotFound       404, of the terminal API
│   ├── PipeSessionNotFound   404, of the pipe API
│   ├── CommandNotFound       404: no command of the session has this id
│   ├── SessionBusy           409: another command runs in the session
│   ├── NothingRuns           409: no command runs in the session
│   └── TooMuchInput          409: earlier input is still unread
├── FileError                 the runtime's error response for a file (`runtime.files`)
├── FileRejected              a path or a file is not accepted; it becomes a FileError
├── InvalidExpression         a regular expression is malformed; it becomes an Unprocessable
├── RuntimeUnreachable        the runtime has ended: 502 (`runtime.interface`)
├── IncompleteResponse        the rest of a body is missing: the connection is closed
├── AlreadyExists             a name that must be unique is taken: 409
├── CannotStart               `sandbox-fakeproxy serve` exits with 2
│   ├── StoreUnusable         this version cannot read the state
│   ├── DataUnusable          the data directory cannot be used (`serving.data_directory`)
│   ├── ListenerRefused       listening on the address fails or is not allowed (`serving.listener`)
│   └── IsolationUnavailable  jails are required and do not work (`runtime.local.isolation`)
└── ValueError
    ├── UnusableAdminKey      no header can carry the admin key: exit 2
    └── InvalidDocument       a seed or faults are invalid (`control.documents`): exit 2, or 400
"""

from enum import Enum, auto


class Quirk(Enum):
    """Errors that the deployed proxy answers differently, as `deployed.behavior` lists."""

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
    NOT_LISTENING = auto()
    UNREACHABLE = auto()
    NO_JSON = auto()
    TIME_LIMIT = auto()


class APIError(Exception):
    """An error response of the proxy; `quirk` selects the deployed proxy's response instead."""

    def __init__(self, status: int, message: str, quirk: Quirk | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.quirk = quirk


class IncompleteResponse(Exception):
    """A response has begun, and the rest of its body is missing."""


class AlreadyExists(Exception):
    """A name that must be unique is taken."""


class CannotStart(Exception):
    """The fake cannot be started with the given options."""


class UnusableAdminKey(ValueError):
    """The admin key cannot be sent in a header."""


class StoreUnusable(CannotStart):
    """The state on disk cannot be read by this version."""


def vanished_error(name: str) -> APIError:
    """Return the error for a sandbox without a Kubernetes resource."""
    message = f"The resource of sandbox '{name}' has vanished. Delete the sandbox to free its name"
    return APIError(502, message, Quirk.VANISHED)
