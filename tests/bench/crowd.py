"""Whether one sandbox's status takes longer when many are stored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sandbox_fakeproxy import Store
from sandbox_fakeproxy._fates import Fate
from sandbox_fakeproxy._records import Intent, Sandbox, User

from tests.bench.figures import Row, Target
from tests.bench.load import Exchange, load
from tests.bench.servers import Fake, fake

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.effort import Effort

FEW = 10
QUOTA = 10  # sandboxes of a user
NAME = "box"
TIME_LIMIT = 10.0  # seconds for a round


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Ask two fakes in turn, of which one has few sandboxes and the other many."""
    crowded: list[float] = []
    quiet: list[float] = []
    with TemporaryDirectory(prefix="async-remote-agent-bench-") as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        progress(f"storing {effort.crowd:,} sandboxes")
        for data, count in ((few, FEW), (many, effort.crowd)):
            _store(data, count)
        async with fake(few) as first, fake(many) as second:
            keys = [await each.new_sandbox(NAME) for each in (first, second)]
            for number in range(effort.status_rounds):
                progress(f"status among many, round {number + 1} of {effort.status_rounds}")
                quiet.append(await _latency(first, keys[0], effort.status_requests))
                crowded.append(await _latency(second, keys[1], effort.status_requests))
    name = f"Fake: status among {effort.crowd:,}, not {FEW}"
    return [Row(name, "ms", crowded, quiet, Target("≤", 1.3))]


async def _latency(proxy: Fake, key: str, requests: int) -> float:
    get = Exchange.of("GET", f"/api/sandboxes/{NAME}", key=key, status=200)
    done = await load(proxy.url, [[get]], seconds=TIME_LIMIT, rounds=requests)
    return median(done.times) * 1e3


def _store(data: Path, count: int) -> None:
    """Fill a data directory's database with sandboxes, as many for each user as one may have."""
    data.mkdir(mode=0o700)
    store = Store(data / "state.sqlite3")
    database = store._db  # pyright: ignore[reportPrivateUsage]  # for one transaction
    now = datetime.now(UTC)
    database.execute("BEGIN")
    for number in range(count):
        owner = f"crowd-{number // QUOTA}"
        if number % QUOTA == 0:
            store.add_user(User(owner, owner, None, True, now, now))
        name = f"sandbox-{number}"
        running = Intent(Fate.RUNNING, is_paused=False, since=now)
        store.add_sandbox(Sandbox(name, owner, name, "image", now, running))
    database.execute("COMMIT")
    store.close()
