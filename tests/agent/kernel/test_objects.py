"""agent/kernel/objects.py: what is kept of a compilation is what was made, and nothing strange is ever loaded."""

import os
import resource
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.bpf_maps import MapInformation
from agent.kernel.objects import KEPT, CompiledObject, Function, ObjectFolder, digest

MAPS = {7: "events", 9: "counters"}
OTHER = st.binary(min_size=8, max_size=8).filter(lambda raw: raw[0] != 0x18)


def naming(descriptor: int) -> bytes:
    """The two halves of an instruction that loads a map."""
    return struct.pack("=BBhi", 0x18, 0x11, 0, descriptor) + bytes(8)


def example() -> CompiledObject:
    shape = MapInformation("events", 4, 8, 1, 27, 0)
    return CompiledObject({"events": shape}, {"enter_read": Function.of(naming(7), MAPS)})


@given(st.lists(st.one_of(OTHER, st.sampled_from(sorted(MAPS)).map(naming)), max_size=20))
def test_instructions_come_back_with_the_descriptors_of_the_day(parts: list[bytes]) -> None:
    code = b"".join(parts)
    function = Function.of(code, MAPS)
    assert function.bound_to({"events": 7, "counters": 9}) == code
    moved = function.bound_to({"events": 107, "counters": 109})
    assert Function.of(moved, {107: "events", 109: "counters"}) == function
    assert len(function.maps) == sum(part[0] == 0x18 for part in parts)


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    folder = ObjectFolder(tmp_path / "made" / "objects")
    name = digest("int main;", "1.0")
    assert folder.find(name) is None
    folder.keep(name, example())
    assert folder.find(name) == example()
    assert folder.find(digest("int main;", "1.1")) is None
    assert os.stat(tmp_path / "made" / "objects").st_mode & 0o777 == 0o700  # noqa: PTH116 # nothing followed


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"maps": {"x": {}}, "functions": {}}', '{"maps": [], "functions": 1}']
)
def test_what_is_damaged_is_made_again(tmp_path: Path, text: str) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "name.json").write_text(text)
    assert ObjectFolder(tmp_path).find("name") is None


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_can_reach_is_not_used(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    ObjectFolder(folder).keep("name", example())
    folder.chmod(mode)
    open_to_all = ObjectFolder(folder)
    open_to_all.keep("other", example())
    assert open_to_all.find("name") is None
    assert not (folder / "other.json").exists()


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    ObjectFolder(tmp_path / "link").keep("name", example())
    assert not list((tmp_path / "real").iterdir())


def test_the_oldest_go(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = ObjectFolder(tmp_path)
    for number in range(KEPT + 3):
        folder.keep(f"{number}", example())
        os.utime(tmp_path / f"{number}.json", (number, number))
    kept = {int(path.stem) for path in tmp_path.iterdir()}
    assert len(kept) == KEPT
    assert KEPT + 2 in kept
    assert not kept & {0, 1}


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """As on a full disk, which every start would make fuller."""
    tmp_path.chmod(0o700)
    folder = ObjectFolder(tmp_path)
    folder.keep("small", example())
    large = CompiledObject({}, {"large": Function("A" * 100_000, ())})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        folder.keep("large", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]
    folder.keep("large", large)
    assert folder.find("large") == large


def test_what_starts_that_were_ended_have_left_goes_as_well(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for number in range(2 * KEPT):
        (tmp_path / f"unfinished{number}").touch()
        os.utime(tmp_path / f"unfinished{number}", (number, number))
    ObjectFolder(tmp_path).keep("new", example())
    assert len(list(tmp_path.iterdir())) == KEPT
    assert ObjectFolder(tmp_path).find("new") == example()


def test_nothing_is_kept_where_nothing_may_be() -> None:
    folder = ObjectFolder(None)
    folder.keep("name", example())
    assert folder.find("name") is None
