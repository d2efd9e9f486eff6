"""Find and remove the leftovers of runs that were killed."""

import asyncio
from collections.abc import Callable

from sandbox_contract.harness.leftovers import Leftover, leftovers
from sandbox_contract.harness.preflight import CannotRun
from sandbox_contract.http.client import HttpClient, Unreachable
from sandbox_contract.http.exchange import Redactor
from sandbox_contract.http.expect import Violation

from .target import Target


def sweep(target: Target, run_id: str | None, tell: Callable[[Leftover, str | None], None]) -> bool:
    """Remove the leftovers of one run, or of all; return whether everything was removed.

    `tell` is called with each leftover and the reason why it stays, or None.

    Raises:
        CannotRun: nothing answers, or a key does not work.
    """
    return asyncio.run(_swept(target, run_id, tell))


async def _swept(
    target: Target, run_id: str | None, tell: Callable[[Leftover, str | None], None]
) -> bool:
    wire = HttpClient(target.base_url, target.app, Redactor(target.keys))
    try:
        found = await leftovers(wire, target)
        own = [each for each in found if run_id in {None, each.run_id}]
        return all([await _removed(each, tell) for each in own])
    except Unreachable as exc:
        raise CannotRun(str(exc)) from exc
    except Violation as exc:
        raise CannotRun(f"The target shows nothing to these keys: {exc}.") from exc
    finally:
        await wire.close()


async def _removed(leftover: Leftover, tell: Callable[[Leftover, str | None], None]) -> bool:
    try:
        await leftover.remove()
    except Violation as exc:
        tell(leftover, str(exc))
        return False
    tell(leftover, None)
    return True
