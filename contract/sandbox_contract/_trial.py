"""A whole run: clauses in an order, on one target, to a result."""

import asyncio
import platform
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from time import perf_counter

from ._clauses.catalogue import CLAUSES, LAST
from ._clauses.clause import Clause
from ._distribution import version
from ._judge import Judge, Listener
from ._target import Target
from ._verdict import Result
from ._wire.caller import Observer


def new_run_id() -> str:
    """Return an id that no other run has, as far as chance can say."""
    return secrets.token_hex(3)


def judge(
    target: Target,
    clauses: Sequence[Clause] = CLAUSES,
    *,
    run_id: str | None = None,
    seed: int = 0,
    shuffle: int | None = None,
    listener: Listener | None = None,
    observers: Sequence[Observer] = (),
) -> Result:
    """Judge a target by some clauses, and remove what that has made.

    With `shuffle`, the clauses come in an order that this number decides; the last one stays last.
    Ctrl-C ends the run early: what was made is removed then too, and the result says so.
    Observers are shown every exchange, keys and all.

    Raises:
        CannotRun: nothing answers, a key does not work, or nothing could be removed.
    """
    run_id = run_id or new_run_id()
    started, begun = datetime.now(UTC), perf_counter()
    with Judge(target, run_id=run_id, seed=seed, listener=listener) as judging:
        judging.run.wire.observers += observers
        is_finished = _tried(judging, _ordered(clauses, shuffle))
    return Result(
        target=target.base_url,
        run_id=run_id,
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(perf_counter() - begun, 3),
        verdicts=sorted(judging.verdicts, key=lambda verdict: clauses.index(verdict.clause)),
        total=len(CLAUSES),
        selected=len(clauses),
        left=judging.left,
        out_of_reach=judging.run.out_of_reach,
        interrupted=not is_finished,
        suite_version=version(),
        target_version=judging.run.target_version,
        settings=_settings(target, seed, shuffle),
    )


def _tried(judging: Judge, clauses: Sequence[Clause]) -> bool:
    """Try clauses; return whether it came to the last one."""
    try:
        judging.prepare()
        for clause in clauses:
            judging.try_clause(clause)
    except (KeyboardInterrupt, asyncio.CancelledError):  # the latter, where it came twice
        return False
    return True


def _ordered(clauses: Sequence[Clause], shuffle: int | None) -> Sequence[Clause]:
    if shuffle is None:
        return clauses
    mixed = [clause for clause in clauses if clause.id != LAST]
    Random(shuffle).shuffle(mixed)  # noqa: S311  (to be repeated)
    return [*mixed, *(clause for clause in clauses if clause.id == LAST)]


def _settings(target: Target, seed: int, shuffle: int | None) -> dict[str, str]:
    keys = {"admin": target.admin_key, "user": target.api_key, "second": target.second_api_key}
    return {
        "keys": ", ".join(name for name, key in keys.items() if key) or "none",
        "time": "advanced" if target.time.ready_after is not None else "polled",
        "budget": f"{target.time.budget:g} s",
        "seed": str(seed),
        "order": "as listed" if shuffle is None else f"shuffled by {shuffle}",
        "python": platform.python_version(),
    }
