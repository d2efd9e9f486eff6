"""Following an output of which the runtime keeps only the start and the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import _shell_wire, _watch
from sandbox_client._shell_wire import Kept, Snapshot
from sandbox_client._waiting import Timing
from sandbox_client._watch import Audience, Watch

from tests.client.strategies import many_examples
from tests.client.stubs import RecordedProgress

LIMIT = 80  # characters that the runtime below keeps


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shell_wire, "RUNTIME_KEEPS", LIMIT)
    monkeypatch.setattr(_watch, "KNOWN_AGAIN", 8)


def kept_of(output: str) -> str:
    """Return an output as a runtime returns it that keeps two halves of `LIMIT`."""
    if len(output) <= LIMIT:
        return output
    half = LIMIT // 2
    return f"{output[:half]}\n[... {len(output) - LIMIT} characters left out ...]\n{output[-half:]}"


class Listener:
    """The news of a command, as text in which what is gone is `~`."""

    def __init__(self) -> None:
        self.text = ""
        self.missed: list[int | None] = []
        audience = Audience(RecordedProgress(), hear=self.hear, missed=self.miss)
        self.watch = Watch(Timing(), None, audience)

    def hear(self, text: str) -> None:
        self.text += text

    def miss(self, count: int | None) -> None:
        self.missed.append(count)
        self.text += "~" * (count or 0)

    def look(self, output: str, state: _shell_wire.State = "running") -> None:
        self.watch.see(Snapshot(state, output))


@many_examples
@given(st.lists(st.integers(0, 100), max_size=8), st.sampled_from(["a", "ab", "0123456789"]))
def test_every_character_is_heard_or_counted_as_gone(sizes: list[int], period: str) -> None:
    listener, printed = Listener(), ""

    for size in sizes:
        printed += (period * 100)[:size]
        listener.look(kept_of(printed))
        is_right = [b in ("~", a) for a, b in zip(printed, listener.text, strict=True)]
        assert all(is_right)

    if all(size <= LIMIT // 2 for size in sizes):
        assert listener.text == printed, "the end had it each time"


def test_an_output_that_loses_its_middle_without_a_count_is_found_again() -> None:
    listener = Listener()

    for output in ("start, one, two", "start[…]one, two, three", "start[…]two, three, four"):
        listener.look(output)

    assert listener.text == "start, one, two, three, four"
    assert listener.missed == []


def test_what_cannot_be_found_again_is_said_to_be_gone_once() -> None:
    listener = Listener()

    listener.look("start, one, two")
    for _ in range(2):
        listener.look("start[…]seven, eight")

    assert listener.text == "start, one, two[…]seven, eight"
    assert listener.missed == [None]


@many_examples
@given(size=st.integers(0, 200), position=st.integers(0, 220), limit=st.integers(1, 50))
def test_reading_counts_all_that_was_printed(size: int, position: int, limit: int) -> None:
    printed = ("0123456789" * 20)[:size]
    kept = Kept.of(kept_of(printed))

    gone, text, reached = kept.read(position, limit)

    assert kept.size == size
    assert len(text) <= limit
    assert reached == min(position, size) + gone + len(text)
    assert text == printed[reached - len(text) : reached]
