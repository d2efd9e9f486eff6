"""The baseline of the fake proxy: one Starlette route on uvicorn, with the fake's settings."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request


def main(content: str) -> None:
    """Respond to every request with the JSON text `content`, until a signal."""
    reply = json.loads(content)

    async def respond(_: Request) -> JSONResponse:
        return JSONResponse(reply)

    app = Starlette(routes=[Route("/{path:path}", respond, methods=["GET", "POST", "DELETE"])])
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main(sys.argv[1])
