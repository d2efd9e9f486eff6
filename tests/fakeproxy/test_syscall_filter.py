"""Which system calls the filter of jails refuses, by each way into the kernel."""

import os
import struct

import pytest
from sandbox_fakeproxy.runtime.local.syscall_filter import filter_descriptors, keyring_filter

X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
X32 = 0x4000_0000
ALLOW, ENOSYS = 0x7FFF_0000, 0x0005_0000 | 38
HIGHEST = 0xFFFF_FFFF


def decision(program: bytes, way: int, number: int) -> int:
    """Run a filter as the kernel does; return what it says about a call."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    value = at = 0
    while True:
        code, then, otherwise, constant = instructions[at]
        at += 1
        match code:
            case 0x20:
                value = {0: number, 4: way}[constant]
            case 0x54:
                value &= constant
            case 0x15:
                at += then if value == constant else otherwise
            case 0x35:
                at += then if value >= constant else otherwise
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"no instruction: {code:#x}")


@pytest.mark.parametrize(
    ("machine", "way", "refused"),
    [
        ("x86_64", X86_64, [248, 249, 250, 248 | X32, 249 | X32, 250 | X32]),
        ("x86_64", I386, [286, 287, 288]),
        ("aarch64", AARCH64, [217, 218, 219]),
        ("aarch64", ARM, [309, 310, 311]),
    ],
)
def test_only_calls_for_keys_are_refused(machine: str, way: int, refused: list[int]) -> None:
    program = keyring_filter(machine)
    assert program is not None
    numbers = [*range(600), *range(X32, X32 + 600), HIGHEST]
    found = [each for each in numbers if decision(program, way, each) == ENOSYS]
    assert [each for each in found if way == X86_64 or each < X32] == refused
    assert {decision(program, way, each) for each in set(numbers) - set(found)} == {ALLOW}


@pytest.mark.parametrize(("machine", "way"), [("x86_64", AARCH64), ("aarch64", X86_64)])
def test_every_call_by_an_unknown_way_is_refused(machine: str, way: int) -> None:
    program = keyring_filter(machine)
    assert program is not None
    assert {decision(program, way, each) for each in (0, 250, HIGHEST)} == {ENOSYS}


def test_an_unknown_machine_has_no_filter() -> None:
    assert keyring_filter("riscv64") is None
    with filter_descriptors(None) as descriptors:
        assert descriptors == ()


def test_a_program_is_read_to_its_end() -> None:
    with filter_descriptors(b"program") as (descriptor,):
        assert os.read(descriptor, 100) == b"program"
        assert os.read(descriptor, 100) == b""
