"""The error of a push or pull in its own words, with the effect as far as that is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox_client.errors import (
    CommandStateUnknown,
    FileChanged,
    FileRefused,
    InvalidResponse,
    ProxyFailed,
    ProxyUnreachable,
    RepositoryRefused,
    SandboxDeleted,
    SandboxError,
    SandboxNotFound,
    SessionNotFound,
)

from .model import UNPACKING

if TYPE_CHECKING:
    from .transfer import Transfer

_MAY_HAVE_IT = (
    "The sandbox may have it all the same: send it again with {push}, which completes it."
)
_IF_DELETED = (
    "See yours with {list}. If it was deleted, what was pulled is in its branch. What was not is"
    " lost, unless the proxy has kept /sandbox: then a new sandbox of that name has it."
)
_OUTCOME = re.compile(r"the command was not run|nothing was done|the copy ended early")
_TEMPORARY = re.compile(r"(?:[~/][\w./-]*/)?\.remote-sandbox-[0-9a-f]+(?:/[\w.]*\w)*")


def explain(error: SandboxError, transfer: Transfer, verb: str) -> SandboxError:
    """Return the error of a push or pull with its effect, as far as that is known."""
    error, outage = _in_words_of(error, transfer, verb), transfer.files.outage
    if outage.has_answered and isinstance(error, SandboxNotFound):
        return SandboxDeleted.during(transfer.name, f"the {verb} ran")
    if verb == "pull" and isinstance(error, SandboxNotFound):
        return error.but(
            message=f"No sandbox '{transfer.name}' of yours any more: it was deleted, or the API"
            " key is another user's",
            advice=_IF_DELETED,
        )
    is_refused = isinstance(error, RepositoryRefused)
    if transfer.activity == UNPACKING and transfer.may_have_run and not is_refused:
        is_known = not isinstance(error, ProxyUnreachable | ProxyFailed | InvalidResponse)
        more = error.advice if is_known else "If that fails, see whether the proxy works: {check}."
        return error.but(advice=f"{_MAY_HAVE_IT} {more}")
    if isinstance(error, CommandStateUnknown | SessionNotFound):
        return error.but(advice=f"Repeat it with {{{verb}}}: that is safe at any time.")
    if not outage.has_answered or not isinstance(error, ProxyUnreachable | ProxyFailed):
        return error
    return error.but(
        cause=f"the network, or a proxy that was stopped: it had answered this {verb} before.",
        advice=f"Nothing is lost: the {verb} may be repeated at any time, and goes on where it"
        f" broke off. Wait until the proxy answers ({{check}}), then repeat it with {{{verb}}}.",
    )


def _in_words_of(error: SandboxError, transfer: Transfer, verb: str) -> SandboxError:
    """Return the error of a script or a temporary file in the words of the push or pull."""
    nothing = "nothing was fetched" if verb == "pull" else "nothing was sent"
    outcome = f"the {verb} ended early" if transfer.has_sent else nothing
    message = _OUTCOME.sub(outcome, error.message)
    message = _TEMPORARY.sub("a temporary file", message)
    not_done = f"{outcome[0].upper()}{outcome[1:]}." if error.not_done else ""
    if isinstance(error, FileRefused | FileChanged):  # none of them is a file that was asked for
        error = error.but(
            cause="the sandbox: its home, its disk, or a program that ended the script there.",
            advice="Look with {run} at the room on its disk; then repeat it with"
            f" {{{verb}}}, which is safe at any time.",
        )
    return error.but(message=message, not_done=not_done)
