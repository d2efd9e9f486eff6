"""Read and check the output of the scripts of `sandbox_scripts`; pure.

The sandbox is not trusted: only ids, numbers and fixed words of an answer are used.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sandbox_client.errors import RepositoryRefused, WorkRefused
from sandbox_client.text import last_line

from .git import is_id
from .names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Checked:
    """The content of a directory in a sandbox: `state` is absent, empty, ours or occupied.

    `sent` is empty if nothing arrived completely. `owner` identifies the repository that was sent.
    `has_program` is False if a program was asked for and is not there.
    """

    git: str
    state: str
    head: str
    sent: str
    has_work: bool
    owner: str = ""
    has_program: bool = True
    keeps_modes: bool = True


@dataclass(frozen=True)
class Received:
    """The commit that the sandbox has checked out, and whether its file system keeps modes."""

    head: str
    keeps_modes: bool


@dataclass(frozen=True)
class Exported:
    """The work as a bundle in the sandbox; `size` is 0 if there is nothing new.

    `branches` is the number of those that are not checked out, `inner` that of repositories within
    the directory that are not of its repository.
    """

    tip: str
    head: str
    left_uncommitted: bool
    size: int
    sha256: str
    commits: int
    branches: int
    stashes: int
    inner: int


_ELSEWHERE = (
    "Name another one with {push --directory DIR}. Or remove that one with {run}, if nothing in it"
    " is needed any more."
)
_COPY = "Files of it can be copied with `remote-sandbox cp`."
_PROGRAM = "the sandbox: an agent, or another program, works there; nothing here was changed."
_SANDBOX = "the sandbox, or its directory; the repository on this machine was not changed."
_IMAGE = "the sandbox's image; nothing was sent or fetched."
_NEW_GIT = (
    "Create a sandbox from an image that has git 2.25 or newer, or copy files with"
    " `remote-sandbox cp`."
)


class _Reason(NamedTuple):
    """The error for a reason that a script gives; `{again}` is the verb that was to be done."""

    message: str
    advice: str
    cause: str = _SANDBOX


_REFUSALS: Mapping[str, _Reason] = {
    "no-git": _Reason("The sandbox has no git", _NEW_GIT, _IMAGE),
    "old-git": _Reason("The git of the sandbox is too old", _NEW_GIT, _IMAGE),
    "occupied": _Reason(
        "The directory in the sandbox has files that were not sent from here", _ELSEWHERE
    ),
    "other": _Reason(
        "The directory in the sandbox has another repository, or another copy of this one",
        _ELSEWHERE,
    ),
    "another": _Reason(
        "The sandbox has another push than the last one from here",
        "Fetch work that is to be kept from where it was sent; then send this to another directory"
        " with `remote-sandbox push --directory DIR`, or remove that one with {run}.",
        "a copy of this repository has sent it, or its record in .git/remote-sandbox is gone.",
    ),
    "has-commits": _Reason(
        "The sandbox has commits that were not pulled",
        "Get them with {pull} first.",
        _PROGRAM,
    ),
    "has-changes": _Reason(
        "The sandbox has changes that were not pulled",
        "Get them with {pull} first.",
        _PROGRAM,
    ),
    "in-the-way": _Reason(
        "The sandbox has files or repositories in the way of those that are sent",
        "Rename them with {run}, or fetch them with `remote-sandbox cp` and remove them there; then"
        " send it again with {push}.",
        "the sandbox: git ignores them there, or they are no files of its repository; nothing was"
        " replaced.",
    ),
    "checkout": _Reason(
        "Git in the sandbox cannot check out the commit that was sent",
        "Look at the directory with {run}, such as for a branch with a similar name or a lock of"
        " git; then send it again with {push}. The work there can be fetched with {pull}.",
        "the sandbox: the files and branches there are as they were.",
    ),
    "receiving": _Reason(
        "The repository did not arrive completely in the sandbox",
        "Send it again with {push}, which completes it.",
        "the sandbox: a push to it broke off, or still runs.",
    ),
    "unfinished": _Reason(
        "The sandbox still unpacks an earlier push",
        "Send it again with {push} in some minutes.",
        "the sandbox: it goes on after the end of the program here that sent the push.",
    ),
    "differs": _Reason(
        "The bundle in the sandbox differs from the one that was sent",
        "Send it again with {push}.",
        "the sandbox, or the way to it: the bundle was changed there; nothing was unpacked.",
    ),
    "no-bundle": _Reason(
        "The bundle is not in the sandbox",
        "Send it again with {push}.",
        "the sandbox: a restart has emptied its home, or a program there has removed it.",
    ),
    "busy": _Reason(
        "The files in the sandbox changed while they were read",
        "Repeat it with {again} when the agent writes less.",
        _PROGRAM,
    ),
    "storage": _Reason(
        "Git in the sandbox cannot read a file, or write to its disk",
        "Look with {run} at the permissions and the room there; then repeat it with {again}.",
    ),
    "no-script": _Reason(
        "The home of the sandbox does not keep a file that was written to it",
        "Look at it with {run}; then repeat it with {again}.",
        "the sandbox: it restarts again and again, or a program there empties its home.",
    ),
    "temporary": _Reason(
        "The sandbox cannot make a temporary directory",
        "Look with {run} at /tmp and the room there; then repeat it with {again}.",
    ),
    "directory": _Reason(
        "The directory in the sandbox cannot be used",
        "Look with {run} at its permissions and the room there; then repeat it with {again}.",
    ),
    "gone": _Reason(
        "The directory is not in the sandbox any more",
        "Send it again with {push}. What was not pulled before is lost.",
    ),
    "no-commit": _Reason(
        "The repository in the sandbox has no commit any more",
        f"Look at it with {{run}}: the agent began anew. {_COPY}",
    ),
}
_OF_PULL: Mapping[str, _Reason] = {
    "occupied": _Reason(
        "The directory in the sandbox is not the repository any more that was sent",
        f"Look at it with {{run}}: its .git was removed or replaced. {_COPY}",
    ),
    "other": _Reason(
        "The directory in the sandbox has another repository, or another copy of this one",
        "Fetch the work from the repository that was sent last; {pull --directory DIR} takes"
        " another directory.",
    ),
}


def read_checked(output: str, verb: str = "push") -> Checked:
    """Read the output of `check`, which was run for a push or a pull."""
    fields = read_answer(output, "checked", verb)
    return Checked(
        _text(fields, "git"),
        _text(fields, "state"),
        _commit(fields, "head", optional=True),
        _commit(fields, "sent", optional=True),
        fields.get("has_work") is True,
        _text(fields, "owner"),
        fields.get("program") is not False,
        fields.get("keeps_modes") is not False,
    )


def read_received(output: str) -> Received:
    """Read the output of `receive`."""
    fields = read_answer(output, "received")
    return Received(_commit(fields, "head"), fields.get("keeps_modes") is True)


def read_exported(output: str) -> Exported:
    """Read the output of `export`."""
    fields = read_answer(output, "exported", "pull")
    sha256 = _text(fields, "sha256")
    if not re.fullmatch(r"(?:[0-9a-f]{64})?", sha256):
        raise _unreadable(sha256)
    return Exported(
        _commit(fields, "tip"),
        _commit(fields, "head"),
        fields.get("left_uncommitted") is True,
        _number(fields, "size"),
        sha256,
        _number(fields, "commits"),
        _number(fields, "branches"),
        _number(fields, "stashes"),
        _number(fields, "inner"),
    )


def read_answer(output: str, kind: str, verb: str = "push") -> Mapping[str, object]:
    """Read the JSON object at the end of the output of a script for a push or a pull.

    Raises:
        RepositoryRefused: the script says why it did nothing.
        WorkRefused: there is no such object.
    """
    lines = [line for line in output.splitlines() if line.startswith('{"remote_sandbox":')]
    try:
        fields: Mapping[str, object] = json.loads(lines[-1])
    except (IndexError, ValueError, RecursionError):
        raise _unreadable(last_line(output) or "it printed nothing") from None
    if fields.get("remote_sandbox") == "refused":
        raise refusal(_text(fields, "reason"), _text(fields, "detail"), verb)
    if fields.get("remote_sandbox") != kind:
        raise _unreadable(lines[-1])
    return fields


def refusal(reason: str, detail: str = "", verb: str = "push") -> RepositoryRefused:
    """Return the error for a reason that a script gives during a push or a pull."""
    unknown = _Reason(
        f"Git in the sandbox failed ({shown(reason, 20)})",
        "Look at its disk and at the directory with {run}, then repeat it with {again}.",
    )
    found = (_OF_PULL if verb == "pull" else _REFUSALS).get(reason) or _REFUSALS.get(reason)
    known = found or unknown
    message = f"{known.message}: {shown(detail.strip())}" if detail.strip() else known.message
    advice = known.advice.replace("{again}", f"{{{verb}}}")
    return RepositoryRefused(message, advice=advice).but(cause=known.cause)


def no_program(program: str) -> RepositoryRefused:
    """Return the error for a sandbox that lacks a program, such as that of an agent."""
    return RepositoryRefused(
        f"The sandbox has no program '{shown(program, 60)}'",
        advice="Install it there, create a sandbox from an image that has it, or name another agent"
        " in agentCommand of the configuration.",
    ).but(cause="the sandbox's image; nothing was sent.")


def _unreadable(text: str) -> WorkRefused:
    return WorkRefused(
        f"A script in the sandbox ended without a readable answer: {shown(text, 100)}",
        advice="Check with {run} that the sandbox's shell and disk work, then try again.",
    ).but(cause="the sandbox: its shell was ended, has no room, or is not what it should be.")


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _unreadable(f"{name} is {value!r}")
    return value


def _commit(fields: Mapping[str, object], name: str, *, optional: bool = False) -> str:
    value = _text(fields, name)
    if not is_id(value) and not (optional and not value):
        raise _unreadable(f"{name} is {value!r}")
    return value
