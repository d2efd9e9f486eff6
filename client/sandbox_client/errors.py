"""The tree of errors. Each has a message, a cause, and advice for the next step.

SandboxError
├── ConfigError           the configuration of this machine cannot be used
├── InvalidInput          a name or an argument was refused before any request
│   └── NoSuchPosition    ... an output has not come so far
├── LocalFileError        a file of this machine cannot be read or written
│   └── InputUnreadable   ... standard input for a command
├── FileChanged           a file changed during its copy
├── GitFailed             git on this machine is missing, too old, or failed
├── RepositoryRefused     a repository of this machine cannot be sent, or not be changed
├── WorkRefused           what came back from a sandbox is not safe, or not what was sent for
├── ProxyUnreachable      there was no response
│   ├── NotSent           ... and the request did not reach the proxy
│   │   └── TLSError      ... since TLS failed
│   ├── DeadlineExceeded  ... within the deadline
│   └── CommandStateUnknown  ... to a command, which may have been started
├── InvalidResponse       the response is not what the contract says
├── ProxyFailed           the proxy, or a load balancer before it, answered 5xx
│   └── SandboxUnreadable  ... since it cannot read the sandbox in the cluster
└── ProxyRefused          the proxy refused the request
    ├── KeyRejected       401
    │   └── AdminKeyRejected  403 on an administrator's route
    ├── SandboxNotFound   403 and 404 alike: existence never leaks
    │   └── SandboxDeleted  ... although it was there a moment before
    ├── AlreadyExists     409
    ├── QuotaReached      no room for another sandbox
    ├── RateLimited       429
    ├── NoSuchAPI         the sandbox's runtime does not have the API
    ├── SessionNotFound   the sandbox has no such session, or has it no more
    │   └── SessionLost     ... although it was there a moment before
    ├── SessionBusy       the session runs another command
    ├── FileRefused       the sandbox refused an operation on a file
    │   ├── NoSuchFile    ... it does not exist
    │   ├── FileUnreadable  ... it cannot be read
    │   ├── WrongKind     ... it is a directory instead of a file, or the reverse
    │   └── NotText       ... it is not UTF-8
    └── NotReady          the sandbox cannot run a command now
        ├── Paused        ... until it is resumed
        ├── RuntimeSilent  ... since its runtime does not answer, or not yet
        └── SandboxFailed  ... and waiting does not help
            └── SandboxExpired  ... as its time is over
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from sandbox_client.text import mask_keys

if TYPE_CHECKING:
    from typing import Self


class SandboxError(Exception):
    """An error with its cause and the next step; frozen once it is made.

    `advice` names verbs in braces (`{resume}`); `presentation.errors.next_step` replaces them
    by a tool's name or a command line. `retryable` says that the same request may succeed
    later, `retry_after` in how many seconds if the proxy says so. `status` is the HTTP status.
    `session` is where the command in question runs, and `printed` its output before the error.
    `not_done` says that something was certainly not done.
    """

    cause: str = "unknown."
    advice: str = ""
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        advice: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        status: int | None = None,
        session: str = "",
        printed: str = "",
        not_done: str = "",
    ) -> None:
        self.message = mask_keys(message)
        super().__init__(self.message)
        self.retry_after = retry_after
        self.status = status
        self.session = session
        self.printed = printed
        self.not_done = not_done
        if advice is not None:
            self.advice = advice
        if retryable is not None:
            self.retryable = retryable
        self._is_frozen = True

    def __setattr__(self, name: str, value: object) -> None:
        if getattr(self, "_is_frozen", False) and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} is frozen: use `but` for a changed copy")
        super().__setattr__(name, value)

    def but(
        self,
        *,
        message: str | None = None,
        cause: str | None = None,
        advice: str | None = None,
        session: str | None = None,
        printed: str | None = None,
        not_done: str | None = None,
    ) -> Self:
        """Return a copy with other details."""
        copy = type(self)(
            self.message if message is None else message,
            advice=self.advice if advice is None else advice,
            retryable=self.retryable,
            retry_after=self.retry_after,
            status=self.status,
            session=self.session if session is None else session,
            printed=self.printed if printed is None else printed,
            not_done=self.not_done if not_done is None else not_done,
        )
        object.__setattr__(copy, "cause", self.cause if cause is None else cause)
        copy.__cause__, copy.__traceback__ = self.__cause__, self.__traceback__
        return copy

    @property
    def reason(self) -> str:
        """The message, and how long the proxy asks to wait, if it does."""
        if not self.retry_after:
            return self.message
        return f"{self.message} (the proxy asks to wait {self.retry_after:.0f} s)"


def place_of_fault(error: BaseException) -> str:
    """Return the type and place of an exception, without its message, which may hold a secret."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {place.filename}:{place.lineno}"


class ConfigError(SandboxError):
    """The configuration is missing or cannot be used."""

    cause = "the configuration on this machine; nothing was sent."


class InvalidInput(SandboxError):
    """A name or an argument is invalid."""

    cause = "the request; nothing was sent."


class NoSuchPosition(InvalidInput):
    """A position is after the end of an output."""

    cause = "the request."


class LocalFileError(SandboxError):
    """A file or a directory of this machine cannot be read or written."""

    cause = "the path, or this machine's disk."
    advice = "Check the path, its permissions and the room on the disk, then try again."


class InputUnreadable(LocalFileError):
    """Standard input for a command cannot be read."""

    cause = "standard input here, which is closed or fails."
    advice = "Give --stdin a pipe or a file, or leave it out."


class FileChanged(SandboxError):
    """A file changed during its copy; the copy was discarded."""

    cause = "the file, or its temporary file, was changed or removed while it was copied."
    advice = "Copy it again when nothing writes to it."
    retryable = True


class GitFailed(SandboxError):
    """Git on this machine is missing, too old, or failed."""

    cause = "git on this machine, or the repository that it works on."
    advice = "Run `git fsck` and `git status` in the repository, correct that, then try again."


class RepositoryRefused(SandboxError):
    """A repository of this machine cannot be sent as it is, or not be changed as it was asked."""

    cause = "the repository on this machine, or the request."
    advice = "Change it as the message says, then try again."


class WorkRefused(SandboxError):
    """The work that came back from a sandbox was refused; nothing of the repository was changed."""

    cause = "the content of the repository in the sandbox, which is not trusted."
    advice = (
        "Look at it in the sandbox with {run}, let the agent correct it, then fetch it with {pull}."
    )


class ProxyUnreachable(SandboxError):
    """There was no response."""

    cause = "the network, the proxy's address (proxyUrl), or a proxy that is not running."
    advice = "Check proxyUrl and that the proxy runs (GET /health answers without a key)."
    retryable = True


class NotSent(ProxyUnreachable):
    """The request did not reach the proxy."""


class TLSError(NotSent):
    """The proxy's certificate is not trusted, or the connection has no TLS."""

    retryable = False
    cause = "the proxy's address (proxyUrl), its certificate, or what this machine trusts."


class DeadlineExceeded(ProxyUnreachable):
    """There was no response within the deadline."""

    cause = "the network, or a proxy that is busy or hangs."


class CommandStateUnknown(ProxyUnreachable):
    """A command was sent, and it is unknown whether it was started."""

    retryable = False
    cause = "the network, or the proxy: the response to the command was lost."


class InvalidResponse(SandboxError):
    """The response is not what the contract says."""

    cause = "the proxy, or another server at its address (proxyUrl); not the request."
    advice = "Check that proxyUrl is the sandbox proxy's; if it is, tell its administrator."

    def after_an_answer(self) -> Self:
        """Return the error for a proxy that has answered before: its address is right."""
        return self.but(
            cause="the proxy, or a server in front of it, such as a load balancer: it has answered"
            " before.",
            advice="Try again in a while; if it stays, give the message to the proxy's"
            " administrator.",
        )


class ProxyFailed(SandboxError):
    """The proxy failed; the request may be valid."""

    cause = "the proxy, or the cluster behind it; not the request."
    advice = (
        "Try again in a while; if it keeps failing, give the message to the proxy's administrator."
    )
    retryable = True


class SandboxUnreadable(ProxyFailed):
    """The proxy has the sandbox, and cannot read its resource in the cluster, or has lost it."""

    retryable = False
    cause = "the cluster, where the sandbox's resource is gone or cannot be read; not the request."


class ProxyRefused(SandboxError):
    """The proxy refused the request."""

    cause = "the request."
    advice = "Change the request as the message says."


class KeyRejected(ProxyRefused):
    """The proxy does not accept the API key."""

    cause = "the API key in the configuration."
    advice = (
        "Ask the proxy's administrator for a key, and give it to `remote-sandbox login`, which"
        " checks it and writes it into the configuration."
    )


class AdminKeyRejected(KeyRejected):
    """The proxy does not accept the admin key that was given to make a user or a key."""

    cause = "the admin key that was given."
    advice = (
        "Give the proxy's ADMIN_API_KEY, which its administrator has. A user's key (sk_live_…) goes"
        " to `remote-sandbox login` without --admin."
    )


class SandboxNotFound(ProxyRefused):
    """The sandbox does not exist, or another user owns it: the proxy never says which."""

    cause = "the request: the name, or the API key's owner."
    advice = "See yours with {list}, or make it with {create}."


class SandboxDeleted(SandboxNotFound):
    """The sandbox was found at the beginning of a wait, and not at its end."""

    cause = "a deletion of the sandbox by this user, anybody who has the key, or an administrator."
    advice = "See yours with {list}."

    @classmethod
    def during(cls, name: str, wait: str, *, printed: str = "") -> Self:
        """Return the error for a sandbox that was deleted while `wait`."""
        return cls(
            f"Sandbox '{name}' was deleted while {wait}, or is no longer yours", printed=printed
        )


class AlreadyExists(ProxyRefused):
    """The user has a sandbox of that name."""

    cause = "the request: the name is taken."
    advice = "Use that sandbox, choose another name, or delete it first with {delete}."


class QuotaReached(ProxyRefused):
    """The user has as many sandboxes as the proxy allows; paused ones count."""

    cause = "the request: the quota is used up, and paused sandboxes count."
    advice = "See yours with {list}, and remove one that is no longer needed with {delete}."


class RateLimited(ProxyRefused):
    """The proxy asks for fewer requests."""

    cause = "the request: too many in too short a time."
    advice = "Wait, then try again."
    retryable = True


class NoSuchAPI(ProxyRefused):
    """The sandbox's runtime does not have the API of the request."""


class SessionNotFound(ProxyRefused):
    """The sandbox has no session of that id, or has it no more."""

    cause = "the session's id, or the session has ended."
    advice = (
        "List the sessions with {sessions}. A pause ends every session; an hour without"
        " use ends those of commands with pipes (command-…)."
    )


class SessionLost(SessionNotFound):
    """The session was found at the beginning of a wait, and not at its end."""

    cause = "a restart of the sandbox or of its runtime, or a pause: each ends all commands."
    advice = "Look at the effects of the command before you send it again."


class SessionBusy(ProxyRefused):
    """The session runs another command."""

    cause = "the request: one session runs one command at a time."
    advice = (
        "Wait for its end with {output}, end it with {cancel}, or leave the session out to run"
        " beside it."
    )


class FileRefused(ProxyRefused):
    """The sandbox refused an operation on a file."""

    cause = "the request: the path, or its permissions."
    advice = "List its directory with {files}, or choose another path, such as one below /sandbox."


class NoSuchFile(FileRefused):
    """The sandbox has no file at that path."""

    advice = "List the directory with {files}. A relative path starts at /sandbox."


class FileUnreadable(FileRefused):
    """The sandbox cannot read a file that is there."""


class WrongKind(FileRefused):
    """The path is a directory instead of a file, or the reverse."""

    advice = "List the directory with {files}: it tells files from directories."


class NotText(FileRefused):
    """The file is not UTF-8 text."""

    advice = "Look at it with a command, {run}, or let the person copy it with `remote-sandbox cp`."


class NotReady(ProxyRefused):
    """The sandbox cannot run a command now."""

    cause = "the sandbox is not ready."
    advice = (
        "Wait, ask with {status}, and send it again when it is ready. A new sandbox usually takes"
        " 10 to 30 s, a resumed one 4 to 24 s."
    )
    retryable = True


class Paused(NotReady):
    """The sandbox is paused."""

    retryable = False
    cause = "the sandbox is paused. Its files in /sandbox are kept."
    advice = "Resume it first with {resume}, then try again."


class RuntimeSilent(NotReady):
    """The sandbox is ready by its status, and its runtime does not answer."""

    cause = "the sandbox's runtime, which does not answer yet."
    advice = (
        "Wait some seconds, then send it again: a runtime answers some seconds after its sandbox is"
        " ready. If it stays silent, restart it with {pause} and {resume}, which end its processes."
    )


class SandboxFailed(NotReady):
    """The sandbox has failed or expired: it will not become ready."""

    retryable = False
    cause = "the sandbox's image, or the cluster."
    advice = (
        "Waiting does not help: remove it with {delete} and make it again with {create}; where the"
        " reason does not lie in its image, tell the proxy's administrator."
    )


class SandboxExpired(SandboxFailed):
    """The sandbox has expired: the controller has ended it at its time."""

    cause = "the sandbox's lifetime, which is over."
    advice = "Waiting does not help: remove it with {delete} and make it again with {create}."


# Errors after which the request certainly had no effect. After any other error it may have had one.
NOTHING_DONE = (ConfigError, ProxyRefused, NotSent)
