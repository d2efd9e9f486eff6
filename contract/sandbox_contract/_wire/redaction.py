"""Keys are shown nowhere: in no report, no error, no line of progress."""

import re
from collections.abc import Iterable

MASK = "***"
_KEY = re.compile(r"sk_live_[A-Za-z0-9_-]{8,}")
_SHORTEST = 6  # characters
_SCHEME = re.compile(r"[A-Za-z]+ ")


def masked(text: str) -> str:
    """Return text without what looks like a user's key."""
    return _KEY.sub(f"sk_live_{MASK}", text)


class Redactor:
    """Mask every secret that a run knows of, and whatever looks like a user's key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = set(secrets)

    def keep(self, secret: str | None) -> None:
        """Mask this from now on."""
        if secret:
            self._secrets.add(secret)

    def text(self, text: str) -> str:
        """Return text without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST:  # a shorter one is guessed, and is a part of other words
                text = text.replace(secret, MASK)
        return masked(text)

    def header(self, name: str, value: str) -> str:
        """Return a header's value; of `Authorization`, no more than the scheme."""
        if name.lower() != "authorization":
            return self.text(value)
        scheme = _SCHEME.match(value)
        if scheme is not None:
            return scheme[0] + (MASK if value[scheme.end() :].strip() else "")
        return MASK if value.strip() else value
