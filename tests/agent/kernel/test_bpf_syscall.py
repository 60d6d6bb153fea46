"""agent/kernel/bpf_syscall.py, bpf_maps.py and bpf_programs.py on a source that watches nobody."""

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel import bpf_maps, bpf_programs
from agent.kernel.bpf_maps import MapInformation
from agent.kernel.loader_options import Options
from agent.kernel.losses import COUNTERS
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import open_source

pytestmark = pytest.mark.kernel

HASH = 1  # BPF_MAP_TYPE_HASH


@pytest.fixture(scope="module")
def source() -> Iterator[KernelSource]:
    with open_source(only_processes=(), options=Options(filter_entries=3)) as source:
        yield source


def key(number: int) -> bytes:
    return struct.pack("=I", number)


def test_update_lookup_delete(source: KernelSource) -> None:
    descriptor = source.loaded.maps["excluded_processes"]
    assert bpf_maps.lookup(descriptor, key(7), 1) is None
    bpf_maps.update(descriptor, key(7), b"\x05")
    assert bpf_maps.lookup(descriptor, key(7), 1) == b"\x05"
    bpf_maps.delete(descriptor, key(7))
    bpf_maps.delete(descriptor, key(7))
    assert bpf_maps.lookup(descriptor, key(7), 1) is None


def test_a_full_map(source: KernelSource) -> None:
    descriptor = source.loaded.maps["excluded_processes"]
    for number in range(3):
        bpf_maps.update(descriptor, key(number), b"\1")
    with pytest.raises(OSError, match=os.strerror(errno.E2BIG)):
        bpf_maps.update(descriptor, key(3), b"\1")


def test_the_keys_of_a_map() -> None:
    descriptor = bpf_maps.create_map(MapInformation("keys", 4, 1, 5, HASH, 0))
    try:
        assert list(bpf_maps.keys(descriptor)) == []
        for number in range(4):
            bpf_maps.update(descriptor, key(number), b"\1")
        assert sorted(bpf_maps.keys(descriptor)) == [key(number) for number in range(4)]
        for found in bpf_maps.keys(descriptor):
            bpf_maps.delete(descriptor, found)
        assert list(bpf_maps.keys(descriptor)) == []
    finally:
        os.close(descriptor)


def test_keys_that_come_and_go_end_at_some_time() -> None:
    descriptor = bpf_maps.create_map(MapInformation("keys", 4, 1, 5, HASH, 0))
    try:
        bpf_maps.update(descriptor, key(0), b"\1")
        seen = 0
        for found in bpf_maps.keys(descriptor):
            # The next key is asked of one that is gone, for ever.
            bpf_maps.delete(descriptor, found)
            bpf_maps.update(descriptor, key(seen + 1), b"\1")
            seen += 1
        assert seen == 2 * 5
    finally:
        os.close(descriptor)


def test_a_sum_over_cpus(source: KernelSource) -> None:
    descriptor, cpus = source.loaded.maps["counters"], bpf_maps.possible_cpus()
    bpf_maps.update(descriptor, key(1), struct.pack(f"={cpus}Q", *range(1, cpus + 1)))
    assert bpf_maps.lookup_sum(descriptor, 1, cpus) == cpus * (cpus + 1) // 2
    bpf_maps.update(descriptor, key(1), bytes(8 * cpus))
    assert bpf_maps.lookup_sum(descriptor, 1, cpus) == 0
    with pytest.raises(OSError, match=f"no counter {len(COUNTERS)}"):
        bpf_maps.lookup_sum(descriptor, len(COUNTERS), cpus)


def test_shapes(source: KernelSource) -> None:
    counters = bpf_maps.map_information(source.loaded.maps["counters"])
    assert (counters.name, counters.key_bytes, counters.value_bytes, counters.entries) == (
        "counters",
        4,
        8,
        len(COUNTERS),
    )
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        bpf_programs.program_information(2)


def test_statistics_count_runs(source: KernelSource) -> None:
    program = next(
        descriptor
        for program, descriptor in source.loaded.programs.items()
        if any(attachment.handler == "enter_read" for attachment in program.attachments)
    )
    statistics = bpf_programs.enable_statistics()
    try:
        before = bpf_programs.program_information(program)
        with Path("/dev/zero").open("rb", buffering=0) as file:
            for _ in range(1009):
                file.read(1)
        after = bpf_programs.program_information(program)
    finally:
        os.close(statistics)
    assert after.runs - before.runs >= 1009
    assert after.run_ns > before.run_ns
    assert after.skipped == before.skipped


def test_a_function_that_does_not_exist_cannot_be_attached_to() -> None:
    with pytest.raises(OSError, match=r"."):
        bpf_programs.try_fentry(0)
