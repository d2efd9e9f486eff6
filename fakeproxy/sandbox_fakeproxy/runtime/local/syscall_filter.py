"""A seccomp filter that keeps jails from the kernel's keyrings.

All processes of a user share them: a jail inherits the session keyring of the fake's user, and no
namespace separates keys. So `add_key`, `request_key` and `keyctl` fail in a jail, as on a kernel
without keyrings.
"""

import os
import platform
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager

# For each machine, its system call ABIs (the second one is that of 32-bit programs): the number of
# the architecture in `linux/audit.h`, and that of `add_key`, which the other two calls follow.
_ABIS: Mapping[str, Mapping[int, int]] = {
    "x86_64": {0xC000003E: 248, 0x40000003: 286},
    "aarch64": {0xC00000B7: 217, 0x40000028: 309},
}
_CALL_COUNT = 3
_WITHOUT_X32 = 0xFFFF_FFFF & ~0x4000_0000  # the x32 ABI of x86-64 sets this bit in its numbers
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in `struct seccomp_data`
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # as in `linux/filter.h`, with constants of 32 bits
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_ALLOW = 0x7FFF_0000
_FAIL = 0x0005_0000 | 38  # with ENOSYS


def keyring_filter(machine: str | None = None) -> bytes | None:
    """Return the filter as a BPF program for a machine, by default this one; None if unknown."""
    abis = _ABIS.get(machine or platform.machine())
    if abis is None:
        return None
    blocks = b"".join(_block(architecture, first_call) for architecture, first_call in abis.items())
    # The kernel has no other ABI: any other call fails.
    return _instruction(_LOAD, _ARCHITECTURE) + blocks + _instruction(_RETURN, _FAIL)


def _block(architecture: int, first_call: int) -> bytes:
    """Return the instructions for the calls of one ABI; those of other ABIs skip them."""
    decision = [
        _instruction(_LOAD, _NUMBER),
        _instruction(_AND, _WITHOUT_X32),
        _instruction(_IF_AT_LEAST, first_call, otherwise=2),
        _instruction(_IF_AT_LEAST, first_call + _CALL_COUNT, then=1),
        _instruction(_RETURN, _FAIL),
        _instruction(_RETURN, _ALLOW),
    ]
    return _instruction(_IF_EQUAL, architecture, otherwise=len(decision)) + b"".join(decision)


def _instruction(code: int, constant: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Return one instruction; a comparison skips `then` or `otherwise` instructions."""
    return struct.pack("=HBBI", code, then, otherwise, constant)


@contextmanager
def filter_descriptors(program: bytes | None) -> Generator[tuple[int, ...]]:
    """Yield a descriptor from which a program can be read once; none if there is no program."""
    if program is None:
        yield ()
        return
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, program)  # far less than a pipe holds
        os.close(write_end)
        yield (read_end,)
    finally:
        os.close(read_end)
