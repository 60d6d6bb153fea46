"""agent/kernel/uprobes.py: programs at places in files, with one link and with a link for each place."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel import bpf_programs, uprobes
from agent.kernel.bpf_programs import ATTACH_UPROBE_MULTI, TYPE_KPROBE
from agent.kernel.uprobes import PMU, Place, Uprobes
from agent.tls.libraries import examine
from tests.agent.tls.building import FAKE_LIBRARY, compile_c
from tests.descriptors import open_files

pytestmark = pytest.mark.kernel

if not PMU.exists():
    pytest.skip("this kernel has no uprobes", allow_module_level=True)

RETURN_ZERO = bpf_programs._RETURN_ZERO


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(tmp_path_factory.mktemp("uprobes") / "library.so", FAKE_LIBRARY, "-shared", "-fPIC")


@pytest.fixture(params=[ATTACH_UPROBE_MULTI, 0], ids=["one link", "a link for each place"])
def attach_type(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def program(attach_type: int) -> Iterator[int]:
    descriptor = bpf_programs.load_program(TYPE_KPROBE, "counted", RETURN_ZERO, attach_type=attach_type)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def attaching(attach_type: int, program: int) -> Uprobes:
    """A kernel of before 6.6 pays no attention to how a program is to be attached, and has the second way only."""
    if attach_type and not uprobes._has_multi(program):
        pytest.skip("this kernel has no links with several places")
    assert uprobes._has_multi(program) == bool(attach_type)
    return Uprobes()


@pytest.fixture
def statistics() -> Iterator[None]:
    descriptor = bpf_programs.enable_statistics()
    yield
    os.close(descriptor)


def offsets(library: Path) -> dict[str, int]:
    return {place.function: place.offset for place in examine(str(library)).places}


def runs(program: int) -> int:
    return bpf_programs.program_information(program).runs


@pytest.mark.usefixtures("statistics")
@pytest.mark.parametrize("at_return", [False, True])
def test_each_call_runs_the_program_once(attaching: Uprobes, program: int, library: Path, *, at_return: bool) -> None:
    places = [Place(offsets(library)[name], 1) for name in ("SSL_free", "SSL_do_handshake")]
    descriptors = attaching.attach(program, str(library), places, at_return=at_return)
    loaded = ctypes.CDLL(str(library))
    session = ctypes.create_string_buffer(b"\xff" * 70_000)
    for _ in range(7):
        loaded.SSL_free(session)
    for _ in range(4):
        loaded.SSL_do_handshake(session)
        loaded.SSL_sendfile(session, 0, 0, 0, 0)
    assert runs(program) == 11
    for descriptor in descriptors:
        os.close(descriptor)
    loaded.SSL_free(session)
    assert runs(program) == 11


@pytest.mark.usefixtures("statistics")
def test_a_deleted_file_is_reached_through_who_has_it(
    attaching: Uprobes, program: int, library: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(library, tmp_path / "deleted.so"))
    place = Place(offsets(path)["SSL_free"], 0)
    loaded = ctypes.CDLL(str(path))
    with path.open("rb") as file:
        path.unlink()
        descriptors = attaching.attach(program, f"/proc/self/fd/{file.fileno()}", [place])
    loaded.SSL_free(ctypes.create_string_buffer(70_000))
    assert runs(program) == 1
    for descriptor in descriptors:
        os.close(descriptor)


def test_places_that_cannot_be_are_refused_and_nothing_stays(attaching: Uprobes, program: int, library: Path) -> None:
    good = Place(offsets(library)["SSL_free"], 0)
    before = open_files()
    for path, place in (("/no such file", good), ("/proc/self/fd", good), (str(library), Place(1 << 40, 0))):
        with pytest.raises(OSError, match=r".+"):
            attaching.attach(program, path, [good, place])
        assert open_files() - before == set()


def test_a_kernel_without_uprobes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Uprobes(tmp_path)


def test_the_kernel_says_how_it_names_them(tmp_path: Path) -> None:
    (tmp_path / "format").mkdir()
    (tmp_path / "type").write_text("9\n")
    (tmp_path / "format" / "retprobe").write_text("config:3\n")
    made = Uprobes(tmp_path)
    assert (made._type, made._at_return) == (9, 8)
