"""What goes through the proxy to a sandbox's runtime: any method, any path below its name."""

from dataclasses import dataclass

from starlette.requests import Request

from ._clock import Clock
from ._controller import Controller
from ._errors import Refusal
from ._http import Reply, read_body
from ._mint import Mint
from ._records import Sandbox, User
from ._runtime import CommandTimeout, Runtime, RuntimeFault
from ._shell import Unprocessable, executed, no_session, parse_exec

# What the fake holds in memory; far above the 100 KB that pass through the deployed proxy.
FORWARDED_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request as the runtime gets it."""

    method: str
    path: str
    content_type: str
    body: bytes


async def read_forwarded(request: Request) -> Forwarded:
    """Read a request that is the runtime's to understand."""
    return Forwarded(
        request.method,
        # The runtime answers a trailing slash by a redirect that the deployed proxy follows.
        "/" + request.path_params["path"].removesuffix("/"),
        request.headers.get("content-type", ""),
        await read_body(request, FORWARDED_LIMIT),
    )


class Forwarding:
    """The way from a caller to the runtime."""

    def __init__(self, clock: Clock, mint: Mint, controller: Controller, runtime: Runtime) -> None:
        self._clock = clock
        self._mint = mint
        self._controller = controller
        self._runtime = runtime

    async def forward(self, _user: User, sandbox: Sandbox, asked: Forwarded) -> Reply:
        """Pass a request on, if the sandbox is ready for it."""
        # No await between this check and the runtime's own first step, or a pause might pass by.
        now = self._clock.now()
        if not self._controller.has_service(sandbox, now):
            raise Refusal(503, "Sandbox service not ready")
        if not self._controller.accepts_commands(sandbox, now):
            raise Refusal(503, "Sandbox not ready")
        if asked.path != "/v1/shell/exec":
            return Reply({"detail": "Not Found"}, 404)
        if asked.method != "POST":
            return Reply({"detail": "Method Not Allowed"}, 405)
        return await self._exec(sandbox, asked)

    async def _exec(self, sandbox: Sandbox, asked: Forwarded) -> Reply:
        try:
            request = parse_exec(asked.content_type, asked.body)
        except Unprocessable as exc:
            return exc.reply
        if request.session is not None:
            return no_session(request.session)
        try:
            outcome = await self._runtime.run(sandbox.id, request.command)
        except CommandTimeout as exc:
            raise Refusal(504, str(exc)) from exc
        except RuntimeFault as exc:
            raise Refusal(502, str(exc)) from exc
        return executed(self._mint.uuid(), request.command, outcome)
