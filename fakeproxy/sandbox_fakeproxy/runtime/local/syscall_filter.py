"""A seccomp filter for jails: the kernel's keyrings are shared by all of a user's processes.

A jail inherits the session keyring of the user of the fake, and no namespace separates keys.
So `add_key`, `request_key` and `keyctl` fail there, as on a kernel without keyrings.
"""

import os
import platform
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager

# For each machine, its ways into the kernel (the second is that of 32-bit programs): the way's
# number in `linux/audit.h`, and the number of `add_key`, which the other two follow.
_WAYS: Mapping[str, Mapping[int, int]] = {
    "x86_64": {0xC000003E: 248, 0x40000003: 286},
    "aarch64": {0xC00000B7: 217, 0x40000028: 309},
}
_CALLS = 3
_WITHOUT_X32 = 0xFFFF_FFFF & ~0x4000_0000  # x86-64's third way has this bit in its numbers
_NUMBER, _WAY = 0, 4  # offsets in `struct seccomp_data`
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # as in `linux/filter.h`, with constants of 32 bits
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_ALLOW = 0x7FFF_0000
_FAIL = 0x0005_0000 | 38  # with ENOSYS


def key_filter(machine: str | None = None) -> bytes | None:
    """Return the filter as a BPF program for this kind of machine; None for an unknown kind."""
    ways = _WAYS.get(machine or platform.machine())
    if ways is None:
        return None
    blocks = b"".join(_block(way, first) for way, first in ways.items())
    return _do(_LOAD, _WAY) + blocks + _do(_RETURN, _FAIL)  # the kernel has no other way in


def _block(way: int, first: int) -> bytes:
    """Return instructions that decide about calls by one way, and skip themselves for others."""
    decide = [
        _do(_LOAD, _NUMBER),
        _do(_AND, _WITHOUT_X32),
        _do(_IF_AT_LEAST, first, otherwise=2),
        _do(_IF_AT_LEAST, first + _CALLS, then=1),
        _do(_RETURN, _FAIL),
        _do(_RETURN, _ALLOW),
    ]
    return _do(_IF_EQUAL, way, otherwise=len(decide)) + b"".join(decide)


def _do(code: int, constant: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Return one instruction; `then` and `otherwise` are how many a comparison skips."""
    return struct.pack("=HBBI", code, then, otherwise, constant)


@contextmanager
def readable(program: bytes | None) -> Generator[tuple[int, ...]]:
    """Yield a descriptor to read a program from, once; none without a program."""
    if program is None:
        yield ()
        return
    reading, writing = os.pipe()
    try:
        os.write(writing, program)  # far less than a pipe holds
        os.close(writing)
        yield (reading,)
    finally:
        os.close(reading)
