"""The tester's own routes below `/_fake/`: never part of the contract."""

import math
from collections.abc import Generator
from contextlib import contextmanager

from starlette.requests import Request

from sandbox_fakeproxy._clock import iso
from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._http import Arguments, Reply, read_body
from sandbox_fakeproxy._proxy.journal import CAPACITY
from sandbox_fakeproxy._state.fates import find_fate

from .fake import Fake
from .seed import parse_seed

_SEED_LIMIT = 16 * 1024 * 1024


class Control:
    """What a tester with the admin key may do to the fake itself."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    async def reset(self, _asked: Arguments) -> Reply:
        """Forget all but the time."""
        await self._fake.reset()
        return Reply({"success": True, "message": "Everything was forgotten, except the time"})

    async def advance_clock(self, asked: Arguments) -> Reply:
        """Move time on."""
        seconds = asked.body.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise Refusal(400, "seconds is required: a number, 0 or more")
        if not 0 <= seconds < math.inf:
            raise Refusal(400, "seconds must be 0 or more: time never runs backwards")
        with _refused():
            return Reply({"success": True, "now": iso(self._fake.advance(seconds))})

    async def journal(self, asked: Arguments) -> Reply:
        """List the last requests, newest first."""
        limit = asked.query.get("limit", str(CAPACITY))
        if not (limit.isascii() and limit.isdigit() and 1 <= len(limit) <= 9):
            raise Refusal(400, f"limit has value '{limit}'. Expected a number, 0 or more")
        requests = self._fake.journal(int(limit))
        return Reply({"count": len(requests), "requests": requests})

    async def state(self, _asked: Arguments) -> Reply:
        """Show what there is."""
        return Reply(self._fake.state())

    async def seed(self, content: bytes) -> Reply:
        """Replace what there is by what a document describes."""
        with _refused():
            made = await self._fake.replace(parse_seed(content))
        return Reply({"success": True} | made)

    async def set_fate(self, asked: Arguments) -> Reply:
        """Have something become of a sandbox."""
        with _refused():
            sandbox = await self._fake.set_fate(
                asked.params["username"], asked.params["name"], find_fate(asked.body.get("fate"))
            )
        return Reply({"success": True, "sandbox": sandbox})


async def read_document(request: Request) -> bytes:
    """Read a seed as it was sent, whatever its content type says: it must be JSON anyway."""
    return await read_body(request, _SEED_LIMIT)


@contextmanager
def _refused() -> Generator[None]:
    """Turn what a tester got wrong into an answer."""
    try:
        yield
    except LookupError as exc:
        raise Refusal(404, str(exc)) from exc
    except ValueError as exc:
        raise Refusal(400, str(exc)) from exc
