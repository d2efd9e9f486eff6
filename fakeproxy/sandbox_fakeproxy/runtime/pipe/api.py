"""The routes of the runtime's pipe API, over the pipe sessions of a sandbox."""

import signal

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.http import JsonObject
from sandbox_fakeproxy.runtime.api import BodyFields, Routes, envelope, read_fields
from sandbox_fakeproxy.runtime.command import Command
from sandbox_fakeproxy.runtime.session_errors import directory_not_found, with_session_errors

from .commands import PipeCommand
from .sessions import PipeSession, PipeSessions

_OUTPUT_LIMIT = 50_000  # characters of each stream in the response to `exec`
_WAIT_TIMEOUT = 30.0  # seconds
_SIGNALS = {each.name: each for each in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)}
_DIRECTORY_HINT = "Create it first, or omit 'exec_dir' to run in the session's directory."


def pipe_routes(sessions: PipeSessions) -> Routes:
    """Return the routes of the pipe API for the sessions of a sandbox."""
    api = _PipeApi(sessions)
    sessions_path = "/v1/bash/sessions"
    return {
        "/v1/bash/exec": {"POST": with_session_errors(api.execute)},
        "/v1/bash/output": {"POST": with_session_errors(api.output)},
        "/v1/bash/write": {"POST": with_session_errors(api.write)},
        "/v1/bash/kill": {"POST": with_session_errors(api.kill)},
        sessions_path: {"GET": with_session_errors(api.list)},
        f"{sessions_path}/create": {"POST": with_session_errors(api.create)},
        f"{sessions_path}/{{id}}/close": {"POST": with_session_errors(api.close)},
    }


class _PipeApi:
    def __init__(self, sessions: PipeSessions) -> None:
        self._sessions = sessions

    async def execute(self, request: Request) -> Response:
        body = BodyFields(await _read_fields(request))
        command, session_id = _read_command(body), body.path_segment("session_id")
        is_async, timeout = body.flag("async_mode"), body.seconds("timeout", allow_zero=True)
        limit = body.number("max_output_length", minimum=0)
        body.check()
        if command.directory is not None and not self._sessions.has_directory(command.directory):
            return directory_not_found(command.directory, _DIRECTORY_HINT)
        session = self._sessions.create(session_id)
        started = await self._sessions.start(session, command)
        if is_async:
            data = _exec_data(session, started) | {"stdout": "", "stderr": ""}
            return envelope("Command started", data | {"offset": 0, "stderr_offset": 0})
        await self._sessions.wait(session, started, timeout)
        data = _exec_data(session, started)  # of the same moment as the output
        output = await _read_output(started, limit=_OUTPUT_LIMIT if limit is None else limit)
        return envelope("Command executed", data | output)

    async def output(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        session_id, command_id = body.text("session_id"), body.optional_text("command_id")
        offset = body.number("offset", minimum=0) or 0
        stderr_offset = body.number("stderr_offset", minimum=0) or 0
        waits, seconds = body.flag("wait"), body.seconds("wait_timeout", allow_zero=True)
        body.check()
        session = self._sessions.get(session_id)
        command = session.command(command_id)
        if command is None:
            return envelope("Output read", _no_output(session))
        if waits:
            limit = _WAIT_TIMEOUT if seconds is None else seconds
            await self._sessions.wait(
                session,
                command,
                limit,
                lambda: command.stdout.end > offset or command.stderr.end > stderr_offset,
            )
        else:
            command.process_due_events()
        info = {"session_id": session.id, "command": _command_info(command)}
        output = await _read_output(command, offset, stderr_offset)
        return envelope("Output read", info | output)

    async def write(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        session_id, command_id = body.text("session_id"), body.optional_text("command_id")
        text = body.text("input")
        body.check()
        self._sessions.get(session_id).write(command_id, text)
        return envelope("Input written", None)

    async def kill(self, request: Request) -> Response:
        body = BodyFields(await read_fields(request))
        session_id, name = body.text("session_id"), body.choice("signal", *_SIGNALS)
        body.check()
        self._sessions.get(session_id).kill(_SIGNALS[name])
        return envelope(f"{name} sent", None)

    async def list(self, _request: Request) -> Response:
        rows = [_session_row(session) for session in self._sessions.all()]
        return envelope("Sessions listed", rows)

    async def create(self, request: Request) -> Response:
        body = BodyFields(await _read_fields(request))
        session_id, directory = body.path_segment("session_id"), body.directory("exec_dir")
        snapshot = body.directory("snapshot_path")
        body.check()
        session = self._sessions.create(session_id, directory, snapshot)
        return envelope("Session created", _session_row(session))

    async def close(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        self._sessions.close(session_id)
        return envelope(f"Session {session_id} closed", None)


async def _read_fields(request: Request) -> JsonObject:
    """Return the fields of a request, in which an empty session id stands for none."""
    fields = await read_fields(request)
    return {key: value for key, value in fields.items() if (key, value) != ("session_id", "")}


def _read_command(body: BodyFields) -> Command:
    text = body.text("command")
    if "\0" in text:
        body.add_issue("command", "No command line can hold a NUL character", "value_error")
    return Command(
        text,
        body.seconds("hard_timeout"),
        directory=body.directory("exec_dir"),
        env=body.variables("env"),
    )


def _exec_data(session: PipeSession, command: PipeCommand) -> JsonObject:
    return {"session_id": session.id, **_command_info(command)}


def _command_info(command: PipeCommand) -> JsonObject:
    return {
        "command_id": command.id,
        "command": command.command.text,
        "status": command.status,
        "exit_code": command.exit_code,
    }


async def _read_output(
    command: PipeCommand, offset: int = 0, stderr_offset: int = 0, *, limit: int = 0
) -> JsonObject:
    """Return both streams from their offsets on, and the offsets at which to go on."""
    # Both are taken at one moment, as the command may go on while files are read.
    stdout = command.stdout.from_offset(offset)
    stderr = command.stderr.from_offset(stderr_offset)
    return {
        "stdout": await stdout.text(limit),
        "stderr": await stderr.text(limit),
        "offset": stdout.end,
        "stderr_offset": stderr.end,
    }


def _no_output(session: PipeSession) -> JsonObject:
    """Return the output of a session in which no command has run."""
    streams = {"stdout": "", "stderr": "", "offset": 0, "stderr_offset": 0}
    return {"session_id": session.id, **streams, "command": None}


def _session_row(session: PipeSession) -> JsonObject:
    running = session.running
    return {
        "session_id": session.id,
        "status": "ready",
        "working_dir": session.directory,
        "created_at": iso(session.created_at),
        "last_used_at": iso(session.last_used_at),
        "current_command": running[-1].command.text if running else None,
        "command_count": session.command_count,
    }
