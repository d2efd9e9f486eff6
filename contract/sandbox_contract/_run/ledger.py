"""What a run has made on a target, so that it can be removed in reverse order."""

from collections.abc import Awaitable, Callable

Undo = Callable[[], Awaitable[object]]


class Ledger:
    """Things that were made, each with what removes it."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, Undo]] = []

    def note(self, what: str, undo: Undo) -> None:
        """Remember something, before it is made where its name is known by then."""
        self._entries.append((what, undo))

    async def settle(self) -> list[str]:
        """Remove everything, the newest first; return what could not be, with the reason."""
        left: list[str] = []
        while self._entries:
            what, undo = self._entries.pop()
            try:
                await undo()
            except Exception as exc:  # noqa: BLE001  # one that stays must not keep the others
                left.append(f"{what} ({exc})")
        return left
