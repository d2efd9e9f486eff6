"""A stand-in of the model's API: it takes its turns from a script, and keeps each request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request as HTTPRequest

PREFIX = "mcp_remote-sandbox_"  # what Gemini CLI puts before the name of each of our tools


@dataclass(frozen=True)
class Request:
    """What the model was sent for one turn."""

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
        """What it is told before anything is said."""
        text: str = self.content["contents"][0]["parts"][0]["text"]
        return text

    @property
    def said(self) -> str:
        """The words that the turn began with."""
        words: str = self._last["text"]
        return words

    @property
    def received(self) -> str:
        """What the tool answered, or why it did not."""
        response: dict[str, str] = self._last["functionResponse"]["response"]
        (text,) = response.values()
        return text

    @property
    def _last(self) -> dict[str, Any]:
        part: dict[str, Any] = self.content["contents"][-1]["parts"][-1]
        return part


Turn = Callable[[Request], dict[str, Any]]


def call(tool: str, **arguments: object) -> Turn:
    """Return a turn that calls a tool."""
    return lambda _: {"functionCall": {"name": PREFIX + tool, "args": arguments}}


def say(words: str) -> Turn:
    """Return a turn that says something."""
    return lambda _: {"text": words}


def pass_on(request: Request) -> dict[str, Any]:
    """Take a turn that says what the tool has answered."""
    return {"text": request.received}


class ScriptedModel:
    """The model's API as an app, for one conversation."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._turns: list[Turn] = []
        self.app = Starlette(
            routes=[Route("/v1beta/models/{model}:{method}", self._answer, methods=["POST"])]
        )

    def script(self, *turns: Turn) -> None:
        """Say which turns come next."""
        self._turns.extend(turns)

    async def _answer(self, http: HTTPRequest) -> Response:
        request = Request(await http.json())
        match http.path_params["method"]:
            case "streamGenerateContent":
                self.requests.append(request)
                if not self._turns:  # a status that is not tried again
                    return JSONResponse({"error": {"message": "No turn is left"}}, 400)
                event = json.dumps(_candidate(self._turns.pop(0)(request)))
                return Response(f"data: {event}\r\n\r\n", media_type="text/event-stream")
            case "generateContent":  # for itself, such as a session's title
                return JSONResponse(_candidate({"text": "A title"}))
            case _:
                return JSONResponse({"totalTokens": 1})


def _candidate(part: dict[str, Any]) -> dict[str, Any]:
    content = {"role": "model", "parts": [part]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}
