"""Wrong runtimes behind the proxy: sessions, and requests beside a running command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .mutant import Kind
from .rewriting import (
    EXEC,
    INSIDE,
    KILL,
    SHELL,
    VIEW,
    WAIT,
    WRITE,
    answered,
    asked,
    body,
    changing,
    data_of,
    handled,
    losing,
    of_command,
    refused,
    setting,
    status,
    turning,
)

if TYPE_CHECKING:
    from .rewriting import Answer, Held

SESSIONS = f"GET {SHELL}/sessions"

CREATE = f"POST {SHELL}/sessions/create"
DELETE = f"DELETE {SHELL}/sessions/[^/]+"


# Sessions ----------------------------------------------------------------------------------------

SESSION = Kind("Sessions")
for _id, _said, _line, _clauses in (
    ("forget-cd", "forget cd", changing(lambda line: f"({line}\n)"), ("directory", "variables")),
    (
        "forget-directory",
        "forget where they are",
        changing(lambda line: f"cd /; {line}"),
        ("directory",),
    ),
    (
        "forget-variables",
        "forget what was exported",
        changing(lambda line: f"unset CONTRACT; {line}"),
        ("variables",),
    ),
):
    SESSION.add(
        f"shell.session.{_id}",
        f"Sessions {_said}.",
        asked((EXEC, of_command(_line))),
        *(f"shell.session.{clause}" for clause in _clauses),
    )


async def _in_the_first(request: Held) -> Answer:
    listed = data_of(await request.ask("GET", "/v1/shell/sessions"))
    first = next(iter(listed.get("sessions", {})), None)
    if first is None:
        return await request.send()
    return await request.send_fields({"id": first} | request.fields)


SESSION.add(
    "shell.session.one",
    "There is one session, whatever is asked for.",
    handled(EXEC, _in_the_first),
    "shell.session.apart",
    "shell.exec.new-session",
)


async def _made_if_need_be(request: Held) -> Answer:
    answer, session = await request.send(), request.fields.get("id")
    if answer.status != 404 or session is None:
        return answer
    await request.ask("POST", "/v1/shell/sessions/create", {"id": session})
    return await request.send()


SESSION.add(
    "shell.session.made-silently",
    "A command for a session that is not there makes it.",
    handled(EXEC, _made_if_need_be),
    "shell.exec.unknown-session",
    "commands.reply.unchanged",
)


async def _viewed(request: Held, session: object) -> tuple[Answer, dict[str, Any]]:
    """View a session, instead of a change; return the answer, and its data if there are any."""
    answer = await request.ask("POST", "/v1/shell/view", {"id": session})
    return answer, data_of(answer)


async def _not_ended(request: Held) -> Answer:
    session = str(request.scope["path"]).rpartition("/")[2]
    answer, data = await _viewed(request, session)
    if data:
        body(setting("data", None))(answer)
        body(setting("message", f"Session {session} ended"))(answer)
    return answer


SESSION.add(
    "shell.session.not-ended",
    "Ending a session does nothing.",
    handled(DELETE, _not_ended),
    "shell.session.delete",
)


async def _made_anew(request: Held) -> Answer:
    session = request.fields.get("id")
    if isinstance(session, str):
        await request.ask("DELETE", f"/v1/shell/sessions/{session}")
    return await request.send()


SESSION.add(
    "shell.session.made-anew",
    "Making a session again makes it anew.",
    handled(CREATE, _made_anew),
    "shell.session.create",
)
SESSION.add(
    "shell.session.other-id",
    "A session gets another id than it was asked for.",
    asked((CREATE, losing("id"))),
    "shell.session.create",
)
SESSION.add(
    "shell.session.again-409",
    "Making a session again is 409.",
    answered(CREATE, status(409)),
    "shell.session.create",
)
SESSION.add(
    "shell.session.not-listed",
    "No session is listed.",
    answered(SESSIONS, body(setting("data.sessions", {}))),
    "shell.session.listed",
)
for _id, _said, _matches, _clauses in (
    ("exec", "A command", EXEC, ("shell.exec.unknown-session",)),
    ("view", "A view", VIEW, ("shell.unknown.404",)),
    ("wait", "A wait", WAIT, ("shell.unknown.404",)),
    ("write", "Input", WRITE, ("shell.unknown.404",)),
    ("kill", "A kill", KILL, ("shell.unknown.404",)),
    ("delete", "Ending", DELETE, ("shell.unknown.404",)),
):
    SESSION.add(
        f"shell.unknown.{_id}",
        f"{_said} for a session that is not there is 200 without success.",
        answered(_matches, status(200), on=404),
        *_clauses,
    )
SESSION.add(
    "shell.unknown.message",
    "That a session is not there is said otherwise.",
    refused(rf"\w+ {SHELL}/.*", body(setting("message", "No such session"))),
    "shell.unknown.404",
    "shell.exec.unknown-session",
    "shell.session.delete",
)


# Beside a command --------------------------------------------------------------------------------

BESIDE = Kind("View, wait, write and kill")
for _id, _said, _change, _clause in (
    ("nothing", "shows nothing", setting("data.output", ""), "reply"),
    ("no-console", "has an empty console", setting("data.console", []), "reply"),
    ("no-command", "lacks the command", losing("data.command"), "reply"),
    ("no-session", "lacks session_id", losing("data.session_id"), "reply"),
    ("no-exit", "lacks exit_code", losing("data.exit_code"), "reply"),
    ("null", "has null as data", setting("data", None), "reply"),
    ("output-null", "has null as output", setting("data.output", None), "reply"),
    ("running", "says running for ever", setting("data.status", "running"), "reply"),
    ("exit-0", "has exit code 0 always", setting("data.exit_code", 0), "exit-code"),
    ("completed", "says completed too soon", setting("data.status", "completed"), "exit-code"),
):
    BESIDE.add(
        f"shell.view.{_id}",
        f"A view {_said}.",
        answered(VIEW, body(_change)),
        f"shell.view.{_clause}",
    )
BESIDE.add(
    "shell.wait.not",
    "A wait does not wait.",
    asked((WAIT, setting("seconds", 0))),
    "shell.wait.ends",
)
BESIDE.add(
    "shell.wait.status",
    "A wait always says completed.",
    answered(WAIT, body(setting("data.status", "completed"))),
    "shell.wait.limit",
)
BESIDE.add(
    "shell.wait.no-status",
    "A wait does not say how the command stands.",
    answered(WAIT, body(losing("data.status"))),
    "shell.wait.ends",
)


BESIDE.add(
    "shell.wait.half",
    "A wait is over when half of its seconds have passed.",
    asked((WAIT, turning("seconds", lambda seconds: seconds / 2))),
    "shell.wait.limit",
)


async def _to_the_end(request: Held) -> Answer:
    seconds = asyncio.sleep(request.fields.get("seconds", 0))
    answer, _ = await asyncio.gather(request.send(), seconds)
    return answer


BESIDE.add(
    "shell.wait.to-the-end",
    "A wait takes all of its seconds, even if the command has ended.",
    handled(WAIT, _to_the_end),
    "shell.wait.ends",
)


async def _killed_after(request: Held) -> Answer:
    answer = await request.send()
    if data_of(answer).get("status") == "running":
        await request.ask("POST", "/v1/shell/kill", {"id": request.fields["id"]})
    return answer


BESIDE.add(
    "shell.wait.kills",
    "A wait that is over kills the command.",
    handled(WAIT, _killed_after),
    "shell.wait.limit",
)
for _id, _said, _change in (
    ("dropped", "is dropped, but for Enter", setting("input", "")),
    ("first", "loses all but the first word", turning("input", lambda text: text.split()[0])),
    ("upper", "arrives in upper case", turning("input", str.upper)),
    ("twice", "arrives twice", turning("input", lambda text: text * 2)),
):
    BESIDE.add(
        f"shell.write.{_id}",
        f"What is written {_said}.",
        asked((WRITE, _change)),
        "shell.write.input",
    )
BESIDE.add(
    "shell.write.no-enter",
    "press_enter is ignored.",
    # Tests wait only briefly for an answer that never comes.
    asked((WRITE, setting("press_enter", False)), (WAIT, setting("seconds", 0.3))),
    "shell.write.input",
)


async def _not_killed(request: Held) -> Answer:
    answer, data = await _viewed(request, request.fields.get("id"))
    if data:
        code = data["exit_code"]
        said = {"status": data["status"], "exit_code": code, "returncode": code}
        body(setting("data", said))(answer)
        body(setting("message", "Command ended"))(answer)
    return answer


BESIDE.add(
    "shell.kill.not",
    "Killing a command does nothing.",
    handled(KILL, _not_killed),
    "shell.kill.ends",
)
BESIDE.add(
    "shell.kill.running",
    "Killing a command says that it runs.",
    answered(KILL, body(setting("data.status", "running"))),
    "shell.kill.ends",
)
for _field in ("exit_code", "returncode"):
    BESIDE.add(
        f"shell.kill.no-{_field.replace('_', '-')}",
        f"The answer to a kill lacks {_field}.",
        answered(KILL, body(losing(f"data.{_field}"))),
        "shell.kill.ends",
    )

ABOUT = Kind("What a sandbox says about itself")
for _id, _said, _change in (
    ("home", "has another home", setting("home_dir", "/root")),
    ("no-home", "does not say its home", losing("home_dir")),
    ("no-version", "does not say its version", losing("version")),
    ("no-detail", "says no detail", losing("detail")),
    ("wrapped", "says all that below data", changing(lambda said: {"success": True, "data": said})),
):
    ABOUT.add(
        f"shell.about.{_id}",
        f"A sandbox {_said}.",
        answered(f"GET {INSIDE}/v1/sandbox", body(_change)),
        "shell.sandbox.about",
    )

KINDS = (
    SESSION,
    BESIDE,
    ABOUT,
)
