"""One request and its answer: as it was for the check, and redacted for a report."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .redaction import Redactor

_SHOWN = 4_000  # characters of a body


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was sent and what came back. Bodies are text as far as they are text."""

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
        """Return what a report may hold of it."""
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
    """Return a body as text without secrets, and then cut where nobody reads on."""
    try:
        text = redactor.text(body.decode())
    except UnicodeDecodeError:
        return f"({len(body)} bytes that are no text)"
    if len(text) > _SHOWN:
        return f"{text[:_SHOWN]}… ({len(text) - _SHOWN} characters more)"
    return text
