"""The tester's own routes below `/_fake/`: never part of the contract."""

import math

from ._clock import Clock, iso
from ._errors import Refusal
from ._http import Arguments, Reply
from ._store import Store


class Control:
    """What a tester with the admin key may do to the fake itself."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def advance_clock(self, asked: Arguments) -> Reply:
        """Move time on."""
        seconds = asked.body.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise Refusal(400, "seconds is required: a number, 0 or more")
        if not 0 <= seconds < math.inf:
            raise Refusal(400, "seconds must be 0 or more: time never runs backwards")
        try:
            self._clock.advance(seconds)
        except ValueError as exc:
            raise Refusal(400, str(exc)) from exc
        self._store.note_advance(seconds)
        return Reply({"success": True, "now": iso(self._clock.now())})
