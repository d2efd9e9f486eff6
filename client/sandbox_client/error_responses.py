"""The table of errors for responses outside 2xx, by operation, status and message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .errors import (
    AdminKeyRejected,
    AlreadyExists,
    InvalidResponse,
    KeyRejected,
    NoSuchAPI,
    NoSuchFile,
    NotReady,
    ProxyFailed,
    ProxyRefused,
    QuotaReached,
    RateLimited,
    SandboxError,
    SandboxNotFound,
    SessionBusy,
    SessionNotFound,
)
from .text import format_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from .api.message import Operation, Reply, Request

_COMMANDS: Collection[Operation] = ("execute", "view", "kill")
_FILES: Collection[Operation] = ("read file", "write file", "list files")
# Requests that are not about an existing sandbox.
_GENERAL: Collection[Operation] = ("create", "list", "health", "me", "users")
# Requests without any input that a user could change.
_WITHOUT_INPUT: Collection[Operation] = ("list", "health", "me")
# Requests for which a new sandbox of that name is of no use.
_ABOUT_EXISTING: Collection[Operation] = ("pause", "resume", "view", "kill", "list sessions")
_CREATE: Final[tuple[Operation]] = ("create",)
_DELETE: Final[tuple[Operation]] = ("delete",)
_DESCRIBE: Final[tuple[Operation]] = ("describe",)
_USERS: Final[tuple[Operation]] = ("users",)
_SHELL: Collection[Operation] = (*_COMMANDS, "open session", "list sessions", "end session")
_NOT_YOURS = r"sandbox|access|forbidden|^not found$|^no\b"
_NOT_FOUND = "Not Found"  # FastAPI's message for an unknown route: the runtime's, not the proxy's
# The words about a sandbox that does not exist, or is another user's.
_NO_ACCESS = ("You do not have access to this sandbox", "Sandbox not found")
_CHECK_PATH = "Check the path in proxyUrl: the proxy's routes follow it with /api/."
# A list would fail in the same way: it needs the database and the key, too.
_TRY_LATER = "Try again in a while; if it keeps failing, tell the proxy's administrator."
_WITHOUT_API = "Make a sandbox with {create} from an image whose runtime has the %s API."


@dataclass(frozen=True)
class Rule:
    """A row of the table: the error for some operations, statuses and messages of the proxy.

    `said` is a pattern that is searched in the proxy's message, ignoring case: by default any
    message, but not a missing one; {name} in it is the sandbox. In `message`, {said}, {status},
    {name} and {form}, a description of the body, are replaced. If the proxy's message is `known`,
    or one of them, it adds nothing and is left out.
    """

    error: type[SandboxError]
    message: str
    statuses: Container[int]
    said: str = "."
    operations: Collection[Operation] = ()
    known: str | tuple[str, ...] = ""
    advice: str | None = None

    def applies_to(self, request: Request, status: int, said: str) -> bool:
        """Whether the rule is about this response."""
        return (
            status in self.statuses
            and (not self.operations or request.operation in self.operations)
            and re.search(self._pattern(request), said, re.IGNORECASE) is not None
        )

    def _pattern(self, request: Request) -> str:
        return self.said.replace("{name}", re.escape(request.sandbox))


# The words of nginx, Apache and Go for a request without TLS to a port for TLS.
_FOR_HTTPS = re.compile(
    rb"HTTP request was sent to HTTPS port|speaking plain HTTP to an SSL-enabled server port"
    rb"|HTTP request to an HTTPS server"
)
_ANY = range(-1, 1000)  # httpx accepts any number
_SERVER = range(500, 1000)

# The first rule that applies decides.
RULES = (
    Rule(
        AdminKeyRejected,
        "The proxy does not accept the admin key: {said}",
        {401, 403},
        operations=_USERS,
    ),
    Rule(
        KeyRejected,
        "The API key has expired: {said}",
        {401},
        "expired",
        known="API key has expired",
    ),
    Rule(
        KeyRejected,
        "The key's user is not active: {said}",
        {401},
        "account",
        known="User account is inactive",
        advice="Ask the proxy's administrator to activate the user.",
    ),
    Rule(KeyRejected, "The API key was revoked: {said}", {401}, "inactive"),
    Rule(KeyRejected, "The proxy does not know the API key: {said}", {401}),
    Rule(QuotaReached, "No room for sandbox '{name}': {said}", {403}, "quota", _CREATE),
    # The deployed proxy answers 500 if there is no room; a quota that cannot be read is a failure.
    Rule(
        QuotaReached,
        "No room for sandbox '{name}': {said}",
        _SERVER,
        r"exceed\w* (the )?quota|quota\b.* (exceeded|reached|used up)",
        _CREATE,
    ),
    Rule(
        NotReady,
        "Sandbox '{name}' is not ready: {said}",
        {503},
        "^sandbox (service |'?{name}'? )?(is )?not ready",  # not a database, or another sandbox
        known="Sandbox not ready",
    ),
    Rule(ProxyFailed, "The proxy failed ({status}): {said}", _SERVER),
    Rule(ProxyFailed, "The proxy answered {status} with {form}", _SERVER, ""),
    Rule(RateLimited, "The proxy asks for fewer requests: {said}", {429}),
    Rule(RateLimited, "The proxy asks for fewer requests: too many requests", {429}, ""),
    Rule(InvalidResponse, "The proxy answered {status} with {form}", _ANY, "^$"),
    Rule(
        SessionBusy,
        "Sandbox '{name}' cannot take the command now: {said}",
        {409},
        "session",
        _COMMANDS,
    ),
    Rule(
        SessionNotFound, "Sandbox '{name}' has no such session: {said}", {404}, "session", _COMMANDS
    ),
    Rule(
        ProxyRefused,
        "The proxy refused the request ({status}): {said}",
        _ANY,
        "session",
        _COMMANDS,
    ),
    Rule(
        AlreadyExists,
        "The name '{name}' is taken: {said}",
        {409},
        operations=_CREATE,
        known="Sandbox '{name}' already exists",
    ),
    Rule(
        AlreadyExists,
        "The name is taken: {said}",
        {409},
        operations=_USERS,
        advice="Log in again, and give another name.",
    ),
    Rule(
        InvalidResponse, "The proxy has no such route: {said}", {404}, "^Route ", advice=_CHECK_PATH
    ),
    Rule(
        InvalidResponse,
        "The proxy has no such route: {said}",
        {404},
        operations=_GENERAL,
        advice=_CHECK_PATH,
    ),
    Rule(
        InvalidResponse,
        "The proxy refused the request ({status}): {said}",
        _ANY,
        operations=_WITHOUT_INPUT,
    ),
    Rule(
        ProxyRefused,
        "The proxy refused the request ({status}): {said}",
        _ANY,
        operations=_GENERAL,
    ),
    Rule(
        NoSuchAPI,
        "The runtime of sandbox '{name}' has no file API: {said}",
        {404},
        f"^{_NOT_FOUND}$",
        _FILES,
        advice=_WITHOUT_API % "file",
    ),
    Rule(
        NoSuchAPI,
        "The runtime of sandbox '{name}' has no shell API: {said}",
        {404},
        f"^{_NOT_FOUND}$",
        _SHELL,
        advice=_WITHOUT_API % "shell",
    ),
    Rule(
        NoSuchFile,
        "Sandbox '{name}' has no such directory: {said}",
        {400, 404},
        "^directory not found",
        _SHELL,
    ),
    Rule(
        NoSuchAPI,
        "The runtime of sandbox '{name}' does not describe itself: {said}",
        {404},
        f"^{_NOT_FOUND}$",
        _DESCRIBE,
    ),
    Rule(
        SandboxNotFound,
        "No sandbox '{name}' of yours: {said}",
        {403, 404},
        operations=_DELETE,
        known=_NO_ACCESS,
        advice="It may have been deleted before. See yours with {list}.",
    ),
    Rule(
        SandboxNotFound,
        "No sandbox '{name}' of yours: {said}",
        {403, 404},
        _NOT_YOURS,
        _ABOUT_EXISTING,
        known=_NO_ACCESS,
        advice="It may have been deleted, or have another name. See yours with {list}.",
    ),
    # Any other refusal below /proxy/, such as of a blocked request, is not about the owner.
    Rule(
        SandboxNotFound,
        "No sandbox '{name}' of yours: {said}",
        {403, 404},
        _NOT_YOURS,
        known=_NO_ACCESS,
    ),
    Rule(
        ProxyRefused,
        "The proxy refused the request ({status}): {said}",
        {409},
        advice="Something else changes it at this time: look at its state, then try again.",
    ),
    Rule(ProxyRefused, "The proxy refused the request ({status}): {said}", _ANY),
)


def error_from_response(request: Request, reply: Reply) -> SandboxError:
    """Return the error for a response outside 2xx."""
    if 300 <= reply.status < 400:
        return _redirected(reply)
    if reply.status == 400 and _FOR_HTTPS.search(reply.body[:2000]):
        return InvalidResponse(
            "The address in proxyUrl is one for https, and proxyUrl says http",
            advice="Write https:// in proxyUrl.",
        )
    said = reply.message()
    rule = next(each for each in RULES if each.applies_to(request, reply.status, said))
    is_failure = rule.error is ProxyFailed
    return rule.error(
        _message(rule, request, reply, said),
        advice=_advice(rule, request, reply),
        retryable=False if is_failure and request.if_lost else None,
        retry_after=reply.retry_after if rule.error in {ProxyFailed, RateLimited} else None,
        status=reply.status if is_failure else None,
    )


def _message(rule: Rule, request: Request, reply: Reply, said: str) -> str:
    template = rule.message
    known = (rule.known,) if isinstance(rule.known, str) else rule.known
    if said and said in {each.format(name=request.sandbox) for each in known}:
        template = template.removesuffix(": {said}")
    form = "" if said else _form_without_message(reply)
    return template.format(said=said, status=reply.status, name=request.sandbox, form=form)


def _advice(rule: Rule, request: Request, reply: Reply) -> str | None:
    if rule.error is RateLimited and reply.retry_after is not None:
        return f"Wait {format_duration(reply.retry_after)}, as the proxy asks, then try again."
    if rule.error is ProxyFailed and request.if_lost:
        return f"{request.if_lost} If it keeps failing, tell the administrator."
    if rule.error is ProxyFailed and reply.retry_after:
        wait = f"Wait {format_duration(reply.retry_after)}, as the proxy asks, then try again"
        return f"{wait}; if it keeps failing, tell the administrator."
    if rule.error is ProxyFailed and request.operation in _GENERAL:
        return _TRY_LATER
    return rule.advice


def _form_without_message(reply: Reply) -> str:
    try:
        reply.json()
    except InvalidResponse:
        return reply.describe_body()
    return "JSON that holds no message"


def _redirected(reply: Reply) -> SandboxError:
    try:
        target = urlsplit(reply.location)
        where = (
            f" to {reply.clean(f'{target.scheme}://{target.hostname}')}" if target.hostname else ""
        )
    except ValueError:
        where = ""
    return InvalidResponse(
        f"The proxy answered a redirect ({reply.status}){where}, which is not followed: the key"
        " goes to proxyUrl and nowhere else",
        advice="Put the address that really answers into proxyUrl, with https:// if it asks so.",
    )
