"""Positions in output, and the recorder, which keeps the head and the tail of long output."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import Output, OutputChunk, output
from sandbox_client.output import Page, Part, Recorder

from tests.client.strategies import many_examples

texts = st.text(st.sampled_from(["a", "é", "\ufffd", "😀"]), max_size=12)


def part_of(data: bytes, start: int = 0) -> Part:
    """Return bytes as the runtime sends them, with U+FFFD for bytes that are not UTF-8."""
    return Part(start, data.decode(errors="replace"), start + len(data))


def recorded(*pieces: str) -> Output:
    recorder, end = Recorder(), 0
    for piece in pieces:
        end += len(piece.encode())
        recorder.add(OutputChunk(piece, end, unit="bytes"))
    return recorder.output()


@many_examples
@given(text=texts, start=st.integers(0, 5), data=st.data())
def test_positions_in_utf_8_count_bytes(text: str, start: int, data: st.DataObject) -> None:
    part = Part(start, text, start + len(text.encode()))
    length = data.draw(st.integers(0, len(text)))

    position = part.position_after(length)

    assert position == start + len(text[:length].encode())
    assert part.length_before(position) == length


@many_examples
@given(data=st.lists(st.sampled_from([b"a", "é".encode(), b"\xff"]), max_size=12).map(b"".join))
def test_positions_of_replaced_bytes_count_the_original_bytes(data: bytes) -> None:
    part = part_of(data, 7)

    for length in range(len(part.text) + 1):
        before = "".join("?" if each == "\ufffd" else each for each in part.text[:length])
        assert part.position_after(length) == 7 + len(before.encode())


@many_examples
@given(data=st.binary(max_size=12))
@example(data=b"\xe2\x82a\xff")
def test_positions_of_any_bytes_increase_up_to_the_end(data: bytes) -> None:
    part = part_of(data)

    positions = [part.position_after(length) for length in range(len(part.text) + 1)]

    assert positions == sorted(positions)
    assert (positions[0], positions[-1]) == (0, len(data))


def test_a_character_around_a_position_belongs_to_the_text_before() -> None:
    part = Part(0, "aé", 3)

    assert [part.length_before(position) for position in (-1, 0, 1, 2, 3, 9)] == [0, 0, 1, 2, 2, 2]


@many_examples
@given(text=texts, limit=st.integers(1, 4))
def test_pages_are_the_whole_output(text: str, limit: int) -> None:
    output = Output(0, (Part(0, text, len(text.encode())),), unit="bytes")
    pages, position = "", 0

    while (page := output.read(position, limit)).text:
        pages, position = pages + page.text, page.end

    assert (pages, position) == (text, output.end)


PARTS = Output(10, (Part(10, "abc", 13), Part(20, "xyz", 23)), gone=7)


@pytest.mark.parametrize(
    ("position", "limit", "page"),
    [
        (0, None, Page("abc", 13)),
        (11, 1, Page("b", 12)),
        (13, None, Page("xyz", 23, gone=7)),
        (15, 2, Page("xy", 22, gone=5)),
        (23, None, Page("", 23)),
        (99, None, Page("", 23)),
    ],
)
def test_a_page_counts_the_lost_positions_before_it(
    position: int, limit: int | None, page: Page
) -> None:
    assert PARTS.read(position, limit) == page


def test_lost_positions_are_counted_after_a_position() -> None:
    assert [PARTS.gone_after(position) for position in (0, 13, 19, 20)] == [7, 7, 1, 0]
    assert Output(0, PARTS.parts).gone_after(0) == 0, "left out here, and not gone"
    assert (PARTS.is_whole, PARTS.last(2), PARTS.text) == (False, "yz", "abcxyz")


def test_short_output_is_recorded_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_HEAD", 4)
    monkeypatch.setattr(output, "MAX_TAIL", 4)

    found = recorded("aé", "", "ééé", "bc")

    assert found == Output(0, (Part(0, "aéééébc", 11),), unit="bytes")
    assert found.is_whole


@many_examples
@given(pieces=st.lists(texts, max_size=6))
def test_the_head_and_the_tail_of_long_output_are_recorded(pieces: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "MAX_HEAD", 5)
        patch.setattr(output, "MAX_TAIL", 6)
        found = recorded(*pieces)
    text = "".join(pieces)

    assert found.end == len(text.encode())
    if len(text) <= 11:
        assert found.text == text
    else:
        head, tail = found.parts
        assert (head.text, tail.text) == (text[:5], text[-6:])
        assert tail.start == len(text[:-6].encode())
    assert found.gone == 0, "it can be read again"


def test_a_recorder_counts_the_gaps_that_the_runtime_reports() -> None:
    recorder = Recorder(100)
    for chunk in (
        OutputChunk("ab", 102),
        OutputChunk("c", 110, gone=7),
        OutputChunk("", 120, gone=10),
    ):
        recorder.add(chunk)

    found = recorder.output()

    assert found.parts == (Part(100, "ab", 102), Part(109, "c", 110))
    assert (found.start, found.gone, recorder.end) == (100, 17, 120)
