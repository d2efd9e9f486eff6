"""Run `remote-sandbox` in a terminal, with a clock that is fast or wrong.

With CLOCK_RATE, the waits of the client are as many times shorter, and count their seconds as ever;
a request takes real time. CLOCK_OFFSET is the error of this machine's date, in seconds.
"""

from __future__ import annotations

import fcntl
import os
import termios
import time
from datetime import UTC, datetime, timedelta

import anyio
from sandbox_client import http, polling
from sandbox_client.__main__ import main


def set_clock(rate: float, offset: timedelta) -> None:
    """Replace the clock of the client's waits and its date."""

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds / rate)

    def clock() -> float:
        return time.monotonic() * rate

    def random() -> float:
        return 0.0

    def now() -> datetime:
        return datetime.now(UTC) + offset

    polling.Timing.__init__.__defaults__ = (clock, sleep, random, now)
    assert http.Proxy.__init__.__kwdefaults__ is not None
    http.Proxy.__init__.__kwdefaults__["sleep"] = sleep


if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # a login opens /dev/tty: this has to be its terminal
    set_clock(
        float(os.environ.get("CLOCK_RATE", "1")),
        timedelta(seconds=float(os.environ.get("CLOCK_OFFSET", "0"))),
    )
    main()
