"""The client's commands: their output and their start, compared with a bare loop of requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
from sandbox_client import Client, Config
from sandbox_client.http import Proxy
from sandbox_client.masking import OutputFilter

from tools.bench.bare_commands import Api, read_bare, run_bare
from tools.bench.counting import CountingTransport
from tools.bench.measurement import Row, Target
from tools.bench.servers import ServerFailed, fake

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sandbox_client import OutputChunk

    from tools.bench.effort import Effort

NAME = "box"
WARM_UP = 2
VERSIONS: Mapping[Api, str] = {"pipes": "1.9", "terminal": "1.0"}  # of the runtime's API
MAX_REQUESTS = 3  # of a quick command


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Measure both with each of the runtime's APIs."""
    return [row for api in VERSIONS for row in await _measure(api, effort, progress)]


async def _measure(api: Api, effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    async with fake(runtime_api=VERSIONS[api]) as server:
        key = await server.new_sandbox(NAME)
        transport = CountingTransport(httpx.AsyncHTTPTransport())
        config = Config(proxy_url=server.url, api_key=key)
        async with Proxy(config, transport=transport) as proxy, server.client(key) as http:
            client = Client(proxy)
            progress(f"quick commands, {api}")
            quick = await _quick_commands(client, http, transport, api, effort)
            progress(f"output of a command, {api}")
            output = await _output(client, http, api, effort)
    return [*quick, *output]


async def _quick_commands(
    client: Client,
    http: httpx.AsyncClient,
    transport: CountingTransport,
    api: Api,
    effort: Effort,
) -> list[Row]:
    """Run `true` with the client and bare, alternately."""
    times, counts, bare = list[float](), list[float](), list[float]()
    for _ in range(WARM_UP + effort.calls):
        before = transport.count
        took, _ = await _run(client, "true", 0)
        times.append(took * 1e3)
        counts.append(transport.count - before)
        bare.append(await _timed(run_bare(http, api, NAME, "true"), 0) * 1e3)
    times, counts, bare = times[WARM_UP:], counts[WARM_UP:], bare[WARM_UP:]
    target = Target("≤", MAX_REQUESTS, of="median")
    return [
        Row(f"Quick command, {api}", "ms", times, bare, Target("≤", 1.5)),
        Row("  its requests", "requests", counts, target=target),
    ]


async def _output(client: Client, http: httpx.AsyncClient, api: Api, effort: Effort) -> list[Row]:
    """Print megabytes with the client and bare, alternately, and read the client's once more.

    The time until a command on a terminal has ended is mostly pauses between looks: the longer a
    look takes, the longer the next one waits.
    """
    size = effort.output_bytes
    command = f'yes "$(seq 1 20000)" | head -c {size}'
    live, bare, again, bare_again = list[float](), list[float](), list[float](), list[float]()
    for _ in range(effort.output_rounds):
        took, session = await _run(client, command, size)
        live.append(took)
        bare.append(await _timed(run_bare(http, api, NAME, command), size))
        again.append(await _read(client, session, size))
        bare_again.append(await _timed(read_bare(http, api, NAME, session), size))
    megabytes = size / 1e6
    live, bare, again, bare_again = (
        [megabytes / seconds for seconds in each] for each in (live, bare, again, bare_again)
    )
    return [
        Row(f"Output of a command, {api}", "MB/s", live, bare),
        Row("  read after its end", "MB/s", again, bare_again, Target("≥", 0.5)),
    ]


async def _run(client: Client, command: str, size: int) -> tuple[float, str]:
    """Run a command with the client; return the seconds until its end, and its session."""
    output = _ShownOutput()
    start = time.perf_counter()
    prompt = await client.run(NAME, command, wait=None, on_output=output.feed)
    length = output.end()
    took = time.perf_counter() - start
    _check(length, size)
    return took, prompt.session


async def _read(client: Client, session: str, size: int) -> float:
    """Read the output of a command that has ended; return the seconds."""
    output = _ShownOutput()
    start = time.perf_counter()
    await client.output(NAME, session, wait=0, on_output=output.feed)
    length = output.end()
    took = time.perf_counter() - start
    _check(length, size)
    return took


async def _timed(bare: Awaitable[int], size: int) -> float:
    """Await the size of an output; return the seconds."""
    start = time.perf_counter()
    length = await bare
    took = time.perf_counter() - start
    _check(length, size)
    return took


def _check(length: int, size: int) -> None:
    if length != size:
        raise ServerFailed(f"An output has {length} bytes instead of {size}")


class _ShownOutput:
    """The output of a command, as `remote-sandbox prompt` writes it into a pipe."""

    def __init__(self) -> None:
        self._filter = OutputFilter()
        self._length = 0

    def end(self) -> int:
        """Return the number of bytes."""
        return self._length

    def feed(self, chunk: OutputChunk) -> None:
        """Count the bytes of new output."""
        self._length += len(self._filter.feed(chunk.text).encode())
