"""The routes of the runtime's shell API, over the sessions of a sandbox."""

from dataclasses import replace
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.http import JsonObject
from sandbox_fakeproxy.runtime.api import BodyFields, Routes, envelope, read_fields
from sandbox_fakeproxy.runtime.command import Command
from sandbox_fakeproxy.runtime.paths import HOME
from sandbox_fakeproxy.runtime.session_errors import directory_not_found, with_session_errors

from .commands import CommandRun, CommandState, WaitLimits
from .output import Snapshot
from .sessions import Session, Sessions, age

_DEFAULT_WAIT = 60  # seconds
_ENTER = "\r"  # as the key sends it; the terminal turns it into a newline
_STRICT_HINT = "Create it first, or omit 'strict' to run in the session's directory."
_LOST_STATE_HINT = (
    "The command ignored Ctrl-C, so everything that ran in the session was killed with its shell."
    " The next command starts in a new shell, in the same directory, without the variables and"
    " functions that were set before."
)


def shell_routes(sessions: Sessions) -> Routes:
    """Return the routes of the shell API for the sessions of a sandbox."""
    api = _ShellApi(sessions)
    sessions_path = "/v1/shell/sessions"
    return {
        "/v1/shell/exec": {"POST": with_session_errors(api.execute)},
        "/v1/shell/view": {"POST": with_session_errors(api.view)},
        "/v1/shell/wait": {"POST": with_session_errors(api.wait)},
        "/v1/shell/write": {"POST": with_session_errors(api.write)},
        "/v1/shell/kill": {"POST": with_session_errors(api.kill)},
        sessions_path: {"GET": with_session_errors(api.list)},
        f"{sessions_path}/create": {"POST": with_session_errors(api.create)},
        f"{sessions_path}/{{id}}": {"DELETE": with_session_errors(api.delete)},
    }


class _ShellApi:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def execute(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        command, session_id = _read_command(body), body.optional_text("id")
        strict, is_async = body.flag("strict"), body.flag("async_mode")
        timeout = body.seconds("timeout", allow_zero=True)
        idle_timeout = body.whole_seconds("no_change_timeout")
        body.check()
        if session_id is not None:
            self._sessions.get(session_id)
        if command.directory is not None and not self._sessions.has_directory(command.directory):
            if strict:
                return directory_not_found(command.directory, _STRICT_HINT)
            command = replace(command, directory=None, keep_links=False)
        session = await self._sessions.session_for_command(session_id)
        run = await self._sessions.start(session, command)
        if is_async:
            started = CommandState("running", Snapshot.of(""))
            return await _command_response("Command started", session, run, started)
        limits = WaitLimits(timeout, idle_timeout or session.idle_timeout)
        state = await self._sessions.wait(session, run, limits)
        return await _command_response("Command executed", session, run, state)

    async def view(self, request: Request) -> Response:
        session = self._sessions.get(await _read_session_id(request))
        session.process_due_events()
        # Taken at one moment, as commands may go on and end while files are read.
        last, status = session.last_run, _status(session)
        exit_code = last and last.exit_code
        outputs = [(run, run.output) for run in session.runs]
        records = [_console_record(run, await output.read()) for run, output in outputs]
        return envelope(
            "Session viewed",
            {
                "output": "".join(map(_format_record, records)),
                "session_id": session.id,
                "status": status,
                "console": records,
                "command": last and last.command.text,
                "exit_code": exit_code,
            },
        )

    async def wait(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        session_id, seconds = body.text("id"), body.seconds("seconds", allow_zero=True)
        body.check()
        session = self._sessions.get(session_id)
        session.process_due_events()
        if session.current_run is not None:
            limits = WaitLimits(_DEFAULT_WAIT if seconds is None else seconds)
            await self._sessions.wait(session, session.current_run, limits)
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
        session = self._sessions.get(await _read_session_id(request))
        has_lost_state = await session.kill()
        code = session.last_run and session.last_run.exit_code
        data = {"status": _status(session), "exit_code": code, "returncode": code}
        return envelope("Command ended", data, hint=_LOST_STATE_HINT if has_lost_state else None)

    async def list(self, _request: Request) -> Response:
        sessions, now = self._sessions.all(), self._sessions.clock.now()
        for session in sessions:
            session.process_due_events()
        return envelope(
            "Sessions listed",
            {"sessions": {session.id: _session_info(session, now) for session in sessions}},
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
        await self._sessions.close(session_id)
        return envelope(f"Session {session_id} ended", None)


def _read_command(body: BodyFields) -> Command:
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


async def _read_session_id(request: Request) -> str:
    body = BodyFields(await read_fields(request))
    session_id = body.text("id")
    body.check()
    return session_id


async def _command_response(
    message: str, session: Session, run: CommandRun, state: CommandState
) -> Response:
    """Return the response with a command's state; the API succeeds also if the command failed."""
    output = await state.output.read()
    return envelope(
        message,
        {
            "session_id": session.id,
            "command": run.command.text,
            "status": state.status,
            "output": output,
            "console": [_console_record(run, output)],
            "exit_code": state.exit_code,
        },
    )


def _console_record(run: CommandRun, output: str) -> JsonObject:
    return {"ps1": _prompt(run), "command": run.command.text, "output": output}


def _format_record(record: JsonObject) -> str:
    return f"{record['ps1']}{record['command']}\n{record['output']}"


def _prompt(run: CommandRun) -> str:
    is_in_home = f"{run.directory}/".startswith(f"{HOME}/")
    directory = "~" + run.directory.removeprefix(HOME) if is_in_home else run.directory
    return f"gem@sandbox:{directory}$ "


def _status(session: Session) -> str:
    """Return the status of the last command; `completed` if there was none to wait for."""
    return session.last_run.status if session.last_run is not None else "completed"


def _session_info(session: Session, now: datetime) -> JsonObject:
    return {
        "working_dir": session.shell.directory,
        "created_at": iso(session.created_at),
        "last_used_at": iso(session.last_used_at),
        "age_seconds": age(session, now),
        "status": _status(session),
        "current_command": session.current_run and session.current_run.command.text,
    }
