"""One stream of output by byte offset: what is kept of it, and its text."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_fakeproxy.runtime.pipe import stream
from sandbox_fakeproxy.runtime.pipe.stream import OutputStream

BYTES = st.lists(
    st.sampled_from([b"a", b"\n", b"\0", "é".encode(), "€".encode(), "😀".encode()])
    | st.binary(min_size=1, max_size=4)
).map(b"".join)


@pytest.fixture(params=["in memory", "on disk"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path | None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.spool._BUFFER_SIZE", 30)
    monkeypatch.setattr(stream, "HEAD_LIMIT", 100)
    monkeypatch.setattr(stream, "TAIL_LIMIT", 200)
    return tmp_path if request.param == "on disk" else None


def numbered(size: int) -> bytes:
    return b"".join(b"%09d\n" % number for number in range(size // 10))


def written(data: bytes, piece: int, folder: Path | None) -> OutputStream:
    made = OutputStream(folder)
    for start in range(0, len(data), piece):
        made.feed(data[start : start + piece])
    return made


@pytest.mark.parametrize(("size", "piece"), [(10, 1), (100, 7), (500, 50), (500, 10)])
@pytest.mark.parametrize("offset", [0, 5, 99, 100, 101, 299, 300, 499])
async def test_output_within_the_bound_is_whole(
    folder: Path | None, size: int, piece: int, offset: int
) -> None:
    data = numbered(size)
    made = written(data, piece, folder).from_offset(offset)
    assert (await made.text(), made.end) == (data[offset:].decode(), size)


async def test_beyond_the_bound_head_and_tail_are_kept(folder: Path | None) -> None:
    data = numbered(2000)
    made = written(data, 10, folder)
    assert made.size == 2000
    text = await made.from_offset().text()
    assert text[:100] == data[:100].decode()
    assert data.endswith(text[100:].encode())
    assert 200 <= len(text) - 100 <= 400
    assert await made.from_offset(500).text() == text[100:]  # the gap is left out
    assert await made.from_offset(1990).text() == data[1990:].decode()


async def test_a_slice_stays_as_it_was(folder: Path | None) -> None:
    made = written(numbered(300), 10, folder)
    before = made.from_offset(50)
    for _ in range(20):
        made.feed(numbered(100))
    assert await before.text() == numbered(300)[50:].decode()


async def test_a_full_disk_keeps_a_shorter_tail_in_memory(
    folder: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr(stream, "_MEMORY_LIMIT", 50)
    made = written(numbered(200), 10, folder)
    monkeypatch.setattr("os.pwrite", fail)
    for number in range(100):
        made.feed(b"%09d\n" % number)
    text = await made.from_offset().text()
    assert text.startswith(numbered(100).decode())
    assert text.endswith("000000098\n000000099\n")
    assert made.size == 1200


@given(BYTES, st.integers(1, 5))
def test_reads_one_after_the_other_are_the_text_of_the_whole(data: bytes, piece: int) -> None:
    async def read() -> str:
        made, offset, texts = OutputStream(), 0, list[str]()
        for start in range(0, len(data), piece):
            made.feed(data[start : start + piece])
            part = made.from_offset(offset)
            texts.append(await part.text())
            offset = part.end
        made.finish()
        texts.append(await made.from_offset(offset).text())
        return "".join(texts)

    assert asyncio.run(read()) == data.decode(errors="replace")


@given(BYTES, st.integers(1, 12))
def test_of_a_longer_text_the_marker_says_how_many_bytes_are_left_out(
    data: bytes, limit: int
) -> None:
    made = written(data, 7, None)
    made.finish()
    text = asyncio.run(made.from_offset().text(limit))
    whole = data.decode(errors="replace")
    if len(whole) <= limit:
        assert text == whole
        return
    head, _, rest = text.partition("\n[... ")
    left_out, _, tail = rest.partition(" bytes left out ...]\n")
    assert whole.startswith(head[:-1])
    assert whole.endswith(tail[1:])
    assert len(head) <= limit - limit // 2
    assert len(tail) <= limit // 2
    assert 0 < int(left_out) <= len(data)
