"""The clock of a fake proxy, moved over HTTP as its testers do."""

from dataclasses import dataclass, field

from ._wire.caller import Caller, Wire


@dataclass(frozen=True, slots=True)
class FakeClock:
    """A clock that whoever has the admin key may move on."""

    base_url: str
    admin_key: str = field(repr=False)

    async def advance(self, seconds: float) -> None:
        """Move it on.

        Raises:
            Violation: the target is no fake, and refuses.
        """
        wire = Wire(self.base_url, None)
        try:
            admin = Caller.with_key(wire, self.admin_key)
            reply = await admin("POST", "/_fake/clock/advance", {"seconds": seconds})
            reply.expect(200)
        finally:
            await wire.close()
