"""New output in snapshots of which the runtime keeps only the start and the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client.api import shell
from sandbox_client.api.shell import SnapshotReader

from tests.client.strategies import many_examples

LIMIT = 80  # characters that the runtime below keeps


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "RUNTIME_KEEPS", LIMIT)
    monkeypatch.setattr(shell, "MAX_OVERLAP", 8)


def parse_kept(output: str) -> str:
    """Return an output as a runtime returns it that keeps two halves of `LIMIT`."""
    if len(output) <= LIMIT:
        return output
    half = LIMIT // 2
    return f"{output[:half]}\n[... {len(output) - LIMIT} characters left out ...]\n{output[-half:]}"


def heard(reader: SnapshotReader, output: str) -> str:
    """Return the news of the next snapshot: `~` for a character that is gone, `?` for some."""
    return "".join(
        ("?" if chunk.gone is None else "~" * chunk.gone) + chunk.text
        for chunk in reader.read(output)
    )


@many_examples
@given(st.lists(st.integers(0, 100), max_size=8), st.sampled_from(["a", "ab", "0123456789"]))
def test_every_character_is_heard_or_counted_as_gone(sizes: list[int], period: str) -> None:
    reader, printed, known = SnapshotReader(), "", ""

    for size in sizes:
        printed += (period * 100)[:size]
        known += heard(reader, parse_kept(printed))
        assert all(b in ("~", a) for a, b in zip(printed, known, strict=True))
        assert reader.position == len(printed)

    if all(size <= LIMIT // 2 for size in sizes):
        assert known == printed, "the end had it each time"


@many_examples
@given(size=st.integers(0, 200), position=st.integers(0, 220))
def test_a_reader_begins_at_its_position(size: int, position: int) -> None:
    printed = ("0123456789" * 20)[:size]

    known = heard(SnapshotReader(position), parse_kept(printed))

    assert len(known) == max(size - position, 0)
    assert all(b in ("~", a) for a, b in zip(printed[position:], known, strict=True))


def test_an_output_that_loses_its_middle_without_a_count_is_found_again() -> None:
    reader = SnapshotReader()
    outputs = ("start, one, two", "start[…]one, two, three", "start[…]two, three, four")

    chunk = [heard(reader, output) for output in outputs]

    assert chunk == ["start, one, two", ", three", ", four"]


def test_a_middle_that_cannot_be_found_again_is_told_as_gone_once() -> None:
    reader = SnapshotReader()
    outputs = ("start, one, two", "start[…]six", "start[…]six")

    chunk = [heard(reader, output) for output in outputs]

    assert chunk == ["start, one, two", "?[…]six", ""]


def test_a_marker_elsewhere_than_in_the_middle_belongs_to_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shell, "_MARKER_SPAN", 8)
    printed = "x" * LIMIT + "\n[... 5 characters left out ...]\n" + "y" * 10

    assert shell.parse_kept(printed).text == printed
