"""Ids and keys, all made from one source of randomness."""

import string
from random import Random, SystemRandom
from uuid import UUID

KEY_PREFIX = "sk_live_"
PREFIX_SHOWN = 12
_KEY_ALPHABET = string.ascii_letters + string.digits + "_-"


class Mint:
    """Make ids and keys, unpredictable unless a seeded `Random` is passed in."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random if random is not None else SystemRandom()
        is_seeded = not isinstance(self._random, SystemRandom)
        self._start = self._random.getstate() if is_seeded else None

    def begin(self, made: int) -> None:
        """Make the same again from here, or else what follows once `made` rows were made.

        Without that, a restart would make the ids again that its state already holds.
        """
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
        return KEY_PREFIX + self.token()

    def token(self) -> str:
        """Make 32 characters that nobody guesses."""
        return "".join(self._random.choices(_KEY_ALPHABET, k=32))
