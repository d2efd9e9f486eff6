"""Requests that a session cannot serve, and their responses; both APIs have sessions."""

from starlette.requests import Request
from starlette.responses import Response

from .api import Handler, envelope


class SessionError(Exception):
    """A request that a session cannot serve; `hint` suggests what to do instead."""

    status = 409
    hint: str | None = None


class NothingRuns(SessionError):
    """Input was sent to a session in which no command runs."""

    hint = "Start a command with exec first, with async_mode or a timeout."

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session {session_id} runs no command that could read input")


class TooMuchInput(SessionError):
    """The command has no room for the input, as earlier input is still unread."""

    hint = "Nothing of it was typed. Let the command read, or kill it."

    def __init__(self, session_id: str, size: int) -> None:
        super().__init__(
            f"Session {session_id} has no room for {size} characters more:"
            " its command does not read what was typed before"
        )


def with_session_errors(handler: Handler) -> Handler:
    """Wrap a handler so that a `SessionError` becomes an error response."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except SessionError as exc:
            return envelope(str(exc), None, success=False, status=exc.status, hint=exc.hint)

    return handle


def directory_not_found(directory: str, hint: str) -> Response:
    """Return the response to a command whose `exec_dir` does not exist."""
    message = f"Directory not found: {directory}"
    return envelope(message, None, success=False, status=400, hint=hint)
