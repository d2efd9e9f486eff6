"""Generators of ids and keys, all from one source of randomness."""

import string
from collections.abc import Callable, Collection
from random import Random, SystemRandom
from uuid import UUID

KEY_PREFIX = "sk_live_"
PREFIX_SHOWN = 12
_KEY_ALPHABET = string.ascii_letters + string.digits + "_-"


class IdGenerator:
    """Generate ids and keys, unpredictable unless a seeded `Random` is passed in."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random if random is not None else SystemRandom()
        is_seeded = not isinstance(self._random, SystemRandom)
        self._start = self._random.getstate() if is_seeded else None
        self._reserved_keys: Collection[str] = ()

    def restart(self, rows_created: int, *, reserved_keys: Collection[str] = ()) -> None:
        """Restart the sequence of a seeded generator, from a state derived from `rows_created`.

        Otherwise a restarted fake would generate the ids that its stored state already holds.
        `reserved_keys` are never generated: the sequence of a seeded generator is predictable, so a
        seed document may contain its keys.
        """
        self._reserved_keys = reserved_keys
        if self._start is None:
            return
        self._random.setstate(self._start)
        if rows_created:
            self._random.seed(f"{self._random.getrandbits(64)} {rows_created}")

    def uuid(self) -> str:
        """Return a new UUID, version 4."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def api_key(self) -> str:
        """Return a new API key for a user."""
        while (key := KEY_PREFIX + self.token()) in self._reserved_keys:
            pass
        return key

    def token(self) -> str:
        """Return 32 random characters."""
        return "".join(self._random.choices(_KEY_ALPHABET, k=32))


class SessionIds:
    """Generate session ids; with a seed, those of each sandbox are the same in every run.

    Each sandbox has its own generator, seeded with the sandbox's id, so that requests to other
    sandboxes do not change its sequence.
    """

    def __init__(self, seed: str | None = None) -> None:
        self._seed = seed
        self._generators: dict[str, IdGenerator] = {}

    def for_sandbox(self, sandbox_id: str) -> Callable[[], str]:
        """Return the id function of a sandbox; it never repeats an id, also not after a pause."""
        if sandbox_id not in self._generators:
            self._generators[sandbox_id] = IdGenerator(self._random(sandbox_id))
        return self._generators[sandbox_id].uuid

    def forget(self, sandbox_id: str) -> None:
        """Restart the sequence of `sandbox_id`, for a new sandbox with that id."""
        self._generators.pop(sandbox_id, None)

    def _random(self, sandbox_id: str) -> Random | None:
        return None if self._seed is None else seeded_random(f"{self._seed} {sandbox_id}")


def seeded_random(seed: str) -> Random:
    """Return a reproducible generator, independent of those with other seeds."""
    return Random(seed)  # noqa: S311  (reproducible on purpose)


def derive_seed(random: Random | None) -> str | None:
    """Return a seed derived from the state of `random`, without changing it; None if unseeded."""
    if random is None or isinstance(random, SystemRandom):
        return None
    copy = Random()  # noqa: S311  (reproducible on purpose)
    copy.setstate(random.getstate())
    return str(copy.getrandbits(64))
