"""bench/kernel_maps.py: the entries of another process's maps are those that were put there."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.kernel.bpf_maps import MapInformation, create_map, delete, update
from bench.kernel_maps import map_keys
from tests.descriptors import open_files

pytestmark = pytest.mark.kernel

HASH, ARRAY, LRU_HASH = 1, 2, 9
KINDS = {"some": HASH, "all": ARRAY, "newest": LRU_HASH}


@pytest.fixture
def maps() -> Iterator[tuple[int, int, int]]:
    made = [create_map(MapInformation(name, 4, 8, 10, kind, 0)) for name, kind in KINDS.items()]
    yield made[0], made[1], made[2]
    for descriptor in made:
        os.close(descriptor)


def key(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)


def own_keys() -> dict[str, set[bytes]]:
    """Without those of other tests, which may hold a whole agent's."""
    return {name: set(found) for name, found in map_keys(os.getpid()).items() if name in KINDS}


def open_maps() -> set[tuple[str, str]]:
    """Without what threads of other tests may open meanwhile: links to probes, files."""
    return {(descriptor, link) for descriptor, link in open_files() if "bpf-map" in link}


def test_keys_are_found_and_arrays_are_not(maps: tuple[int, int, int]) -> None:
    some, array, _ = maps
    assert own_keys() == {"some": set(), "newest": set()}
    for number in range(10):
        update(some, key(number), bytes(8))
        update(array, key(number), bytes(8))
    assert own_keys() == {"some": {key(number) for number in range(10)}, "newest": set()}
    for number in range(7):
        delete(some, key(number))
    again = os.dup(some)
    assert own_keys() == {"some": {key(7), key(8), key(9)}, "newest": set()}
    os.close(again)


def test_maps_of_another_process_are_seen_and_nothing_stays_open(maps: tuple[int, int, int]) -> None:
    update(maps[0], key(1), bytes(8))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=maps) as other:
        before = open_maps()
        found = map_keys(other.pid)
        after = open_maps()
        other.communicate()
    assert found == {"some": [key(1)], "newest": []}
    assert after - before == set()


def test_a_process_that_is_gone_is_an_error() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with pytest.raises(ProcessLookupError):
        map_keys(gone.pid)
