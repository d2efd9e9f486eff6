"""A command's output, kept within bounds however much it writes."""

import codecs

TRUNCATED_LIMIT = 30_000
# What a caller gets who asks for everything: enough for any log, and `yes` eats no memory.
FULL_LIMIT = 10_000_000
_MARKER_ROOM = 100


class Output:
    """Collect bytes as text: the whole of it up to `limit` characters, else its head and tail."""

    def __init__(self, limit: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._head_limit = limit - limit // 2
        self._tail_limit = limit // 2
        self._head: list[str] = []
        self._tail = ""
        self._pending: list[str] = []  # joined to the tail now and then, not at every chunk
        self._pending_size = 0
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Take what was read; bytes that are not UTF-8 become replacement characters."""
        self._add(self._decoder.decode(chunk))

    def finish(self) -> None:
        """Say that no more belongs to what was fed: half a character is none."""
        self._add(self._decoder.decode(b"", final=True))
        self._decoder.reset()

    def text(self) -> str:
        """Return what was kept, saying how much was not."""
        self._join_tail()
        head = "".join(self._head)
        if self._size <= self._head_limit + self._tail_limit:
            return head + self._tail
        tail = self._tail[_MARKER_ROOM:]
        left_out = self._size - len(head) - len(tail)
        return f"{head}\n[... {left_out} characters left out ...]\n{tail}"

    def _add(self, text: str) -> None:
        room = self._head_limit - min(self._size, self._head_limit)
        self._size += len(text)
        if room:
            self._head.append(text[:room])
        if room < len(text):
            self._pending.append(text[room:])
            self._pending_size += len(text) - room
        if self._pending_size > self._tail_limit:
            self._join_tail()

    def _join_tail(self) -> None:
        self._tail = "".join([self._tail, *self._pending])[-self._tail_limit :]
        self._pending.clear()
        self._pending_size = 0


def shortened(text: str, limit: int = TRUNCATED_LIMIT) -> str:
    """Return a text within `limit` characters, as if it had been collected so."""
    output = Output(limit)
    output.feed(text.encode())
    return output.text()
