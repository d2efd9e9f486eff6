"""The checks of a connection: a function for each, which returns a `Finding` or raises.

`run` calls them in order. They share a `DiagnosticContext`: a check stores its results there for
the checks that need it, such as the configuration or the open connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, timedelta
from stat import S_IMODE
from typing import TYPE_CHECKING

from sandbox_client.api import accounts, sandboxes
from sandbox_client.config import (
    VARIABLES,
    config_path,
    env_overrides,
    load_config_file,
    merge_config,
)
from sandbox_client.config_file import chmod_advice, describe_access, printable_path
from sandbox_client.errors import ProxyUnreachable, SandboxError
from sandbox_client.listing import LONG_AGE
from sandbox_client.text import as_word, format_duration, join_names, pluralize

from .finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AsyncExitStack
    from datetime import datetime

    from sandbox_client.api.message import Reply, Request
    from sandbox_client.api.sandboxes import Sandbox
    from sandbox_client.config import Config
    from sandbox_client.config_file import ConfigFile
    from sandbox_client.http import Proxy
    from sandbox_client.polling import Timing
    from sandbox_client.provider import ClientProvider

KEY_LENGTH = 40
REQUEST_DEADLINE = 6.0  # seconds: after the 5 s in which a connection must be established
SAMPLES = 5  # requests to measure the latency
SAMPLING_TIME = 2.0  # seconds, after which no further request is sent
SLOW = 1.0  # seconds
CLOCK_TOLERANCE = timedelta(seconds=30)
EXPIRY_NOTICE = timedelta(days=7)
USUAL_QUOTA = 10  # sandboxes of a user; no route of the proxy returns the actual quota
MAX_NAMES = 3  # old sandboxes that one line names


@dataclass(frozen=True)
class LatencySample:
    """The seconds of one request, and how far the proxy's clock was ahead of this machine's.

    `ahead` is None if the response had no valid timestamp.
    """

    seconds: float
    ahead: timedelta | None


@dataclass
class DiagnosticContext:
    """The input of the checks, and the results that one check leaves for the next.

    `now` is the time of this machine. `exit_stack` closes the connection after the last check.
    """

    provider: ClientProvider
    timing: Timing
    now: Callable[[], datetime]
    exit_stack: AsyncExitStack
    file: ConfigFile | None = None
    config: Config = field(init=False)
    proxy: Proxy = field(init=False)
    health: Reply | SandboxError = field(init=False)
    samples: list[LatencySample] = field(default_factory=list[LatencySample])
    ahead: timedelta = timedelta()

    @property
    def proxy_time(self) -> datetime:
        """The time of the proxy's clock, if `check_clock` could measure it."""
        return self.now() + self.ahead

    async def send(self, request: Request) -> Reply:
        """Send a request without retries, which would hide a problem."""
        return await self.proxy.send(request, deadline=REQUEST_DEADLINE, attempts=1)


async def check_configuration(context: DiagnosticContext) -> Finding:
    """Load the configuration and name the source of each value."""
    environ = context.provider.environ
    context.file = file = load_config_file(environ)
    context.config = merge_config(environ, file)
    message = _format_sources(environ, file)
    length = len(context.config.api_key)
    if length != KEY_LENGTH:
        return Finding(
            "warned",
            f"{message}; the key has {pluralize(length, 'character')}, not {KEY_LENGTH}",
            "Compare it with the key that you were given, or enter it again with"
            " `remote-sandbox login`.",
        )
    if unset := context.config.unset_agent_variables:
        return Finding(
            "warned",
            f"{message}; agentEnvironment names {join_names(unset, MAX_NAMES)}, not set on this"
            " machine",
            "Set it where this program starts, or take it out of agentEnvironment: an agent does"
            " without it.",
        )
    return Finding("passed", message)


def _format_sources(environ: Mapping[str, str], file: ConfigFile) -> str:
    overrides = env_overrides(environ)
    in_file = [
        name
        for name in VARIABLES
        if name not in overrides and file.content.get(name) not in (None, "")
    ]
    sources = [f"{', '.join(in_file)} from {printable_path(file.path)}"] if in_file else []
    return "; ".join([*sources, *(f"{name} from {overrides[name]}" for name in overrides)])


async def check_file_mode(context: DiagnosticContext) -> Finding:
    """Check that other users cannot read or change the file with the key."""
    path = config_path(context.provider.environ)
    place = printable_path(path)
    if not path.is_file():  # nor a directory or a device: the advice would not apply
        return Finding("not tried" if context.file is None else "passed", f"no file at {place}")
    mode = S_IMODE(path.stat().st_mode)
    access = describe_access(mode)
    if not access:
        return Finding("passed", f"{mode:04o}: other users cannot read or change it")
    if context.file and not context.file.access_warning():
        return Finding("passed", f"{mode:04o}, but there is no key in the file")
    return Finding("warned", f"{mode:04o}: {access}", chmod_advice(place))


async def check_encryption(context: DiagnosticContext) -> Finding:
    """Check that the key is not sent unencrypted over a network."""
    url = context.config.proxy_url
    if context.config.is_in_clear:
        return Finding(
            "warned",
            f"{url} is not encrypted: others on the network can read the key",
            "Put the proxy's https:// address into proxyUrl, or reach it through a tunnel"
            " (`kubectl port-forward`, `ssh -L`).",
        )
    if url.lower().startswith("https:"):
        return Finding("passed", "https: the key is sent encrypted")
    return Finding("passed", "http on this machine: the key does not leave it")


async def check_proxy(context: DiagnosticContext) -> Finding:
    """Connect to the proxy; any HTTP response passes, and `check_health` reads it."""
    client = context.provider.connect(context.config)
    context.proxy = await context.exit_stack.enter_async_context(client.proxy)
    try:
        context.health = await context.send(accounts.health())
    except ProxyUnreachable:
        raise
    except SandboxError as error:
        context.health = error
    unused = " and ".join(context.config.unused_proxies)
    note = f", without the forward proxy of {unused}" if unused else ""
    return Finding("passed", f"{context.config.proxy_url} responds{note}")


async def check_health(context: DiagnosticContext) -> Finding:
    """Check the status and the database in the response of /health."""
    if isinstance(context.health, SandboxError):
        raise context.health
    health = accounts.read_health(context.health)
    if health.is_good:
        return Finding("passed", "/health reports status ok and a connected database")
    return Finding(
        "failed",
        f"/health reports {health.description}",
        "Tell the proxy's administrator: it cannot be fixed on this machine.",
    )


async def check_latency(context: DiagnosticContext) -> Finding:
    """Measure the time of some requests."""
    clock = context.timing.clock
    start = clock()
    while len(context.samples) < SAMPLES:
        context.samples.append(await _measure(context))
        if clock() - start >= SAMPLING_TIME:
            break
    seconds = sorted(each.seconds for each in context.samples)[len(context.samples) // 2]
    latency = f"{seconds:.1f} s" if seconds >= SLOW else f"{1000 * seconds:.0f} ms"
    message = f"a request takes {latency} (median of {len(context.samples)})"
    if seconds <= SLOW:
        return Finding("passed", message)
    return Finding("warned", message, "Check the network and the VPN, or ask for a nearer proxy.")


async def _measure(context: DiagnosticContext) -> LatencySample:
    before, start = context.now(), context.timing.clock()
    health = accounts.read_health(await context.send(accounts.health()))
    seconds = context.timing.clock() - start
    if health.time is None:
        return LatencySample(seconds, None)
    return LatencySample(seconds, health.time - (before + timedelta(seconds=seconds / 2)))


async def check_clock(context: DiagnosticContext) -> Finding:
    """Compare the proxy's clock with this machine's, by the fastest request."""
    fastest = min(context.samples, key=lambda sample: sample.seconds)
    if fastest.ahead is None:
        return Finding(
            "warned",
            "/health has no valid timestamp",
            "Tell the proxy's administrator: keys expire by the proxy's clock.",
        )
    context.ahead = fastest.ahead
    if abs(fastest.ahead) < timedelta(seconds=1):
        return Finding("passed", "the proxy's clock agrees with this machine's")
    side = "ahead of" if fastest.ahead > timedelta() else "behind"
    difference = format_duration(abs(fastest.ahead).total_seconds())
    message = f"the proxy's clock is {difference} {side} this machine's"
    if abs(fastest.ahead) <= CLOCK_TOLERANCE:
        return Finding("passed", message)
    return Finding(
        "warned",
        message,
        "Set this machine's clock, or tell the proxy's administrator: keys expire by the proxy's.",
    )


async def check_key(context: DiagnosticContext) -> Finding:
    """Check that the proxy accepts the key, and that it does not expire soon."""
    owner = accounts.read_owner(await context.send(accounts.me()))
    message = f"the proxy accepts the key; it belongs to {as_word(owner)}"
    expires_at = await _key_expiry(context)
    if expires_at is None:
        return Finding("passed", message)
    left = expires_at - context.proxy_time
    date = f"{expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    message += f"; it expires in {format_duration(left.total_seconds())} ({date})"
    if left > EXPIRY_NOTICE:
        return Finding("passed", message)
    return Finding(
        "warned",
        message,
        "Ask the proxy's administrator for a new key; `remote-sandbox login` writes it.",
    )


async def _key_expiry(context: DiagnosticContext) -> datetime | None:
    """Return when the key expires; None if it does not expire, or if that is unknown.

    The proxy lists only the first characters of each key. If two active keys share them, the
    expiry is unknown.
    """
    try:
        keys = accounts.read_keys(await context.send(accounts.keys()))
    except SandboxError:
        return None
    secret = context.config.api_key
    own = [key for key in keys if key.is_active and key.prefix and secret.startswith(key.prefix)]
    return own[0].expires_at if len(own) == 1 else None


async def check_quota(context: DiagnosticContext) -> Finding:
    """Count the sandboxes, and name those that are older than a day."""
    listed = sandboxes.read_listing(await context.send(sandboxes.listing()))
    message = f"{len(listed)} of {USUAL_QUOTA}, the usual quota, including paused ones"
    message += _format_old(listed, context.proxy_time)
    if len(listed) < USUAL_QUOTA:
        return Finding("passed", message)
    return Finding("warned", message, "List them with {list}; delete some with {delete}.")


def _format_old(sandboxes: Sequence[Sandbox], now: datetime) -> str:
    names = [
        each.name
        for each in sandboxes
        if (accounts.parse_time(each.created_at) or now) < now - LONG_AGE
    ]
    if not names:
        return ""
    return f"; older than a day: {join_names(names, MAX_NAMES)}"
