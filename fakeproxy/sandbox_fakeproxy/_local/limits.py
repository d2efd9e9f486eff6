"""Limits for the commands of a sandbox; each has a default, and can be set by name."""

from dataclasses import dataclass, fields, replace

_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits for the processes of a sandbox; sizes in bytes."""

    processes: int = 1024  # of all of them together
    # Of the address space of each: Node.js and Go reserve much more than they use.
    memory: int = 64 * 1024**3
    # Of all of them together, where the fake can make control groups.
    total_memory: int = 8 * 1024**3
    file: int = 10 * 1024**3  # size of each file
    cpu: int = 3600  # seconds of each process
    disk: int = 20 * 1024**3  # in /sandbox, /home/gem and /tmp together

    def __str__(self) -> str:
        return ",".join(
            f"{field.name}={_with_unit(getattr(self, field.name))}" for field in fields(self)
        )

    def ulimits(self) -> list[str]:
        """Return the limits that a shell can set, as options of `ulimit` with their values."""
        return [
            f"u={self.processes}",
            f"v={self.memory // 1024}",
            f"f={self.file // 1024}",
            f"t={self.cpu}",
            "c=0",
        ]


DEFAULT_LIMITS = Limits()


def read_limits(text: str) -> Limits:
    """Read limits such as `processes=200,memory=4G`; those left out have their defaults.

    Raises:
        ValueError: a name is unknown, or a value is not a positive number.
    """
    names = [field.name for field in fields(Limits)]
    given: dict[str, int] = {}
    for each in filter(None, text.split(",")):
        name, _, value = each.partition("=")
        if name not in names:
            raise ValueError(f"'{name}' is no limit: expected some of {', '.join(names)}")
        given[name] = _read_number(name, value)
    return replace(DEFAULT_LIMITS, **given)


def _with_unit(number: int) -> str:
    for unit, size in reversed(_UNITS.items()):
        if number > size and number % size == 0:
            return f"{number // size}{unit.upper()}"
    return str(number)


def _read_number(name: str, text: str) -> int:
    digits, unit = text, 1
    if text[-1:].lower() in _UNITS:
        digits, unit = text[:-1], _UNITS[text[-1].lower()]
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 10**9):
        raise ValueError(f"{name} has the value '{text}': expected a number such as 200 or 4G")
    return int(digits) * unit
