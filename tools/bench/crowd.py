"""Whether one sandbox's status takes longer when many are stored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sandbox_fakeproxy import Store
from sandbox_fakeproxy._proxy.auth import digest
from sandbox_fakeproxy._state.fates import Fate
from sandbox_fakeproxy._state.records import ApiKey, Intent, Sandbox, User

from tools.bench.figures import Row, Target
from tools.bench.load import Exchange, load
from tools.bench.servers import Fake, fake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.bench.effort import Effort

FEW = 10
QUOTA = 10  # sandboxes of a user
TIME_LIMIT = 10.0  # seconds for a round


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Ask two fakes in turn, of which one has few sandboxes and the other many.

    Both answer what a person's client asks, the status of one user's sandboxes again and again.
    The many are also asked for another's each time, which leaves nothing to remember.
    """
    quiet, crowded, strangers = list[float](), list[float](), list[float]()
    with TemporaryDirectory(prefix="async-remote-agent-bench-") as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        progress(f"storing {effort.crowd:,} sandboxes")
        for data, count in ((few, FEW), (many, effort.crowd)):
            _store(data, count)
        async with fake(few) as first, fake(many) as second:
            for number in range(effort.status_rounds):
                progress(f"status among many, round {number + 1} of {effort.status_rounds}")
                random = Random(number)  # noqa: S311  (the same questions in each run)
                user = random.randrange(effort.crowd // QUOTA) * QUOTA
                own = [random.randrange(QUOTA) for _ in range(effort.status_requests)]
                others = [random.randrange(effort.crowd) for _ in own]
                quiet.append(await _latency(first, own))
                crowded.append(await _latency(second, [user + each for each in own]))
                strangers.append(await _latency(second, others))
    name = f"Fake: status among {effort.crowd:,}, not {FEW}"
    return [
        Row(name, "ms", crowded, quiet, Target("≤", 1.3)),
        Row("  of another user's each time", "ms", strangers, quiet),
    ]


async def _latency(proxy: Fake, sandboxes: Sequence[int]) -> float:
    """Return the mean time for the status of a sandbox, in milliseconds."""
    asked = [_status(number) for number in sandboxes]
    done = await load(proxy.url, [asked], seconds=TIME_LIMIT, rounds=1)
    return done.times[0] / len(asked) * 1e3


def _status(number: int) -> Exchange:
    path = f"/api/sandboxes/sandbox-{number}"
    return Exchange.of("GET", path, key=_key(number // QUOTA), status=200)


def _key(owner: int) -> str:
    return f"sk_live_{owner:032}"


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
            key = ApiKey(owner, owner, "sk_live_0000", None, True, now, None, None)
            store.add_key(key, digest(_key(number // QUOTA)))
        name = f"sandbox-{number}"
        running = Intent(Fate.RUNNING, is_paused=False, since=now)
        store.add_sandbox(Sandbox(name, owner, name, "image", now, running))
    database.execute("COMMIT")
    store.close()
