"""Ids and keys, all made from one source of randomness."""

import string
from collections.abc import Callable, Collection
from random import Random, SystemRandom
from uuid import UUID

KEY_PREFIX = "sk_live_"
PREFIX_SHOWN = 12
_KEY_ALPHABET = string.ascii_letters + string.digits + "_-"


class IdGenerator:
    """Make ids and keys, unpredictable unless a seeded `Random` is passed in."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random if random is not None else SystemRandom()
        is_seeded = not isinstance(self._random, SystemRandom)
        self._start = self._random.getstate() if is_seeded else None
        self._given: Collection[str] = ()

    def begin(self, made: int, *, given: Collection[str] = ()) -> None:
        """Begin the sequence again, or where it is after `made` rows.

        Without that, a restart would make the ids again that its state already holds. No key that
        is among `given` is made: a seeded sequence is known beforehand.
        """
        self._given = given
        if self._start is None:
            return
        self._random.setstate(self._start)
        if made:
            self._random.seed(f"{self._random.getrandbits(64)} {made}")

    def uuid(self) -> str:
        """Make an id."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def api_key(self) -> str:
        """Make a user's API key."""
        while (key := KEY_PREFIX + self.token()) in self._given:
            pass
        return key

    def token(self) -> str:
        """Make 32 characters that cannot be guessed."""
        return "".join(self._random.choices(_KEY_ALPHABET, k=32))


class SessionIds:
    """Make the ids of sessions; with a seed, each sandbox's are the same in every run.

    They follow from the sandbox's own id, so that no other sandbox's requests change them.
    """

    def __init__(self, seed: str | None = None) -> None:
        self._seed = seed
        self._mints: dict[str, IdGenerator] = {}

    def of(self, sandbox_id: str) -> Callable[[], str]:
        """Return the function that makes a sandbox's ids; over pauses, none is made twice."""
        if sandbox_id not in self._mints:
            self._mints[sandbox_id] = IdGenerator(self._random(sandbox_id))
        return self._mints[sandbox_id].uuid

    def forget(self, sandbox_id: str) -> None:
        """Start over, for another sandbox of that id."""
        self._mints.pop(sandbox_id, None)

    def _random(self, sandbox_id: str) -> Random | None:
        return None if self._seed is None else seeded(f"{self._seed} {sandbox_id}")


def seeded(seed: str) -> Random:
    """Return randomness that can be foretold, and shares nothing with that of another seed."""
    return Random(seed)  # noqa: S311  (to be foretold)


def seed_of(random: Random | None) -> str | None:
    """Return a seed that follows from the state of `random`, which is left as it is."""
    if random is None or isinstance(random, SystemRandom):
        return None
    copy = Random()  # noqa: S311  (to be foretold)
    copy.setstate(random.getstate())
    return str(copy.getrandbits(64))
