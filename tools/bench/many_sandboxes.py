"""The latency of a sandbox's status with many stored sandboxes, compared with few."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sandbox_fakeproxy import Store
from sandbox_fakeproxy.model import ApiKey, FailureMode, Intent, Sandbox, User
from sandbox_fakeproxy.service import digest

from tools.bench.load import Exchange, load
from tools.bench.measurement import Row, Target
from tools.bench.servers import Fake, fake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.bench.effort import Effort

FEW = 10
QUOTA = 10  # sandboxes per user
TIME_LIMIT = 10.0  # seconds per round


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Get statuses from a fake proxy with few sandboxes and from one with many, alternately.

    The requests of a round are for the sandboxes of one user, as a client sends them. The fake with
    many also gets requests for random users, which its caches do not help.
    """
    few_times, many_times, random_user_times = list[float](), list[float](), list[float]()
    with TemporaryDirectory(prefix="async-remote-agent-bench-") as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        progress(f"storing {effort.stored_sandboxes:,} sandboxes")
        for data, count in ((few, FEW), (many, effort.stored_sandboxes)):
            _store(data, count)
        async with fake(few) as first, fake(many) as second:
            for number in range(effort.status_rounds):
                progress(f"status among many, round {number + 1} of {effort.status_rounds}")
                random = Random(number)  # noqa: S311  (the same requests in each run)
                user = random.randrange(effort.stored_sandboxes // QUOTA) * QUOTA
                own = [random.randrange(QUOTA) for _ in range(effort.status_requests)]
                others = [random.randrange(effort.stored_sandboxes) for _ in own]
                few_times.append(await _latency(first, own))
                many_times.append(await _latency(second, [user + each for each in own]))
                random_user_times.append(await _latency(second, others))
    name = f"Fake: status among {effort.stored_sandboxes:,}, not {FEW}"
    return [
        Row(name, "ms", many_times, few_times, Target("≤", 1.3)),
        Row("  of a random user each time", "ms", random_user_times, few_times),
    ]


async def _latency(proxy: Fake, sandboxes: Sequence[int]) -> float:
    """Return the mean time of a status request, in milliseconds."""
    exchanges = [_status(number) for number in sandboxes]
    done = await load(proxy.url, [exchanges], seconds=TIME_LIMIT, rounds=1)
    return done.times[0] / len(exchanges) * 1e3


def _status(number: int) -> Exchange:
    path = f"/api/sandboxes/sandbox-{number}"
    return Exchange.of("GET", path, key=_key(number // QUOTA), status=200)


def _key(owner: int) -> str:
    return f"sk_live_{owner:032}"


def _store(data: Path, count: int) -> None:
    """Write a data directory with `count` sandboxes, QUOTA per user."""
    data.mkdir(mode=0o700)
    store = Store(data / "state.sqlite3")
    database = store._db  # pyright: ignore[reportPrivateUsage]  # one transaction for all sandboxes
    now = datetime.now(UTC)
    database.execute("BEGIN")
    for number in range(count):
        owner = f"user-{number // QUOTA}"
        if number % QUOTA == 0:
            store.add_user(User(owner, owner, None, True, now, now))
            key = ApiKey(owner, owner, "sk_live_0000", None, True, now, None, None)
            store.add_key(key, digest(_key(number // QUOTA)))
        name = f"sandbox-{number}"
        running = Intent(FailureMode.RUNNING, is_paused=False, since=now)
        store.add_sandbox(Sandbox(name, owner, name, "image", now, running))
    database.execute("COMMIT")
    store.close()
