"""The fake proxy as one ASGI app: its parts and its routes.

The handlers (`api`) translate HTTP to the service (`service`), which has the rules. The service
uses the rows (`store`), the status of a sandbox over time (`controller`) and a runtime.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from random import Random
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, ExceptionHandler

from sandbox_fakeproxy.api.auth import Endpoint, Gate
from sandbox_fakeproxy.api.behavior import SANE, Conduct
from sandbox_fakeproxy.api.forwarding import Forwarding
from sandbox_fakeproxy.api.middleware import (
    BodilessHead,
    DrainedBodies,
    KnownHosts,
    LimitedHeaders,
    RawPaths,
)
from sandbox_fakeproxy.api.request_log import LogRequests, RequestLog
from sandbox_fakeproxy.api.routing import ExactRoute
from sandbox_fakeproxy.api.sandboxes import Sandboxes
from sandbox_fakeproxy.api.users import Accounts
from sandbox_fakeproxy.control.api import Control, read_document
from sandbox_fakeproxy.control.fake import Fake
from sandbox_fakeproxy.control.injection import FaultInjection
from sandbox_fakeproxy.deployed.behavior import DEPLOYED
from sandbox_fakeproxy.deployed.routing import OptionsRoute
from sandbox_fakeproxy.runtime.interface import Runtime
from sandbox_fakeproxy.runtime.local.runtime import LocalRuntime

from .clock import Clock, SystemClock, iso
from .controller import Controller
from .errors import Fault, Refusal
from .http import Reply, read_arguments, write
from .ids import Mint, seed_of
from .profiles import DEFAULT_PROFILE, find_profile
from .service import Service
from .store import Store

_NewRoute = Callable[[str | None, str, Endpoint], ExactRoute]


def create_app(  # noqa: PLR0913  (settings, each with a name and a default)
    *,
    admin_key: str,
    clock: Clock | None = None,
    runtime: Runtime | None = None,
    store: Store | None = None,
    profile: str = DEFAULT_PROFILE,
    ready_after: float = 2.0,
    reconcile_delay: float = 0.1,
    command_timeout: float | None = None,
    upstream: ASGIApp | None = None,
    as_deployed: bool = False,
    allowed_hosts: Collection[str] | None = None,
    random: Random | None = None,
    log_bodies: bool = False,
    service: type[Service] = Service,
) -> Starlette:
    """Make a fake proxy as one ASGI app; it needs no socket and no lifespan events.

    Args:
        admin_key: the key of the administrator's routes, and of those below `/_fake/`.
        clock: its time; the machine's by default.
        runtime: what answers below `/proxy/<name>`; by default commands really run on this machine,
            in a temporary directory. One of yours takes a seed of its own.
        store: users, keys and sandboxes; in memory by default.
        profile: whose statuses are shown, `v1alpha1` or `v1beta1`.
        ready_after: seconds of `clock` until a sandbox is ready, also if less than the delay.
        reconcile_delay: seconds of `clock` until a change shows in a sandbox's status.
        command_timeout: seconds of `clock` until a request to a sandbox is answered with 504.
        upstream: answers below `/proxy/<name>` what the runtime has no path for.
        as_deployed: have the deployed proxy's quirks and bugs.
        allowed_hosts: refuse requests for other hosts.
        random: makes ids and keys; a seeded one makes the same in every run.
        log_bodies: keep queries and bodies in the request log, with keys masked.
        service: a subclass of `Service`, which keeps other rules.

    `app.state.fake` is what tests control the fake by. The lifespan's end, or
    `await app.state.runtime.close()`, kills what still runs.

    Raises:
        UnusableAdminKey: (a `ValueError`) the admin key is not one that a header can carry.
        ValueError: there is no such profile.
    """
    store = store if store is not None else Store()
    if clock is None:
        clock = SystemClock(store.seconds_advanced(), not_before=store.last_change())
    if runtime is None:
        runtime = LocalRuntime(seed=seed_of(random), as_deployed=as_deployed)
    mint = Mint(random)
    conduct = DEPLOYED if as_deployed else SANE
    if not conduct.rules.keeps_files:
        store.forget_kept_files()
    controller = Controller(
        ready_after=ready_after, reconcile_delay=reconcile_delay, profile=find_profile(profile)
    )
    request_log = RequestLog(clock, admin_key, keeps_bodies=log_bodies)
    operations = service(store, clock, mint, controller, runtime, conduct.rules, admin_key)
    gate = Gate(operations)
    time_limit = conduct.time_limit if command_timeout is None else command_timeout
    forwarding = Forwarding(operations, conduct, upstream=upstream, time_limit=time_limit)
    fake = Fake(operations, request_log, profile, conduct.admin_email)
    accounts = Accounts(operations, conduct)
    route = partial(ExactRoute, is_loose=conduct.has_loose_routes)
    routes = [
        *_user_routes(route, gate, Sandboxes(operations, conduct), forwarding, accounts, conduct),
        *_admin_routes(route, gate, accounts),
        route("GET", "/health", gate.public(_health(store, clock, conduct))),
    ]
    if conduct.has_loose_routes:
        routes.append(OptionsRoute(gate, routes.copy()))
    routes += [
        *_tester_routes(gate, Control(fake)),
        route(None, "/{path:path}", _unknown(gate), is_known=False),
    ]
    hosts = [Middleware(KnownHosts, allowed=allowed_hosts)] if allowed_hosts is not None else []
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(LogRequests, log=request_log),
            Middleware(LimitedHeaders),
            Middleware(BodilessHead),
            Middleware(DrainedBodies),
            *hosts,
            Middleware(RawPaths),
            Middleware(
                FaultInjection,
                faults=fake.faults,
                clock=clock,
                find_caller=operations.find_caller,
                ignores_case=as_deployed,
            ),
            *conduct.middleware,
        ],
        exception_handlers=_error_handlers(conduct),
        lifespan=_closing(runtime),
    )
    app.state.runtime = runtime
    app.state.fake = fake
    return app


def _user_routes(
    route: _NewRoute,
    gate: Gate,
    sandboxes: Sandboxes,
    forwarding: Forwarding,
    accounts: Accounts,
    conduct: Conduct,
) -> list[ExactRoute]:
    name = "/api/sandboxes/{name}"
    return [
        route("GET", name, gate.owner(sandboxes.get, read_arguments)),
        route("GET", "/api/sandboxes", gate.user(sandboxes.list)),
        route("POST", "/api/sandboxes", gate.user(sandboxes.create)),
        route("DELETE", name, gate.owner(sandboxes.delete, read_arguments)),
        route("POST", f"{name}/pause", gate.owner(sandboxes.pause, read_arguments)),
        route("POST", f"{name}/resume", gate.owner(sandboxes.resume, read_arguments)),
        route(
            None,
            "/proxy/{name}/{path:path}",
            gate.owner(forwarding.forward, conduct.read_forwarded),
        ),
        route("GET", "/api/me", gate.user(accounts.show_caller)),
        route("POST", "/api/me/apikeys", gate.user(accounts.create_own_key)),
        route("GET", "/api/me/apikeys", gate.user(accounts.list_own_keys)),
        route("DELETE", "/api/me/apikeys/{key_id}", gate.user(accounts.revoke_own_key)),
    ]


def _admin_routes(route: _NewRoute, gate: Gate, accounts: Accounts) -> list[ExactRoute]:
    users, user = "/api/admin/users", "/api/admin/users/{user_id}"
    return [
        route("POST", users, gate.admin(accounts.create_user)),
        route("GET", users, gate.admin(accounts.list_users)),
        route("GET", user, gate.admin(accounts.get_user)),
        route("PUT", user, gate.admin(accounts.update_user)),
        route("DELETE", user, gate.admin(accounts.delete_user)),
        route("POST", f"{user}/apikeys", gate.admin(accounts.create_key)),
        route("GET", f"{user}/apikeys", gate.admin(accounts.list_keys)),
        route("DELETE", "/api/admin/apikeys/{key_id}", gate.admin(accounts.revoke_key)),
    ]


def _tester_routes(gate: Gate, control: Control) -> list[ExactRoute]:
    fate = "/_fake/sandboxes/{username}/{name}/fate"
    return [
        ExactRoute("POST", "/_fake/reset", gate.admin(control.reset)),
        ExactRoute("POST", "/_fake/clock/advance", gate.admin(control.advance_clock)),
        ExactRoute("GET", "/_fake/requests", gate.admin(control.requests)),
        ExactRoute("GET", "/_fake/journal", gate.admin(control.requests)),  # until version 0.2
        ExactRoute("GET", "/_fake/faults", gate.admin(control.list_faults)),
        ExactRoute(
            "PUT", "/_fake/faults", gate.admin_sending(control.replace_faults, read_document)
        ),
        ExactRoute("DELETE", "/_fake/faults", gate.admin(control.clear_faults)),
        ExactRoute("GET", "/_fake/state", gate.admin(control.state)),
        ExactRoute("PUT", "/_fake/seed", gate.admin_sending(control.seed, read_document)),
        ExactRoute("PUT", fate, gate.admin(control.set_fate)),
    ]


def _unknown(gate: Gate) -> Endpoint:
    """Return an endpoint for other paths: 404, behind the key that this part of the API needs."""

    async def unknown(request: Request) -> Response:
        gate.require_key_of_area(request)
        path = request.scope["sent_path"]
        is_admins = path.lower().startswith("/api/admin/")
        raise Refusal(
            404,
            f"Route {request.method} {path} not found",
            Fault.UNKNOWN_ADMIN_ROUTE if is_admins else Fault.UNKNOWN_ROUTE,
        )

    return unknown


def _health(store: Store, clock: Clock, conduct: Conduct) -> Callable[[], Awaitable[Reply]]:
    async def health() -> Reply:
        if not conduct.health(store):
            raise Refusal(503, "The database does not answer")
        return Reply({"status": "ok", "timestamp": iso(clock.now()), "database": "connected"})

    return health


def _error_handlers(conduct: Conduct) -> Mapping[Any, ExceptionHandler]:
    """Return the one place that turns an error into HTTP."""

    async def refuse(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, Refusal)  # noqa: S101  (Starlette types every handler so)
        is_own = request.scope["path"].startswith("/_fake/")
        return write((SANE if is_own else conduct).reply(exc))

    async def break_(_request: Request, _exc: Exception) -> Response:
        # Starlette raises the exception on, so that a test or the server's log shows the defect.
        message = "The fake proxy, or what a test made it of, has a defect; see its log"
        return write(conduct.reply(Refusal(500, message)))

    return {Refusal: refuse, Exception: break_}


def _closing(runtime: Runtime) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        yield
        await runtime.close()

    return lifespan
