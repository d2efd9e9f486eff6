"""The application factory: it connects the parts of the fake proxy and builds the routes.

The handlers (`api`) translate HTTP requests to calls of the service (`service`), which has the
rules. The service uses the database (`store`), the status of sandboxes over time (`controller`) and
a runtime.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, ExceptionHandler

from sandbox_fakeproxy.api.auth import Auth
from sandbox_fakeproxy.api.behavior import DEFAULT, Behavior
from sandbox_fakeproxy.api.forwarding import Forwarding
from sandbox_fakeproxy.api.middleware import ServerConventions
from sandbox_fakeproxy.api.request_log import LogRequests, RequestLog
from sandbox_fakeproxy.api.routing import (
    ApiRoute,
    Health,
    admin_routes,
    not_found_route,
    user_routes,
)
from sandbox_fakeproxy.api.sandboxes import Sandboxes
from sandbox_fakeproxy.api.users import Users
from sandbox_fakeproxy.api.validation import Validation
from sandbox_fakeproxy.control.api import Control, tester_routes
from sandbox_fakeproxy.control.fake import Fake
from sandbox_fakeproxy.control.injection import FaultInjection
from sandbox_fakeproxy.deployed.behavior import DEPLOYED
from sandbox_fakeproxy.deployed.forwarding import DeployedForwarding
from sandbox_fakeproxy.deployed.routing import ETags, LooseRoute, OptionsRoute
from sandbox_fakeproxy.deployed.validation import DeployedValidation
from sandbox_fakeproxy.runtime.interface import Runtime
from sandbox_fakeproxy.runtime.local.runtime import LocalRuntime
from sandbox_fakeproxy.runtime.versions import find_runtime_api

from .clock import Clock, SystemClock
from .controller import DEFAULT_PROFILE, Controller, find_profile
from .errors import APIError
from .http import to_response
from .ids import IdGenerator, derive_seed
from .service import Service
from .store import Store


def create_app(  # noqa: PLR0913  (settings, each with a name and a default)
    *,
    admin_key: str,
    clock: Clock | None = None,
    runtime: Runtime | None = None,
    store: Store | None = None,
    profile: str = DEFAULT_PROFILE,
    runtime_api: str | None = None,
    ready_after: float = 2.0,
    listen_after: float = 0.0,
    reconcile_delay: float = 0.1,
    command_timeout: float | None = None,
    upstream: ASGIApp | None = None,
    as_deployed: bool = False,
    allowed_hosts: Collection[str] | None = None,
    random: Random | None = None,
    log_bodies: bool = False,
    service: type[Service] = Service,
) -> Starlette:
    """Create a fake proxy as an ASGI app; it needs no socket and no lifespan events.

    Args:
        admin_key: the key for the admin routes and for the routes below `/_fake/`.
        clock: the time source; the machine's time by default.
        runtime: handles requests below `/proxy/<name>`; by default, commands really run on this
            machine, in a temporary directory. `random` does not seed a runtime that is passed in.
        store: the database of users, keys and sandboxes; in memory by default.
        profile: the controller version of sandbox statuses, `v1alpha1` or `v1beta1`.
        runtime_api: the version of the runtime's API, `1.0` (without the pipe API) or `1.9`; by
            default 1.9, and 1.0 with `as_deployed`.
        ready_after: seconds of `clock` until a sandbox is ready, even if that is less than
            `reconcile_delay`.
        listen_after: seconds of `clock` from then on until its runtime answers.
        reconcile_delay: seconds of `clock` until a change appears in a sandbox's status.
        command_timeout: seconds of `clock` until a request to a sandbox is answered with 504.
        upstream: handles requests below `/proxy/<name>` for which the runtime has no path.
        as_deployed: behave as the deployed proxy, including its quirks and bugs.
        allowed_hosts: hosts to answer for, such as `localhost` or `*.example.com`; others are 400.
            By default, all.
        random: generates ids and keys; a seeded one generates the same in every run.
        log_bodies: keep queries and bodies in the request log, with keys masked.
        service: a subclass of `Service` with changed rules.

    Tests control the fake through `app.state.fake`. The end of the lifespan, or
    `await app.state.runtime.close()`, kills all running processes.

    Raises:
        UnusableAdminKey: (a `ValueError`) the admin key cannot be sent in a header.
        ValueError: there is no such profile, or no such version of the runtime's API.
    """
    store = store if store is not None else Store()
    if clock is None:
        clock = default_clock(store)
    if runtime is None:
        runtime = LocalRuntime(clock=clock, seed=derive_seed(random), as_deployed=as_deployed)
    behavior = DEPLOYED if as_deployed else DEFAULT
    if runtime_api is not None:
        behavior = replace(behavior, runtime_api=find_runtime_api(runtime_api))
    ids = IdGenerator(random)
    controller = Controller(
        ready_after=ready_after,
        reconcile_delay=reconcile_delay,
        listen_after=listen_after,
        profile=find_profile(profile),
    )
    request_log = RequestLog(clock, admin_key, keeps_bodies=log_bodies)
    proxy_service = service(store, clock, ids, controller, runtime, behavior.rules, admin_key)
    fake = Fake(proxy_service, request_log, profile, behavior.admin_email)
    app = Starlette(
        routes=_routes(proxy_service, fake, behavior, upstream, command_timeout),
        middleware=_middleware(proxy_service, fake, behavior, request_log, allowed_hosts),
        exception_handlers=_error_handlers(behavior),
        lifespan=_closing(runtime),
    )
    app.state.runtime = runtime
    app.state.fake = fake
    return app


def default_clock(store: Store) -> SystemClock:
    """Return the machine's time, with all advances and changes in the store so far."""
    return SystemClock(store.seconds_advanced(), not_before=store.last_change())


def _middleware(
    service: Service,
    fake: Fake,
    behavior: Behavior,
    request_log: RequestLog,
    allowed_hosts: Collection[str] | None,
) -> list[Middleware]:
    """Return the middleware, outermost first."""
    return [
        Middleware(LogRequests, log=request_log),
        Middleware(ServerConventions),
        *_host_check(allowed_hosts),
        Middleware(
            FaultInjection,
            faults=fake.faults,
            clock=service.clock,
            find_caller=service.find_caller,
            ignores_case=behavior.has_loose_routes,
        ),
        *([Middleware(ETags)] if behavior.sends_etags else []),
    ]


def _host_check(allowed_hosts: Collection[str] | None) -> list[Middleware]:
    """Return the middleware that rejects requests for other hosts, against DNS rebinding.

    A web page can make its own host name resolve to this machine, so that a browser sends requests
    to the fake. But those requests have that name in `Host`; the page cannot change it.
    """
    if allowed_hosts is None:
        return []
    return [Middleware(TrustedHostMiddleware, allowed_hosts=[*allowed_hosts], www_redirect=False)]


def _routes(
    service: Service,
    fake: Fake,
    behavior: Behavior,
    upstream: ASGIApp | None,
    command_timeout: float | None,
) -> list[ApiRoute]:
    """Return the routes of the API, those below `/_fake/`, and the one for all other paths."""
    auth = Auth(service)
    validation = DeployedValidation() if behavior.coerces_fields else Validation()
    time_limit = behavior.time_limit if command_timeout is None else command_timeout
    forwarding_class = DeployedForwarding if behavior.rewrites_forwarded else Forwarding
    forwarding = forwarding_class(
        service, upstream=upstream, runtime_api=behavior.runtime_api, time_limit=time_limit
    )
    route = LooseRoute if behavior.has_loose_routes else ApiRoute
    sandboxes, users = Sandboxes(service, validation), Users(service, validation)
    routes = [
        *user_routes(route, auth, sandboxes, forwarding, users),
        *admin_routes(route, auth, users),
        route("GET", "/health", auth.public(Health(service, behavior).show)),
    ]
    if behavior.has_loose_routes:
        routes.append(OptionsRoute(auth, routes.copy()))
    return [*routes, *tester_routes(auth, Control(fake)), not_found_route(route, auth)]


def _error_handlers(behavior: Behavior) -> Mapping[Any, ExceptionHandler]:
    """Return the functions that convert errors to HTTP responses."""

    async def handle_api_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, APIError)  # noqa: S101  (Starlette's type for handlers)
        is_control = request.scope["path"].startswith("/_fake/")
        return to_response((DEFAULT if is_control else behavior).reply(exc))

    async def handle_defect(_request: Request, _exc: Exception) -> Response:
        # Starlette re-raises the exception afterwards, so a test or the server's log shows it.
        message = "The fake proxy, or a part that a test replaced, has a bug; see the log"
        return to_response(behavior.reply(APIError(500, message)))

    return {APIError: handle_api_error, Exception: handle_defect}


def _closing(runtime: Runtime) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return a lifespan that closes the runtime at its end."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        yield
        await runtime.close()

    return lifespan
