"""Patterns of paths: `*`, `?` and `[…]` within a name, `**` for any directories in between."""

import re
from fnmatch import translate

GlobState = frozenset[int]


class Glob:
    """A pattern, matched name by name: a state is how far it may have got.

    As in a shell, a name with a leading dot is matched only by a pattern that spells the dot.

    Raises:
        ValueError: it is empty, absolute, or climbs by `..`.
    """

    def __init__(self, text: str) -> None:
        names = [name for name in text.split("/") if name not in {"", "."}]
        if not names or text.startswith("/") or ".." in names:
            raise ValueError("glob must be a pattern below path, such as *.py or **/*.py")
        self._names = names
        self._patterns = [re.compile(translate(name)) for name in names]

    def start(self) -> GlobState:
        """Return the state before any name."""
        return self._with_skipped({0})

    def step(self, state: GlobState, name: str) -> GlobState:
        """Return the state after one more name; the empty one never matches again."""
        after = {place for each in state for place in self._after(each, name)}
        return self._with_skipped(after)

    def accepts(self, state: GlobState) -> bool:
        """Tell whether the names so far match."""
        return len(self._names) in state

    def _after(self, place: int, name: str) -> tuple[int, ...]:
        if place == len(self._names):
            return ()
        pattern = self._names[place]
        if name.startswith(".") and not pattern.startswith("."):
            return ()
        if pattern == "**":
            return (place,)
        return (place + 1,) if self._patterns[place].match(name) else ()

    def _with_skipped(self, places: set[int]) -> GlobState:
        """Add the states in which a `**` stands for no directory."""
        for place, name in enumerate(self._names):
            if place in places and name == "**":
                places.add(place + 1)
        return frozenset(places)
