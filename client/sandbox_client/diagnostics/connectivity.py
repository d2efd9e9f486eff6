"""The checks of the way to the proxy, and of the proxy itself: no key is needed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sandbox_client.api import accounts
from sandbox_client.errors import ProxyUnreachable, SandboxError

from .context import Check, Sample
from .finding import Finding, span

if TYPE_CHECKING:
    from .context import DiagnosticContext

SAMPLES = 5
SAMPLING_TIME = 2.0  # seconds, after which no further sample is begun
SLOW = 1.0  # seconds
CLOCK_TOLERANCE = timedelta(seconds=30)


async def _reachable(patient: DiagnosticContext) -> Finding:
    client = patient.provider.connect(patient.config)
    patient.proxy = await patient.closing.enter_async_context(client.proxy)
    try:
        patient.health = await patient.ask(accounts.health())
    except ProxyUnreachable:
        raise
    except SandboxError as error:
        patient.health = error  # something answers; what it says is the next check's
    return Finding("passed", f"{patient.config.proxy_url} answers")


async def _healthy(patient: DiagnosticContext) -> Finding:
    if isinstance(patient.health, SandboxError):
        raise patient.health
    health = accounts.read_health(patient.health)
    if health.is_good:
        return Finding("passed", "/health says ok, and that the database is connected")
    return Finding(
        "failed",
        f"/health says {health.words}",
        "Tell the proxy's administrator; nothing on this machine can mend it.",
    )


async def _latency(patient: DiagnosticContext) -> Finding:
    clock = patient.timing.clock
    start = clock()
    while len(patient.samples) < SAMPLES:
        patient.samples.append(await _sample(patient))
        if clock() - start >= SAMPLING_TIME:
            break
    seconds = sorted(each.seconds for each in patient.samples)[len(patient.samples) // 2]
    taken = f"{seconds:.1f} s" if seconds >= SLOW else f"{1000 * seconds:.0f} ms"
    words = f"a request takes {taken} (the median of {len(patient.samples)})"
    if seconds <= SLOW:
        return Finding("passed", words)
    return Finding("warned", words, "Look at the network and the VPN, or ask for a nearer proxy.")


async def _sample(patient: DiagnosticContext) -> Sample:
    before, start = patient.now(), patient.timing.clock()
    health = accounts.read_health(await patient.ask(accounts.health()))
    seconds = patient.timing.clock() - start
    if health.time is None:
        return Sample(seconds, None)
    return Sample(seconds, health.time - (before + timedelta(seconds=seconds / 2)))


async def _clock(patient: DiagnosticContext) -> Finding:
    quickest = min(patient.samples, key=lambda sample: sample.seconds)
    if quickest.ahead is None:
        return Finding(
            "warned",
            "/health tells no time that can be read",
            "Tell the proxy's administrator: keys expire by the proxy's clock.",
        )
    patient.ahead = quickest.ahead
    if abs(quickest.ahead) < timedelta(seconds=1):
        return Finding("passed", "the proxy's clock agrees with this machine's")
    side = "ahead of" if quickest.ahead > timedelta() else "behind"
    words = f"the proxy's clock is {span(abs(quickest.ahead))} {side} this machine's"
    if abs(quickest.ahead) <= CLOCK_TOLERANCE:
        return Finding("passed", words)
    return Finding(
        "warned",
        words,
        "Set this machine's clock, or tell the proxy's administrator: keys expire by the proxy's.",
    )


CHECKS: Final = (
    Check("proxy", _reachable, needs="configuration", asks=True),
    Check("health", _healthy, needs="proxy"),
    Check("latency", _latency, needs="health", asks=True),
    Check("clock", _clock, needs="latency"),
)
