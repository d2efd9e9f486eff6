"""The checks of what the key opens."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from sandbox_client.api import accounts, sandboxes
from sandbox_client.config import env_overrides
from sandbox_client.errors import KeyRejected, SandboxError
from sandbox_client.sandboxes import LONG

from .context import Check
from .finding import Finding, span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sandbox_client.api.sandboxes import Sandbox

    from .context import DiagnosticContext

EXPIRY_NOTICE = timedelta(days=7)
USUAL_QUOTA = 10  # sandboxes a user; the proxy does not tell its own
MAX_NAMES = 3  # of old sandboxes, in one line


async def _key(patient: DiagnosticContext) -> Finding:
    try:
        owner = accounts.read_owner(await patient.ask(accounts.me()))
    except KeyRejected as error:
        variable = env_overrides(patient.provider.environ).get("apiKey")
        if variable:
            where = f"It comes from {variable}, which wins over the file: unset that."
            raise error.but(advice=f"{error.advice} {where}") from None
        raise
    words = f"the proxy takes the key: it is {owner}'s"
    expiry = await _expiry(patient)
    if expiry is None:
        return Finding("passed", words)
    left = expiry - patient.proxy_time
    words += f", and expires in {span(left)} ({expiry.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"
    if left > EXPIRY_NOTICE:
        return Finding("passed", words)
    return Finding(
        "warned",
        words,
        "Ask the proxy's administrator for a new key; `remote-sandbox login` writes it.",
    )


async def _expiry(patient: DiagnosticContext) -> datetime | None:
    """Return when the key expires; None where it does not, or where that cannot be told.

    The list shows a key's first characters only, so one that shares them hides it.
    """
    try:
        keys = accounts.read_keys(await patient.ask(accounts.keys()))
    except SandboxError:
        return None
    secret = patient.config.api_key
    mine = [key for key in keys if key.is_active and key.prefix and secret.startswith(key.prefix)]
    return mine[0].expires_at if len(mine) == 1 else None


async def _room(patient: DiagnosticContext) -> Finding:
    listed = sandboxes.read_listing(await patient.ask(sandboxes.listing()))
    words = f"{len(listed)} of {USUAL_QUOTA}, the usual quota; paused ones count"
    words += _old(listed, patient.proxy_time)
    if len(listed) < USUAL_QUOTA:
        return Finding("passed", words)
    return Finding("warned", words, "See them with {list}; make room with {delete}.")


def _old(sandboxes: Sequence[Sandbox], now: datetime) -> str:
    """Return the words for those that are older than a day; empty where there are none."""
    names = [
        each.name for each in sandboxes if (accounts.time_of(each.created_at) or now) < now - LONG
    ]
    if not names:
        return ""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"; older than a day: {', '.join(names[:MAX_NAMES])}{more}"


CHECKS: Final = (
    Check("key", _key, needs="proxy", asks=True),
    Check("sandboxes", _room, needs="key", asks=True),
)
