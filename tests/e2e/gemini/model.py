"""A fake of the Gemini API that responds with scripted turns and records each request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

PREFIX = "mcp_remote-sandbox_"  # which Gemini CLI puts before each tool's name


@dataclass(frozen=True)
class ModelRequest:
    """The request for one turn of the model."""

    content: dict[str, Any]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that the model may call."""
        return [
            declared["name"]
            for each in self.content["tools"]
            for declared in each["functionDeclarations"]
        ]

    @property
    def context(self) -> str:
        """The first message, which contains the context files of the extensions."""
        text: str = self.content["contents"][0]["parts"][0]["text"]
        return text

    @property
    def user_text(self) -> str:
        """The last message, if it is a text of the user."""
        text: str = self._last["text"]
        return text

    @property
    def tool_result(self) -> str:
        """The last message, if it is the result or the error of a tool call."""
        response: dict[str, str] = self._last["functionResponse"]["response"]
        (text,) = response.values()
        return text

    @property
    def _last(self) -> dict[str, Any]:
        part: dict[str, Any] = self.content["contents"][-1]["parts"][-1]
        return part


Turn = Callable[[ModelRequest], dict[str, Any]]


def call_tool(tool: str, **arguments: object) -> Turn:
    """Return a turn that calls a tool."""
    return lambda _: {"functionCall": {"name": PREFIX + tool, "args": arguments}}


def say(text: str) -> Turn:
    """Return a turn that prints a text."""
    return lambda _: {"text": text}


def repeat_tool_result(request: ModelRequest) -> dict[str, Any]:
    """A turn that prints the result of the tool call."""
    return {"text": request.tool_result}


class ScriptedModel:
    """The API as an ASGI app, for one conversation."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self._turns: list[Turn] = []
        self.app = Starlette(
            routes=[Route("/v1beta/models/{model}:{method}", self._respond, methods=["POST"])]
        )

    def add_turns(self, *turns: Turn) -> None:
        """Append turns to the script."""
        self._turns.extend(turns)

    async def _respond(self, http: Request) -> Response:
        request = ModelRequest(await http.json())
        match http.path_params["method"]:
            case "streamGenerateContent":
                self.requests.append(request)
                if not self._turns:  # a status that Gemini CLI does not retry
                    return JSONResponse(
                        {"error": {"message": "The script has no further turn"}}, 400
                    )
                event = json.dumps(_candidate(self._turns.pop(0)(request)))
                return Response(f"data: {event}\r\n\r\n", media_type="text/event-stream")
            case "generateContent":  # a request of Gemini CLI itself, such as for a title
                return JSONResponse(_candidate({"text": "A title"}))
            case _:
                return JSONResponse({"totalTokens": 1})


def _candidate(part: dict[str, Any]) -> dict[str, Any]:
    content = {"role": "model", "parts": [part]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}
