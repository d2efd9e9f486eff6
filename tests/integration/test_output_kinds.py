"""Compare the output of the client with the bytes of the command, with both APIs of the runtime.

Each kind of output is tested on a fake proxy that keeps the contract and on one like the deployed
proxy. The local runtime of the fake runs a command that writes known bytes. The client has to pass
on the same bytes, with U+FFFD for bytes that are not UTF-8, the API key masked, and the size of the
output that the runtime no longer has.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest
from sandbox_client import Client, Config
from sandbox_client.http import Proxy
from sandbox_client.masking import OutputFilter, masked
from sandbox_fakeproxy import FakeProxyServer

from tests.integration.programs import clean_environment

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sandbox_client import CommandResult, OutputChunk

KEY = "sk_live_0123456789abcdefghijklmnopqrstuv"
BOX = "box"
SEED = {"users": [{"username": "ada", "keys": [{"key": KEY}], "sandboxes": [{"name": BOX}]}]}
TARGETS: dict[str, dict[str, Any]] = {
    "pipes": {},
    "pipes-as-deployed": {"as_deployed": True, "runtime_api": "1.9"},
    "terminal": {"runtime_api": "1.0"},
    "terminal-as-deployed": {"as_deployed": True},
}
MB = 1_000_000
PIPES_KEEP = 129 * 1024 * 1024  # bytes of a stream at least, by the fake: the first and the last
TERMINAL_KEEPS = 10 * MB  # characters: the first half, and the last but for its marker
MARKER_ROOM = 100
NOTE_ON_BYTES = (
    r"remote-sandbox: \d+ characters of the output may be bytes that are not UTF-8, .+\n"
)
NOTE_ON_GONE = r"remote-sandbox: (\d+) characters of the output are gone: .+"


@dataclass(frozen=True)
class Kind:
    """A kind of output: a shell command and the bytes that it writes.

    `terminal` has both streams in the order in which they are written; by default, standard error
    follows standard output. With `is_too_much`, a terminal may lose some of the bytes.
    """

    name: str
    command: str
    stdout: bytes = b""
    stderr: bytes = b""
    terminal: bytes | None = None
    is_too_much: bool = False

    def expected(self, api: Literal["pipes", "terminal"]) -> tuple[bytes, bytes]:
        """Return the bytes of standard output and standard error."""
        if api == "pipes":
            return self.stdout, self.stderr
        return self.stdout + self.stderr if self.terminal is None else self.terminal, b""


def printf(data: bytes) -> str:
    """Return a bash command that writes these bytes."""
    return "printf '" + "".join(f"\\{byte:03o}" for byte in data) + "'"


def written(name: str, data: bytes) -> Kind:
    """Return a kind that `printf` writes to standard output."""
    return Kind(name, printf(data), data)


def lines(count: int) -> bytes:
    """Return the output of `seq 1 COUNT`."""
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


def repeated(pattern: bytes, size: int) -> bytes:
    """Return the output of `yes PATTERN | head -c SIZE`."""
    return (pattern * (size // len(pattern) + 1))[:size]


CONTROLS = {
    "NUL": b"a\0b\0\0c\n",
    "CR alone": b"one\rtwo\r",
    "CRLF": b"one\r\ntwo\r\n\r\n",
    "progress bar": b"".join(b"\r%3d %% [%-10s]" % (n, b"#" * (n // 10)) for n in range(101)),
    "colours": b"\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[m\n",
    "cursor movement": b"\x1b[2J\x1b[H\x1b[10;20Hthere\x1b[3A\x1b[K\x1b[?25l\x1b7\x1b8\n",
    "questions to a terminal": b"\x1b[6n\x1b[c\x1b[>c\x1bZ\x05\x1b]10;?\x07\n",
    "title and link": b"\x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n",
    "cut-off escape sequence": b"text \x1b[38;5",
    "bell": b"\a\a\n",
    "backspace": b"abc\b\b\bxyz\b \n",
    "tab and vertical tab": b"\ta\t\tb\v\fc\n",
    "DEL": b"a\x7fb\n",
    "C1": "".join(map(chr, range(0x80, 0xA0))).encode() + b"\n",
    "keys that act on a terminal": b"\x03\x04\x11\x12\x13\x15\x16\x17\x1a\x1c\x7f\n",
}
NO_UTF8 = {
    "0xFF": b"a\xffb\xfe\n",
    "lone continuation byte": b"a\x80b\xbf\n",
    "C1 as bytes": bytes(range(0x80, 0xA0)) + b"\n",
    "truncated at the end": "done €".encode()[:-1],
    "truncated, then text": "€".encode()[:-1] + b"x" + "😀".encode()[:-1] + b"\n",
    "overlong": b"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf\n",
    "surrogates": b"\xed\xa0\x80\xed\xb0\x80\n",
    "above U+10FFFF": b"\xf4\x90\x80\x80\xf8\x88\x80\x80\x80\n",
    "all bytes": bytes(range(256)) * 2,
    "Latin-1": "Größe in Köln\n".encode("latin-1"),
    "UTF-16": "Größe\n".encode("utf-16"),
}
TEXTS = {
    "no newline at the end": b"no newline",
    "only newlines": b"\n" * 7,
    "one newline": b"\n",
    "spaces": b" " * 300 + b"\n  \n ",
    "byte order mark": "\ufefftext\n\ufeff".encode(),
    "two to four bytes": "é ß € 漢字 😀 \U0010fffd\n".encode(),
    "U+FFFD itself": "a\ufffdb\n".encode(),
    "combining marks": ("e\u0301 Z" + "\u0334" * 40 + " 👩\u200d👩\u200d👧 \ufe0f\n").encode(),
    "right to left": "\u202eabc\u202c \u2066x\u2069 שלום مرحبا\u200f\n".encode(),
    "other ends of lines": "a\u2028b\u2029c\u0085d\x1ee\n".encode(),
    "JSON": b'{"success": false, "data": {"output": "\\u0000\\ud800 \\"x\\\\"}}\n',
    "HTML": b"<!DOCTYPE html><html><body>&amp;<script>alert(1)</script></body></html>\n",
    "runtime's marker": b"a\n[... 5 characters left out ...]\nb\n[... 7 bytes left out ...]\n",
    "client's marker": "[… 5 characters left out; after=3 shows them …]\n".encode(),
    "shell's prompts": b"$ # > ada@box:~$ \n$ ls\n",
    "client's mark": b": run-1a2b3c4d; true\n: run-1a2b; \n",
    "client's last line": b"[exit code 0, after 1.0 s]\nexit code 0\nremote-sandbox: killed\n",
    "markup": b"[red]x[/red] [bold] [/] \\[x] :smile:\n",
    "API key": f"{KEY}\nx{KEY}{KEY}{KEY[:-1]}!{KEY[:9]}".encode(),
}
SPLIT = "é€😀".encode()
PATTERN = lines(20_000)
KINDS = [
    Kind("nothing", "true"),
    *itertools.starmap(written, {**TEXTS, **CONTROLS, **NO_UTF8}.items()),
    # Characters that a terminal or the history of the shell would interpret.
    Kind(
        "characters in the command",
        "printf %s 'tab\there, !! $x \\n `y` é\"'\nprintf '%s\\n' \"it's\x7f\x1b[0m\"",
        b"tab\there, !! $x \\n `y` \xc3\xa9\"it's\x7f\x1b[0m\n",
    ),
    Kind(
        "pieces of a character",
        "; sleep 0.12; ".join(printf(bytes([byte])) for byte in SPLIT),
        SPLIT,
    ),
    Kind(
        "a character between two streams",
        f"{printf(SPLIT[:1])}; {printf(b'-')} >&2; {printf(SPLIT[1:2])}",
        SPLIT[:2],
        b"-",
        terminal=SPLIT[:1] + b"-" + SPLIT[1:2],
    ),
    Kind(
        "API key in pieces, on both streams",
        f"printf {KEY[:20]}; sleep 0.2; printf {KEY[20:]}; printf {KEY} >&2",
        KEY.encode(),
        KEY.encode(),
    ),
    Kind(
        "alternating streams",
        "for i in {1..50}; do echo out $i; echo err $i >&2; done",
        b"".join(b"out %d\n" % number for number in range(1, 51)),
        b"".join(b"err %d\n" % number for number in range(1, 51)),
        terminal=b"".join(b"out %d\nerr %d\n" % (number, number) for number in range(1, 51)),
    ),
    Kind(
        "many bytes that are no UTF-8",
        "head -c 60000 /dev/zero | tr '\\0' '\\377'; sleep 0.1; printf '\\377x'",
        b"\xff" * 60_001 + b"x",
    ),
    Kind("standard error only", f"{printf(b'oh no')} >&2", b"", b"oh no"),
    Kind(
        "large standard error",
        "seq 1 40000 >&2; echo end",
        b"end\n",
        lines(40_000),
        lines(40_000) + b"end\n",
    ),
    Kind("very many lines", "seq 1 150000", lines(150_000)),
    Kind("many empty lines", "yes '' | head -c 70000", b"\n" * 70_000),
    Kind("slow drip", "for i in {1..8}; do printf $i; sleep 0.08; done", b"12345678"),
    Kind("short writes", "for i in {1..3000}; do printf x; done", b"x" * 3000),
    Kind("bursts", "for i in {1..5}; do seq 1 20000; sleep 0.05; done", PATTERN * 5),
    Kind("base64", "seq 1 20000 | base64", base64.encodebytes(PATTERN)),
    # Lengths around the limits of the runtime and the client for one reply.
    *(
        Kind(
            f"{size} wide characters",
            f"yes é | tr -d '\\n' | head -c {2 * size}",
            "é".encode() * size,
        )
        for size in (19_999, 20_000, 30_001, 40_001, 50_001)
    ),
    # An odd number of bytes comes before the end of the first mebibyte, which the runtime keeps.
    Kind(
        "a character at the border of a mebibyte",
        "printf x; yes é | tr -d '\\n' | head -c 1100000",
        b"x" + "é".encode() * 550_000,
    ),
]


MARKER = b"\n[... 5 characters left out ...]\n"
HEAVY_KINDS = [
    Kind("one line of 10 MB", f"yes x | tr -d '\\n' | head -c {10 * MB}", b"x" * (10 * MB)),
    Kind(
        "a line of 10 MB, wide",
        f"yes é | tr -d '\\n' | head -c {10 * MB}",
        "é".encode() * (5 * MB),
    ),
    Kind("1 MB in writes of a byte", f"dd if=/dev/zero bs=1 count={MB} status=none", bytes(MB)),
    Kind(
        "24 bursts of 0.5 MB",
        'for i in {1..24}; do yes "$(seq 1 20000)" | head -c 500000; sleep 0.6; done',
        repeated(PATTERN, 500_000) * 24,
    ),
    # Terminal output of 9.9 to 10 million characters is complete, but may contain a marker.
    Kind(
        "runtime's marker in a long output",
        f"yes | head -c {7 * MB}; {printf(MARKER)}; yes | head -c {3 * MB - 50_000}",
        repeated(b"y\n", 7 * MB) + MARKER + repeated(b"y\n", 3 * MB - 50_000),
    ),
    Kind(
        "12 MB on both streams",
        f"{{ yes a | head -c {6 * MB}; }}; yes b | head -c {6 * MB} >&2",
        repeated(b"a\n", 6 * MB),
        repeated(b"b\n", 6 * MB),
        is_too_much=True,
    ),
    Kind(
        "all that a stream keeps, at once",
        f'yes "$(seq 1 20000)" | head -c {PIPES_KEEP}',
        repeated(PATTERN, PIPES_KEEP),
        is_too_much=True,
    ),
    Kind(
        "200 MB",
        f'for i in {{1..10}}; do yes "$(seq 1 20000)" | head -c {20 * MB}; sleep 0.5; done',
        repeated(PATTERN, 20 * MB) * 10,
        is_too_much=True,
    ),
]


@dataclass
class Collector:
    """Collect the output of a command as `remote-sandbox` would write it to a pipe."""

    chunk: dict[bool, list[OutputChunk]] = field(default_factory=lambda: {False: [], True: []})

    def collect(self, chunk: OutputChunk) -> None:
        self.chunk[chunk.is_error].append(chunk)

    def written(self, *, is_error: bool) -> bytes:
        """Return the text of a stream."""
        shown = OutputFilter()
        return "".join(shown.feed(chunk.text) for chunk in self.chunk[is_error]).encode()

    def gone(self, *, is_error: bool) -> int:
        """Return the size of the lost output; fail if it is unknown."""
        sizes = [chunk.gone for chunk in self.chunk[is_error]]
        assert None not in sizes
        return sum(size or 0 for size in sizes)

    def end(self, *, is_error: bool) -> int:
        """Return the last position of a stream."""
        return self.chunk[is_error][-1].end if self.chunk[is_error] else 0


@dataclass(frozen=True)
class Target:
    """A served fake proxy with the ready sandbox BOX, and the API that the client has to use."""

    url: str
    api: Literal["pipes", "terminal"]

    async def run(self, command: str) -> tuple[CommandResult, Collector]:
        """Run a command to the end with a new client."""
        collector = Collector()
        async with Proxy(Config(proxy_url=self.url, api_key=KEY)) as proxy:
            client = Client(proxy)
            result = await client.run(BOX, command, wait=None, on_output=collector.collect)
        return result, collector


@pytest.fixture(scope="module", params=TARGETS)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Target]:
    """Return each target in turn."""
    with FakeProxyServer(tmp_path_factory.mktemp("fake"), **TARGETS[request.param]) as server:
        server.seed(SEED)
        yield Target(server.url, "pipes" if request.param.startswith("pipes") else "terminal")


def shown(data: bytes) -> bytes:
    """Return the bytes that have to arrive."""
    return data.decode(errors="replace").replace(KEY, masked(KEY, KEY)).encode()


def assert_same(actual: bytes, expected: bytes) -> None:
    """Fail at the first different byte; pytest would compare megabytes line by line."""
    if actual == expected:
        return
    pairs = enumerate(zip(actual, expected, strict=False))
    place = next((n for n, (one, two) in pairs if one != two), min(len(actual), len(expected)))
    around = slice(max(place - 20, 0), place + 60)
    pytest.fail(
        f"{len(actual)} bytes instead of {len(expected)}, different from {place} on:"
        f" {actual[around]!r} instead of {expected[around]!r}"
    )


def assert_gaps(chunk: list[OutputChunk], expected: bytes) -> None:
    """Check ASCII output with gaps: each chunk by position, and the total size of the gaps."""
    end = 0
    for each in chunk:
        assert each.gone is not None
        start, end = end + each.gone, each.end
        assert_same(each.text.encode(), expected[start:end])
    assert end == len(expected)


@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(kind, id=kind.name) for kind in KINDS),
        *(
            pytest.param(kind, id=kind.name, marks=[pytest.mark.check, pytest.mark.timeout(180)])
            for kind in HEAVY_KINDS
        ),
    ],
)
async def test_output_arrives_as_it_was_written(target: Target, kind: Kind) -> None:
    result, collector = await target.run(kind.command)

    assert (result.api, result.status.state, result.status.exit_code) == (
        target.api,
        "completed",
        0,
    )
    for is_error, data in zip((False, True), kind.expected(target.api), strict=True):
        gone = collector.gone(is_error=is_error)
        if gone and kind.is_too_much and target.api == "terminal":
            assert_gaps(collector.chunk[is_error], data)
            continue
        assert gone == 0
        assert_same(collector.written(is_error=is_error), shown(data))
        whole = result.errors if is_error else result.output
        if whole is not None and len(data) < TERMINAL_KEEPS:
            assert_same(whole.text.encode(), shown(data))
        unit = data if target.api == "pipes" else data.decode(errors="replace")
        assert collector.end(is_error=is_error) == len(unit)


@pytest.mark.check
@pytest.mark.timeout(180)
async def test_the_size_of_lost_output_is_reported(
    target: Target,
) -> None:
    expected = repeated(PATTERN, 200 * MB)
    command = f'yes "$(seq 1 20000)" | head -c {len(expected)}; touch written'
    collector = Collector()
    async with Proxy(Config(proxy_url=target.url, api_key=KEY)) as proxy:
        client = Client(proxy)
        session = (await client.run(BOX, command, wait=0)).session
        await client.run(BOX, "cd /sandbox; until [ -e written ]; do sleep 0.05; done")
        result = await client.output(
            BOX, session, wait=None, to_end=True, on_output=collector.collect
        )

    assert result.status.exit_code == 0
    assert_gaps(collector.chunk[False], expected)
    kept = PIPES_KEEP if target.api == "pipes" else TERMINAL_KEEPS
    assert kept - MARKER_ROOM <= len(expected) - collector.gone(is_error=False) < 2 * kept


async def test_output_of_a_background_process_can_be_read_after_the_end_of_the_shell(
    target: Target,
) -> None:
    begins = "(until [ -e go ]; do sleep 0.02; done; echo late; touch said) & echo now"
    late = Collector()
    result, collector = await target.run(begins)
    assert collector.written(is_error=False) == b"now\n"

    await target.run("touch go; until [ -e said ]; do sleep 0.02; done")
    async with Proxy(Config(proxy_url=target.url, api_key=KEY)) as proxy:
        await Client(proxy).output(BOX, result.session, after=4, wait=0, on_output=late.collect)
    assert late.written(is_error=False) == b"late\n"


EVERYTHING = b"\n".join([*TEXTS.values(), *CONTROLS.values(), *NO_UTF8.values()])
BY_NAME = {kind.name: kind for kind in [*KINDS, *HEAVY_KINDS]}
LONG_LINE = BY_NAME["one line of 10 MB"]
PRINTED_KINDS = [
    written("all literals at once", EVERYTHING),
    BY_NAME["nothing"],
    BY_NAME["no newline at the end"],
    BY_NAME["alternating streams"],
    BY_NAME["API key in pieces, on both streams"],
    BY_NAME["very many lines"],
]


@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(kind, id=kind.name) for kind in PRINTED_KINDS),
        pytest.param(LONG_LINE, id=LONG_LINE.name, marks=pytest.mark.check),
    ],
)
def test_remote_sandbox_prompt_writes_the_same_bytes_into_a_pipe(
    target: Target, tmp_path: Path, kind: Kind
) -> None:
    done = run_prompt(target, tmp_path, f"{kind.command}; exit 7")
    stdout, stderr = kind.expected(target.api)

    assert done.returncode == 7
    assert_same(done.stdout, shown(stdout))
    if kind.name == "all literals at once":
        assert re.fullmatch(NOTE_ON_BYTES, done.stderr.decode())
    else:
        assert_same(done.stderr, shown(stderr))


def test_json_has_the_same_output(target: Target, tmp_path: Path) -> None:
    done = run_prompt(target, tmp_path, printf(EVERYTHING), "--json")

    assert done.returncode == 0
    assert_same(json.loads(done.stdout)["output"].encode(), shown(EVERYTHING))


@pytest.mark.check
def test_remote_sandbox_prompt_reports_lost_output_on_standard_error(
    target: Target, tmp_path: Path
) -> None:
    expected = repeated(PATTERN, 12 * MB)
    command = f'yes "$(seq 1 20000)" | head -c {len(expected)}'
    first = json.loads(run_prompt(target, tmp_path, command, "--json").stdout)
    # The command has ended, so its first output can no longer be read.
    done = run_client(target, tmp_path, "output", BOX, first["session"])

    assert done.returncode == 0
    if target.api == "pipes":
        assert_same(done.stdout, expected)
        assert done.stderr == b""
        return
    half = TERMINAL_KEEPS // 2
    assert_same(done.stdout[:half], expected[:half])
    assert_same(done.stdout[-half + MARKER_ROOM :], expected[-half + MARKER_ROOM :])
    notes = done.stderr.decode().splitlines()
    gone = [int(found[1]) for note in notes if (found := re.fullmatch(NOTE_ON_GONE, note))]
    assert len(gone) == len(notes) > 0
    assert len(done.stdout) + sum(gone) == len(expected)


def run_prompt(
    target: Target, home: Path, command: str, *options: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `remote-sandbox prompt` with pipes for standard output and standard error."""
    return run_client(target, home, "prompt", *options, BOX, command)


def run_client(target: Target, home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run `remote-sandbox` with pipes for standard output and standard error."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox_client", *arguments],
        env=clean_environment(
            home, REMOTE_SANDBOX_PROXY_URL=target.url, REMOTE_SANDBOX_API_KEY=KEY
        ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=50,
        check=False,
    )
