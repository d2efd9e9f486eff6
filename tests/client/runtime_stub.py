"""A stand-in for a sandbox that accepts files sent ahead of a command."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.client.file_stub import file_reply
from tests.client.stubs import executed, piped, session_opened

if TYPE_CHECKING:
    import httpx


@dataclass
class RuntimeStub:
    """A sandbox `box` with the pipe API or the terminal API.

    A person's command gets `answer`, one of the client's own gets `own`, or else ends well. Kept
    are the `files` by their last name, the `bodies` of the requests for commands, and the ids of
    sessions that were `closed`.
    """

    answer: httpx.Response
    own: httpx.Response | None = None
    has_pipes: bool = True
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    bodies: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    closed: list[str] = field(default_factory=list[str])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        match request.url.path.rpartition("/")[2]:
            case "write":
                data = base64.b64decode(body["content"])
                self.files[body["file"].rpartition("/")[2]] = data
                return file_reply({"bytes_written": len(data)})
            case "list":
                return file_reply({"files": []})
            case "exec":
                self.bodies.append(body)
                is_internal = str(body["command"]).startswith(("find", "cd", "rm"))
                well = piped() if self.has_pipes else executed()
                return (self.own or well) if is_internal else self.answer
            case "close":
                self.closed.append(request.url.path.split("/")[-2])
                return session_opened()
            case _:
                return session_opened(body.get("session_id", ""))

    @property
    def commands(self) -> list[str]:
        """The commands in the order in which they came."""
        return [str(body["command"]) for body in self.bodies]
