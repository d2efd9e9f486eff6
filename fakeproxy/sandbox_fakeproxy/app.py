"""The fake proxy as one ASGI app: its parts and its routes.

The handlers (`api`) translate HTTP to the service (`service`), which has the rules. The service
uses the rows (`store`), the status of a sandbox over time (`controller`) and a runtime.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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

from .clock import Clock, SystemClock
from .controller import DEFAULT_PROFILE, Controller, find_profile
from .errors import APIError
from .http import write
from .ids import IdGenerator, seed_of
from .service import Service
from .store import Store


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
    behavior = DEPLOYED if as_deployed else DEFAULT
    if not behavior.rules.keeps_files:
        store.forget_kept_files()
    ids = IdGenerator(random)
    controller = Controller(
        ready_after=ready_after, reconcile_delay=reconcile_delay, profile=find_profile(profile)
    )
    request_log = RequestLog(clock, admin_key, keeps_bodies=log_bodies)
    rules = service(store, clock, ids, controller, runtime, behavior.rules, admin_key)
    fake = Fake(rules, request_log, profile, behavior.admin_email)
    app = Starlette(
        routes=_routes(rules, fake, behavior, upstream, command_timeout),
        middleware=[
            Middleware(LogRequests, log=request_log),
            Middleware(ServerConventions),
            *_known_hosts(allowed_hosts),
            Middleware(
                FaultInjection,
                faults=fake.faults,
                clock=clock,
                find_caller=rules.find_caller,
                ignores_case=behavior.has_loose_routes,
            ),
            *([Middleware(ETags)] if behavior.sends_etags else []),
        ],
        exception_handlers=_error_handlers(behavior),
        lifespan=_closing(runtime),
    )
    app.state.runtime = runtime
    app.state.fake = fake
    return app


def _known_hosts(allowed: Collection[str] | None) -> list[Middleware]:
    """Refuse requests for other hosts, against DNS rebinding.

    A web page can make its own name point to this machine and so have a browser talk to the fake;
    but it cannot make the browser send another `Host` than that name.
    """
    if allowed is None:
        return []
    return [Middleware(TrustedHostMiddleware, allowed_hosts=[*allowed], www_redirect=False)]


def _routes(
    service: Service,
    fake: Fake,
    behavior: Behavior,
    upstream: ASGIApp | None,
    command_timeout: float | None,
) -> list[ApiRoute]:
    """Return all routes: the API's, the tester's, and the one for every other path."""
    auth = Auth(service)
    validation = DeployedValidation() if behavior.coerces_fields else Validation()
    time_limit = behavior.time_limit if command_timeout is None else command_timeout
    forwards = DeployedForwarding if behavior.rewrites_forwarded else Forwarding
    forwarding = forwards(service, upstream=upstream, time_limit=time_limit)
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
    """Return the functions that turn errors into HTTP."""

    async def refuse(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, APIError)  # noqa: S101  (Starlette types every handler so)
        is_own = request.scope["path"].startswith("/_fake/")
        return write((DEFAULT if is_own else behavior).reply(exc))

    async def report_defect(_request: Request, _exc: Exception) -> Response:
        # Starlette raises the exception on, so that a test or the server's log shows the defect.
        message = "The fake proxy, or what a test made it of, has a defect; see its log"
        return write(behavior.reply(APIError(500, message)))

    return {APIError: refuse, Exception: report_defect}


def _closing(runtime: Runtime) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        yield
        await runtime.close()

    return lifespan
