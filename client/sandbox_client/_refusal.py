"""What a reply outside 2xx means: a no, a page from something before the proxy, a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._errors import (
    AlreadyExists,
    BrokenReply,
    KeyRejected,
    NotReady,
    NotYours,
    ProxyFailed,
    ProxyRefused,
    QuotaReached,
    RateLimited,
    SandboxError,
)

if TYPE_CHECKING:
    from ._wire import Reply, Request

COMMAND_MAY_RUN = (
    "The command may have run, or may still be running, in the sandbox: look at its effects before"
    " you send it again. Start long work in the background (nohup COMMAND > log 2>&1 &) and look"
    " at the log with another command."
)


def refusal(request: Request, reply: Reply) -> SandboxError:
    """Return the error that a reply outside 2xx means."""
    said = reply.words()
    if 300 <= reply.status < 400:
        return _redirected(reply)
    if reply.status == 401 and said:
        return _key_rejected(said)
    if reply.status >= 500:
        return _failed(request, reply, said)
    if reply.status == 429:
        return _rate_limited(reply, said or "too many requests")
    if not said:
        return BrokenReply(f"The proxy answered {reply.status} with {_form(reply)}")
    return _refused(request, reply, said)


def _refused(request: Request, reply: Reply, said: str) -> SandboxError:
    about = f"'{request.sandbox}'"
    if reply.status == 409:
        known = f"Sandbox {about} already exists"
        return AlreadyExists(_told(f"The name {about} is taken", said, known))
    if request.verb == "create" and reply.status == 403 and "quota" in said.lower():
        return QuotaReached(f"No room for sandbox {about}: {said}")
    if (reply.status == 404 and said.startswith("Route ")) or request.verb in {"create", "list"}:
        return _misplaced(reply, said)
    if (
        reply.status == 404 and said == "Not Found"
    ):  # FastAPI's words: the runtime's, not the proxy's
        return ProxyRefused(
            f"The runtime of sandbox {about} has no shell to run a command: {said}",
            advice="Make a sandbox with {create} from an image whose runtime has the shell API.",
        )
    if reply.status in {403, 404}:
        return NotYours(f"No sandbox {about} of yours: {said}")
    return ProxyRefused(f"The proxy refused the request ({reply.status}): {said}")


def _rate_limited(reply: Reply, said: str) -> SandboxError:
    advice = None
    if reply.retry_after is not None:
        advice = f"Wait {reply.retry_after:g} s, as the proxy asks, then try again."
    return RateLimited(
        f"The proxy asks for fewer requests: {said}", advice=advice, retry_after=reply.retry_after
    )


def _misplaced(reply: Reply, said: str) -> SandboxError:
    if reply.status == 404:
        return BrokenReply(
            f"The proxy has no such route: {said}",
            advice="Check the path in proxyUrl: the proxy's routes follow it with /api/.",
        )
    return ProxyRefused(f"The proxy refused the request ({reply.status}): {said}")


def _failed(request: Request, reply: Reply, said: str) -> SandboxError:
    if request.verb == "create" and "quota" in said.lower():
        # The deployed proxy answers 500 here.
        return QuotaReached(f"No room for sandbox '{request.sandbox}': {said}")
    if reply.status == 503 and "not ready" in said.lower():
        ours = f"Sandbox '{request.sandbox}' is not ready"
        return NotReady(_told(ours, said, "Sandbox not ready"))
    if said and reply.status == 504 and request.verb == "prompt":
        # Without the proxy's words: some say that the command was killed, and it goes on.
        words = "The command did not end in the time that the proxy waits for (504, time-out)"
        return ProxyFailed(words, advice=COMMAND_MAY_RUN, retryable=False, status=504)
    words = f"The proxy failed ({reply.status}): {said}"
    if not said:
        words = f"The proxy answered {reply.status} with {_form(reply)}"
    if request.verb == "prompt":
        return ProxyFailed(words, advice=COMMAND_MAY_RUN, retryable=False, status=reply.status)
    return ProxyFailed(words, retry_after=reply.retry_after, status=reply.status)


def _form(reply: Reply) -> str:
    try:
        reply.json()
    except BrokenReply:
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
    return BrokenReply(
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
