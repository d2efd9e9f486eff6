"""The least that could answer over HTTP: one Starlette route, on uvicorn as the fake has it."""

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
    """Answer every request with `content`, which is JSON, until a signal comes."""
    reply = json.loads(content)

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse(reply)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "DELETE"])])
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main(sys.argv[1])
