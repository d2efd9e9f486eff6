"""The fake proxy as one ASGI app: state behind it, routes on top.

Reads inwards: this module knows the handlers, the handlers know the state (`_store`), what time
does to it (`_controller`) and what runs (`_runtime`), and none of these knows HTTP.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import NoReturn

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ._administration import Administration
from ._auth import Authenticator
from ._clock import Clock, SystemClock, iso
from ._control import Control, read_document
from ._controller import Controller
from ._errors import Refusal
from ._fake import Fake, World
from ._forwarding import Forwarding, read_forwarded
from ._gate import Endpoint, Gate
from ._http import Reply, read_arguments, refusal_reply, write
from ._journal import Journal, Journaled, note_route
from ._keys import Keys
from ._local import LocalRuntime
from ._middleware import DrainedBodies, KnownHosts, RawPaths
from ._mint import Mint
from ._profiles import DEFAULT_PROFILE, find_profile
from ._runtime import Runtime
from ._sandboxes import Sandboxes
from ._self_service import SelfService
from ._store import Store


def create_app(  # noqa: PLR0913  (settings, each with a name and a default)
    *,
    admin_key: str,
    clock: Clock | None = None,
    runtime: Runtime | None = None,
    store: Store | None = None,
    profile: str = DEFAULT_PROFILE,
    ready_after: float = 2.0,
    reconcile_delay: float = 0.1,
    command_timeout: float = 300.0,
    upstream: ASGIApp | None = None,
    allowed_hosts: Collection[str] | None = None,
    random: Random | None = None,
) -> Starlette:
    """Make a fake proxy with state of its own; it needs no socket and no lifespan events.

    Without more, time is the machine's, state is in memory, and commands really run on this
    machine, in a temporary directory. `profile` is whose statuses are shown: `v1alpha1` or
    `v1beta1`. `ready_after`, `reconcile_delay` and `command_timeout`
    (the proxy's 504) are in seconds of `clock`. `upstream` answers, below `/proxy/<name>`, what
    the runtime has no path for. With `allowed_hosts`, requests for other hosts are refused. A
    seeded `random` makes ids and keys predictable. `app.state.fake` is what testers hold the fake
    by. The lifespan's end, or `await app.state.runtime.close()`, kills what still runs.

    Raises:
        UnusableAdminKey: (a `ValueError`) the admin key is not one that a header can carry.
        ValueError: there is no such profile.
    """
    store = store if store is not None else Store()
    clock = clock if clock is not None else SystemClock(store.seconds_advanced())
    runtime = runtime if runtime is not None else LocalRuntime()
    mint = Mint(random)
    controller = Controller(
        ready_after=ready_after, reconcile_delay=reconcile_delay, profile=find_profile(profile)
    )
    journal = Journal(clock, admin_key)
    gate = Gate(Authenticator(store, admin_key), store, clock)
    keys = Keys(store, clock, mint)
    fake = Fake(World(store, clock, mint, controller, runtime, journal, profile))
    hosts = [Middleware(KnownHosts, allowed=allowed_hosts)] if allowed_hosts is not None else []
    app = Starlette(
        routes=[
            *_user_routes(
                gate,
                Sandboxes(store, clock, mint, controller, runtime),
                Forwarding(
                    clock, controller, runtime, upstream=upstream, time_limit=command_timeout
                ),
                SelfService(store, keys),
            ),
            *_admin_routes(gate, Administration(store, clock, mint, keys, runtime)),
            *_tester_routes(gate, Control(fake)),
            _ExactRoute("GET", "/health", gate.public(_health(store, clock))),
            *_unknown_routes(gate),
        ],
        middleware=[
            Middleware(Journaled, journal=journal),
            Middleware(DrainedBodies),
            *hosts,
            Middleware(RawPaths),
        ],
        exception_handlers={Refusal: _refuse, Exception: _break},
        lifespan=_closing(runtime),
    )
    app.state.runtime = runtime
    app.state.fake = fake
    return app


def _user_routes(
    gate: Gate, sandboxes: Sandboxes, forwarding: Forwarding, self_service: SelfService
) -> list[BaseRoute]:
    name = "/api/sandboxes/{name}"
    return [
        _ExactRoute("GET", name, gate.owner(sandboxes.get, read_arguments)),
        _ExactRoute("GET", "/api/sandboxes", gate.user(sandboxes.list)),
        _ExactRoute("POST", "/api/sandboxes", gate.user(sandboxes.create)),
        _ExactRoute("DELETE", name, gate.owner(sandboxes.delete, read_arguments)),
        _ExactRoute("POST", f"{name}/pause", gate.owner(sandboxes.pause, read_arguments)),
        _ExactRoute("POST", f"{name}/resume", gate.owner(sandboxes.resume, read_arguments)),
        _ExactRoute(
            None, "/proxy/{name}/{path:path}", gate.owner(forwarding.forward, read_forwarded)
        ),
        _ExactRoute("GET", "/api/me", gate.user(self_service.show)),
        _ExactRoute("POST", "/api/me/apikeys", gate.user(self_service.create_key)),
        _ExactRoute("GET", "/api/me/apikeys", gate.user(self_service.list_keys)),
        _ExactRoute("DELETE", "/api/me/apikeys/{key_id}", gate.user(self_service.revoke_key)),
    ]


def _admin_routes(gate: Gate, administration: Administration) -> list[BaseRoute]:
    users, user = "/api/admin/users", "/api/admin/users/{user_id}"
    return [
        _ExactRoute("POST", users, gate.admin(administration.create_user)),
        _ExactRoute("GET", users, gate.admin(administration.list_users)),
        _ExactRoute("GET", user, gate.admin(administration.get_user)),
        _ExactRoute("PUT", user, gate.admin(administration.update_user)),
        _ExactRoute("DELETE", user, gate.admin(administration.delete_user)),
        _ExactRoute("POST", f"{user}/apikeys", gate.admin(administration.create_key)),
        _ExactRoute("GET", f"{user}/apikeys", gate.admin(administration.list_keys)),
        _ExactRoute("DELETE", "/api/admin/apikeys/{key_id}", gate.admin(administration.revoke_key)),
    ]


def _tester_routes(gate: Gate, control: Control) -> list[BaseRoute]:
    fate = "/_fake/sandboxes/{username}/{name}/fate"
    return [
        _ExactRoute("POST", "/_fake/reset", gate.admin(control.reset)),
        _ExactRoute("POST", "/_fake/clock/advance", gate.admin(control.advance_clock)),
        _ExactRoute("GET", "/_fake/journal", gate.admin(control.journal)),
        _ExactRoute("GET", "/_fake/state", gate.admin(control.state)),
        _ExactRoute("PUT", "/_fake/seed", gate.admin_sending(control.seed, read_document)),
        _ExactRoute("PUT", fate, gate.admin(control.set_fate)),
    ]


def _unknown_routes(gate: Gate) -> list[BaseRoute]:
    """Answer what no route does: 404, behind the key that its part of the API needs."""

    async def unknown(request: Request) -> NoReturn:
        raise Refusal(404, f"Route {request.method} {request.scope['sent_path']} not found")

    async def unknown_to_admins(request: Request) -> NoReturn:
        gate.require_admin(request)
        await unknown(request)

    async def unknown_to_users(request: Request) -> NoReturn:
        gate.require_user(request)
        await unknown(request)

    return [
        _ExactRoute(None, "/api/admin/{path:path}", unknown_to_admins, is_known=False),
        _ExactRoute(None, "/api/{path:path}", unknown_to_users, is_known=False),
        _ExactRoute(None, "/{path:path}", unknown, is_known=False),
    ]


def _health(store: Store, clock: Clock) -> Callable[[], Awaitable[Reply]]:
    async def health() -> Reply:
        if not store.answers():
            raise Refusal(503, "The database does not answer")
        return Reply({"status": "ok", "timestamp": iso(clock.now()), "database": "connected"})

    return health


class _ExactRoute(Route):
    """Match a method as strictly as a path; on another method, the route is unknown.

    Starlette would answer HEAD where GET is, and 405 for the others. None is any method.
    """

    def __init__(
        self, method: str | None, path: str, endpoint: Endpoint, *, is_known: bool = True
    ) -> None:
        super().__init__(path, endpoint)
        self.methods = None
        self._method = method
        self._template = self.path_format if is_known else None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._method is not None and scope.get("method") != self._method:
            return Match.NONE, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_route(scope, self._template)
        await super().handle(scope, receive, send)


# The one place that turns an error into HTTP.


async def _refuse(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refusal)  # noqa: S101  (Starlette types every handler so)
    return write(refusal_reply(exc))


async def _break(_request: Request, _exc: Exception) -> Response:
    # Starlette raises the exception on, so that a test or the server's log shows the defect.
    return write(refusal_reply(Refusal(500, "The fake proxy has a defect; see its log")))


def _closing(runtime: Runtime) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        yield
        await runtime.close()

    return lifespan
