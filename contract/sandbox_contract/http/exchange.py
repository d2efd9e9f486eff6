"""One request and its answer: as it was for the check, and redacted for a report."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MASK = "***"
_KEY = re.compile(r"sk_live_[A-Za-z0-9_-]{8,}")
_SHORTEST = 6  # characters
_SCHEME = re.compile(r"[A-Za-z]+ ")


def masked(text: str) -> str:
    """Return text in which everything that looks like a user's key is masked."""
    return _KEY.sub(f"sk_live_{MASK}", text)


class Redactor:
    """Mask every secret that a run knows, and everything that looks like a user's key."""

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


_SHOWN = 4_000  # characters of a body


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response."""

    method: str
    path: str
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    redactor: Redactor = field(default_factory=Redactor, repr=False, compare=False)

    def redacted(self) -> "Shown":
        """Return the exchange without secrets, for a report."""
        redactor = self.redactor
        return Shown(
            method=self.method,
            path=redactor.text(self.path),
            request_headers={
                name: redactor.header(name, value) for name, value in self.request_headers.items()
            },
            request_body=_readable(self.request_body, redactor),
            status=self.status,
            headers={name: redactor.header(name, value) for name, value in self.headers.items()},
            body=_readable(self.body, redactor),
            seconds=round(self.seconds, 4),
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """An exchange without its secrets, and no longer than a person reads."""

    method: str
    path: str
    request_headers: Mapping[str, str]
    request_body: str
    status: int
    headers: Mapping[str, str]
    body: str
    seconds: float

    @property
    def request(self) -> str:
        """Return the request in one line."""
        return f"{self.method} {self.path}" + (f" {self.request_body}" if self.request_body else "")

    @property
    def answer(self) -> str:
        """Return the answer in one line."""
        return f"{self.status}" + (f" {self.body}" if self.body else "")


def _readable(body: bytes, redactor: Redactor) -> str:
    """Return a body as text without secrets, cut after `_SHOWN` characters."""
    try:
        text = redactor.text(body.decode())
    except UnicodeDecodeError:
        return f"({len(body)} bytes that are no text)"
    if len(text) > _SHOWN:
        return f"{text[:_SHOWN]}… ({len(text) - _SHOWN} characters more)"
    return text
