"""The limits of a sandbox as they are written on the command line."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from sandbox_fakeproxy.runtime.local import limits
from sandbox_fakeproxy.runtime.local.limits import Limits, parse_limits


def test_limits_that_are_left_out_have_their_defaults() -> None:
    assert parse_limits("") == Limits()
    assert parse_limits("processes=5,memory=4G") == Limits(processes=5, memory=4 * 1024**3)
    assert parse_limits("disk=3k,file=7M,cpu=1t").disk == 3 * 1024


def test_limits_are_shown_as_they_are_written() -> None:
    assert str(Limits()) == "processes=1024,memory=64G,total_memory=8G,file=10G,cpu=3600,disk=20G"
    assert parse_limits(str(Limits(processes=1000))) == Limits(processes=1000)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "cores=1",
            "'cores' is not a limit: expected some of processes, memory, total_memory, file,",
        ),
        ("cpu", "cpu has the value '': expected a number such as 200 or 4G"),
        ("cpu=0", "cpu has the value '0': expected"),
        ("cpu=-1", "cpu has the value '-1': expected"),
        ("disk=1.5G", "disk has the value '1.5G': expected"),
        ("disk=G", "disk has the value 'G': expected"),
        ("processes=9999999999", "processes has the value '9999999999': expected"),
    ],
)
def test_a_wrong_limit_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="^" + problem.replace(".", r"\.")):
        parse_limits(text)


async def test_what_is_left_after_a_kill_may_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Exceeded; 120 are left, of which a command removes some, and writes more again.
    measured = [90, 110, 120, 120, 115, 100, 101, 101]

    def disk_usage(_: Iterable[Path]) -> int:
        return measured.pop(0)

    monkeypatch.setattr(limits, "disk_usage", disk_usage)
    monkeypatch.setattr(limits, "_MIN_INTERVAL", 0.0)
    monkeypatch.setattr(limits, "_PAUSE_FACTOR", 0)
    exceeded: list[int] = []

    async def on_exceeded(used: int) -> None:
        exceeded.append(used)

    with pytest.raises(IndexError):  # no more measurements
        await limits.watch_disk([], 100, on_exceeded)

    assert exceeded == [110, 101]
