"""The runtime's shell API: requests in, a sandbox's sessions behind, answers in its words."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.http import JsonObject
from sandbox_fakeproxy.runtime.api import BodyFields, Routes, envelope, read_fields
from sandbox_fakeproxy.runtime.paths import HOME

from .commands import Command, CommandRun, CommandState, WaitLimits
from .output import Snapshot
from .sessions import (
    NothingRuns,
    Session,
    SessionBusy,
    SessionError,
    SessionNotFound,
    Sessions,
    TooMuchInput,
    age,
)

_DEFAULT_WAIT = 60  # seconds
_ENTER = "\r"  # as the key sends it; the terminal makes a line's end of it
_STATUS: dict[type[SessionError], int] = {
    SessionNotFound: 404,
    SessionBusy: 409,
    NothingRuns: 409,
    TooMuchInput: 409,
}
_LOST = (
    "It did not heed Ctrl-C, so all that ran in the session was killed with its shell."
    " The next command starts in a new shell, in the same directory, without what was set before."
)


def shell_routes(sessions: Sessions) -> Routes:
    """Return the shell API over a sandbox's sessions."""
    api = _ShellApi(sessions)
    listed = "/v1/shell/sessions"
    return {
        "/v1/shell/exec": {"POST": _named(api.execute)},
        "/v1/shell/view": {"POST": _named(api.view)},
        "/v1/shell/wait": {"POST": _named(api.wait)},
        "/v1/shell/write": {"POST": _named(api.write)},
        "/v1/shell/kill": {"POST": _named(api.kill)},
        listed: {"GET": _named(api.list)},
        f"{listed}/create": {"POST": _named(api.create)},
        f"{listed}/{{id}}": {"DELETE": _named(api.delete)},
    }


def _named(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Answer for a fault of the session that a request names."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except SessionError as exc:
            return envelope(str(exc), None, success=False, status=_STATUS[type(exc)], hint=exc.hint)

    return answer


class _ShellApi:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def execute(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        asked, session_id = _command(body), body.optional_text("id")
        strict = body.flag("strict", default=False)
        at_once = body.flag("async_mode", default=False)
        timeout = body.seconds("timeout", allow_zero=True)
        idle_timeout = body.whole_seconds("no_change_timeout")
        body.check()
        if session_id is not None:
            self._sessions.get(session_id)
        if asked.directory is not None and not self._sessions.has_directory(asked.directory):
            if strict:
                message = f"Directory not found: {asked.directory}"
                hint = "Make it first, or leave strict out to run in the session's directory."
                return envelope(message, None, success=False, status=400, hint=hint)
            asked = Command(asked.text, asked.hard_timeout, asked.truncate)
        session = await self._sessions.for_command(session_id)
        run = await self._sessions.start(session, asked)
        if at_once:
            started = CommandState("running", Snapshot.of(""))
            return await _executed("Command started", session, run, started)
        limits = WaitLimits(timeout, idle_timeout or session.idle_timeout)
        answer = await self._sessions.wait(session, run, limits)
        return await _executed("Command executed", session, run, answer)

    async def view(self, request: Request) -> Response:
        session = self._sessions.get(await _session_id(request))
        session.settle()
        # All of one moment: while a file is read, a command may go on and end.
        run, status = session.run, _status(session)
        exit_code = run and run.exit_code
        written = [(each, each.output) for each in session.runs]
        records = [_record(each, await output.read()) for each, output in written]
        return envelope(
            "Session viewed",
            {
                "output": "".join(map(_shown, records)),
                "session_id": session.id,
                "status": status,
                "console": records,
                "command": run and run.command.text,
                "exit_code": exit_code,
            },
        )

    async def wait(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        session_id, seconds = body.text("id"), body.seconds("seconds", allow_zero=True)
        body.check()
        session = self._sessions.get(session_id)
        session.settle()
        if session.running is not None:
            limits = WaitLimits(_DEFAULT_WAIT if seconds is None else seconds)
            await self._sessions.wait(session, session.running, limits)
        return envelope("Waited", {"status": _status(session)})

    async def write(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        session_id, text = body.text("id"), body.text("input")
        enter = body.required_flag("press_enter")
        body.check()
        session = self._sessions.get(session_id)
        session.write(text + _ENTER if enter else text)
        return envelope("Input written", {"status": _status(session)})

    async def kill(self, request: Request) -> Response:
        session = self._sessions.get(await _session_id(request))
        lost = await session.kill()
        code = session.run and session.run.exit_code
        data = {"status": _status(session), "exit_code": code, "returncode": code}
        return envelope("Command ended", data, hint=_LOST if lost else None)

    async def list(self, _request: Request) -> Response:
        sessions, now = self._sessions.all(), self._sessions.clock.now()
        for session in sessions:
            session.settle()
        return envelope(
            "Sessions listed",
            {"sessions": {session.id: _information(session, now) for session in sessions}},
        )

    async def create(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        session_id, directory = body.path_segment("id"), body.directory("exec_dir")
        idle_timeout = body.whole_seconds("no_change_timeout")
        body.check()
        session = self._sessions.create(session_id, directory, idle_timeout)
        data = {"session_id": session.id, "working_dir": session.shell.directory}
        return envelope("Session created", data)

    async def delete(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        await self._sessions.end(session_id)
        return envelope(f"Session {session_id} ended", None)


def _command(body: BodyFields) -> Command:
    text = body.text("command")
    if "\0" in text:
        body.add_issue("command", "No command line can hold a NUL character", "value_error")
    return Command(
        text,
        body.seconds("hard_timeout"),
        truncate=body.flag("truncate", default=True),
        directory=body.directory("exec_dir"),
        keep_links=body.flag("preserve_symlinks", default=False),
    )


async def _session_id(request: Request) -> str:
    body = BodyFields(await read_fields(request))
    session_id = body.text("id")
    body.check()
    return session_id


async def _executed(
    message: str, session: Session, run: CommandRun, answer: CommandState
) -> Response:
    """Word how a command stands; a command that failed is a success of the API."""
    output = await answer.output.read()
    return envelope(
        message,
        {
            "session_id": session.id,
            "command": run.command.text,
            "status": answer.status,
            "output": output,
            "console": [_record(run, output)],
            "exit_code": answer.exit_code,
        },
    )


def _record(run: CommandRun, output: str) -> JsonObject:
    return {"ps1": _prompt(run), "command": run.command.text, "output": output}


def _shown(record: JsonObject) -> str:
    return f"{record['ps1']}{record['command']}\n{record['output']}"


def _prompt(run: CommandRun) -> str:
    inside = f"{run.directory}/".startswith(f"{HOME}/")
    directory = "~" + run.directory.removeprefix(HOME) if inside else run.directory
    return f"gem@sandbox:{directory}$ "


def _status(session: Session) -> str:
    """Say how the last command stands; where none was, nothing is left to wait for."""
    return session.run.status if session.run is not None else "completed"


def _information(session: Session, now: datetime) -> JsonObject:
    return {
        "working_dir": session.shell.directory,
        "created_at": iso(session.created),
        "last_used_at": iso(session.used),
        "age_seconds": age(session, now),
        "status": _status(session),
        "current_command": session.running and session.running.command.text,
    }
