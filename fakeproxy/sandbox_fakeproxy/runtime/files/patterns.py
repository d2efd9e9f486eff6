"""Patterns of paths: `*`, `?` and `[…]` within a name, `**` for any number of directories."""

import re
from fnmatch import translate

GlobState = frozenset[int]  # positions in the pattern: how many of its parts may have matched


class Glob:
    """A pattern below a directory, matched name by name.

    As in a shell, a name with a leading dot is matched only by a part that begins with a dot.

    The standard library's `fnmatch` matches the names, and this class the `**`. wcmatch 10 was
    measured: its time is exponential in the number of `**/` (0.57 s for six in a path of 40 names,
    ten times more for each further one), it holds up the whole fake meanwhile, and a pattern may
    come from any caller. Matching name by name also lets a walk leave out directories that cannot
    match.

    Raises:
        ValueError: the pattern is empty or absolute, or contains `..`.
    """

    def __init__(self, text: str) -> None:
        parts = [part for part in text.split("/") if part not in {"", "."}]
        if not parts or text.startswith("/") or ".." in parts:
            raise ValueError("glob must be a pattern below path, such as *.py or **/*.py")
        self._parts = parts
        self._expressions = [re.compile(translate(part)) for part in parts]

    def start(self) -> GlobState:
        """Return the state of a match before the first name of a path."""
        return self._with_empty_double_stars({0})

    def step(self, state: GlobState, name: str) -> GlobState:
        """Return the state after one more name; from the empty state nothing matches."""
        following = {after for position in state for after in self._advance(position, name)}
        return self._with_empty_double_stars(following)

    def accepts(self, state: GlobState) -> bool:
        """Return whether the names so far match the whole pattern."""
        return len(self._parts) in state

    def _advance(self, position: int, name: str) -> tuple[int, ...]:
        if position == len(self._parts):
            return ()
        part = self._parts[position]
        if name.startswith(".") and not part.startswith("."):
            return ()
        if part == "**":
            return (position,)
        return (position + 1,) if self._expressions[position].match(name) else ()

    def _with_empty_double_stars(self, positions: set[int]) -> GlobState:
        """Add the positions that are reached if a `**` matches no directory."""
        for position, part in enumerate(self._parts):
            if position in positions and part == "**":
                positions.add(position + 1)
        return frozenset(positions)
