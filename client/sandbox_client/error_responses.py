"""What a reply outside 2xx means: a no, a page from something before the proxy, a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import (
    AdminKeyRejected,
    AlreadyExists,
    InvalidResponse,
    KeyRejected,
    NoSuchAPI,
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

if TYPE_CHECKING:
    from .api.message import Operation, Reply, Request

_IN_SESSION: set[Operation] = {"execute", "view", "kill"}
_ON_FILES: set[Operation] = {"read file", "write file", "list files"}
_NO_ROUTE = "Not Found"  # FastAPI's words: the runtime's, not the proxy's

COMMAND_MAY_RUN = (
    "The command may have run, or may still be running, in the sandbox: look with {sessions} before"
    " you send it again."
)


def refusal(request: Request, reply: Reply) -> SandboxError:
    """Return the error that a reply outside 2xx means."""
    said = reply.words()
    if 300 <= reply.status < 400:
        return _redirected(reply)
    if reply.status == 401 and said:
        return _key_rejected(said)
    if request.operation == "users" and reply.status == 403 and said:
        return AdminKeyRejected(f"The proxy does not accept the admin key: {said}")
    if reply.status >= 500:
        return _failed(request, reply, said)
    if reply.status == 429:
        return _rate_limited(reply, said or "too many requests")
    if not said:
        return InvalidResponse(f"The proxy answered {reply.status} with {_form(reply)}")
    return _refused(request, reply, said)


def _refused(request: Request, reply: Reply, said: str) -> SandboxError:
    about = f"'{request.sandbox}'"
    if request.operation in _IN_SESSION and "session" in said.lower():
        return _about_session(request, reply, said)
    if reply.status == 409:
        known = f"Sandbox {about} already exists"
        return AlreadyExists(_told(f"The name {about} is taken", said, known))
    if request.operation == "create" and reply.status == 403 and "quota" in said.lower():
        return QuotaReached(f"No room for sandbox {about}: {said}")
    if (reply.status == 404 and said.startswith("Route ")) or not request.sandbox:
        return _misplaced(reply, said)
    if request.operation == "create":
        return _misplaced(reply, said)
    if reply.status == 404 and said == _NO_ROUTE:
        return _no_such_api(request)
    if reply.status in {403, 404}:
        return SandboxNotFound(f"No sandbox {about} of yours: {said}")
    return ProxyRefused(f"The proxy refused the request ({reply.status}): {said}")


def _about_session(request: Request, reply: Reply, said: str) -> SandboxError:
    where = f"Sandbox '{request.sandbox}'"
    if reply.status == 409:
        return SessionBusy(f"{where} cannot take the command now: {said}")
    if reply.status == 404:
        return SessionNotFound(f"{where} has no such session: {said}")
    return ProxyRefused(f"The proxy refused the request ({reply.status}): {said}")


def _no_such_api(request: Request) -> SandboxError:
    part = "file" if request.operation in _ON_FILES else "shell"
    return NoSuchAPI(
        f"The runtime of sandbox '{request.sandbox}' has no {part} API: {_NO_ROUTE}",
        advice=f"Make a sandbox with {{create}} from an image whose runtime has the {part} API.",
    )


def _rate_limited(reply: Reply, said: str) -> SandboxError:
    advice = None
    if reply.retry_after is not None:
        advice = f"Wait {reply.retry_after:g} s, as the proxy asks, then try again."
    return RateLimited(
        f"The proxy asks for fewer requests: {said}", advice=advice, retry_after=reply.retry_after
    )


def _misplaced(reply: Reply, said: str) -> SandboxError:
    if reply.status == 404:
        return InvalidResponse(
            f"The proxy has no such route: {said}",
            advice="Check the path in proxyUrl: the proxy's routes follow it with /api/.",
        )
    return ProxyRefused(f"The proxy refused the request ({reply.status}): {said}")


def _failed(request: Request, reply: Reply, said: str) -> SandboxError:
    if request.operation == "create" and "quota" in said.lower():
        # The deployed proxy answers 500 here.
        return QuotaReached(f"No room for sandbox '{request.sandbox}': {said}")
    if reply.status == 503 and "not ready" in said.lower():
        ours = f"Sandbox '{request.sandbox}' is not ready"
        return NotReady(_told(ours, said, "Sandbox not ready"))
    words = f"The proxy failed ({reply.status}): {said}"
    if not said:
        words = f"The proxy answered {reply.status} with {_form(reply)}"
    if request.operation == "execute":
        return ProxyFailed(words, advice=COMMAND_MAY_RUN, retryable=False, status=reply.status)
    return ProxyFailed(words, retry_after=reply.retry_after, status=reply.status)


def _form(reply: Reply) -> str:
    try:
        reply.json()
    except InvalidResponse:
        return reply.form()
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


def _key_rejected(said: str) -> SandboxError:
    lower = said.lower()
    if "expired" in lower:
        return KeyRejected(_told("The API key has expired", said, "API key has expired"))
    if "account" in lower:
        return KeyRejected(
            _told("The key's user is not active", said, "User account is inactive"),
            advice="Ask the proxy's administrator to activate the user.",
        )
    if "inactive" in lower:
        return KeyRejected(f"The API key was revoked: {said}")
    return KeyRejected(f"The proxy does not know the API key: {said}")


def _told(ours: str, said: str, known: str) -> str:
    """Return our words with the proxy's, unless those are the `known` ones and say no more."""
    return ours if said == known else f"{ours}: {said}"
