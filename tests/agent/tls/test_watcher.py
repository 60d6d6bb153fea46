"""agent/tls/watcher.py and attachments.py: probes in step with processes, with a kernel that only notes them."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from agent.kernel.hook import SourceKind
from agent.kernel.tls_hooks import FREES, READS, SHAKES_HANDS, TLS_HOOKS, WRITES
from agent.kernel.uprobes import Place
from agent.kernel.wrappers import Program, render_programs
from agent.tls import files as files_module
from agent.tls import watcher as watcher_module
from agent.tls.libraries import examine
from agent.tls.mappings import Identity, identify
from agent.tls.watcher import TlsWatcher
from tests.agent.tls.building import FAKE_LIBRARY, compile_c
from tests.agent.tls.conftest import Certificate
from tests.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to look at the files of processes")

ALL = render_programs(
    [
        (SourceKind.UPROBE, attachment)
        for hook in TLS_HOOKS
        for source in hook.sources
        for attachment in source.attachments
    ],
    {},
)
PROGRAMS: dict[Program, int] = {program: 1000 + number for number, program in enumerate(ALL)}


@dataclass
class NotingKernel:
    """Keeps what is attached where; refuses what it is told to."""

    refuses: set[tuple[Identity, int]] = field(default_factory=set)
    """Files and offsets."""
    attached: dict[int, tuple[int, Identity, tuple[Place, ...], bool]] = field(default_factory=dict)
    """By descriptor: program, file, places, whether at return."""
    numbers: dict[int, int] = field(default_factory=dict)
    """Of the files behind the descriptors: a descriptor that was closed may be another file's now."""

    def attach(self, program: int, path: str, places: Sequence[Place], *, at_return: bool = False) -> list[int]:
        identity, _ = identify(path)
        if self.refuses & {(identity, place.offset) for place in places}:
            raise OSError(22, os.strerror(22))
        descriptor = os.memfd_create("attached")  # told from all other files by its number
        self.numbers[descriptor] = os.fstat(descriptor).st_ino
        self.attached[descriptor] = program, identity, tuple(places), at_return
        return [descriptor]

    def open_in(self, path: Path) -> list[tuple[int, tuple[Place, ...], bool]]:
        """What is in place in a file now."""
        identity, _ = identify(str(path))
        return [
            (program, places, at_return)
            for descriptor, (program, file, places, at_return) in self.attached.items()
            if file == identity and self._is_open(descriptor)
        ]

    def _is_open(self, descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino == self.numbers[descriptor]
        except OSError:
            return False


class Watching(Protocol):
    def __call__(
        self, kernel: NotingKernel, root: Path = ..., **options: float
    ) -> contextlib.AbstractContextManager[TlsWatcher]: ...


@contextlib.contextmanager
def running(watcher: TlsWatcher) -> Iterator[TlsWatcher]:
    watcher.start()
    try:
        until(lambda: watcher.reviews)
        yield watcher
    finally:
        watcher.close()


@pytest.fixture
def watching(mapping_maps: Mapping[str, int]) -> Watching:
    """What watches everything, once it has looked at what runs."""

    def watch(
        kernel: NotingKernel, root: Path = Path("/proc"), **options: float
    ) -> contextlib.AbstractContextManager[TlsWatcher]:
        return running(TlsWatcher(PROGRAMS, str(root), attacher=kernel, maps=mapping_maps, **options))  # type: ignore[arg-type] # a capacity is an int

    return watch


@contextlib.contextmanager
def using(library: Path, root: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has a library; shown below `root`, if that is given, before it loads it."""
    script = """if True:
        import ctypes, sys
        sys.stdin.readline()
        ctypes.CDLL(sys.argv[1])
        print('ready', flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-I", "-c", script, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        shown = root / str(child.pid) if root else None
        if shown:
            shown.symlink_to(f"/proc/{child.pid}")
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"ready\n"
        yield child
        child.kill()
    if shown:
        shown.unlink()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A /proc with the processes of one test: what else runs on this machine comes and goes."""
    root = tmp_path / "proc"
    root.mkdir()
    return root


@pytest.fixture
def library(tmp_path: Path, fake_library: Path) -> Path:
    return Path(shutil.copy(fake_library, tmp_path / "library.so"))


def review(watcher: TlsWatcher) -> None:
    """Wait until everything has been looked at once more, from beginning to end."""
    for _ in range(2):  # the first one may have begun before
        before = watcher.reviews  # before it is asked for: it may be over at once
        watcher.review()
        until(lambda before=before: watcher.reviews > before)  # type: ignore[misc] # a default binds it


def is_attached(watcher: TlsWatcher, path: Path) -> bool:
    return identify(str(path))[0] in watcher.attached


def test_each_function_gets_its_program_once(watching: Watching, library: Path) -> None:
    kernel = NotingKernel()
    places = examine(str(library)).places
    by_function = {place.function: place.offset for place in places}
    names = {program.name: descriptor for program, descriptor in PROGRAMS.items()}
    with using(library), using(library), watching(kernel) as watcher:
        found = kernel.open_in(library)
        assert len(found) == 2
        entry = next(places for program, places, _ in found if program == names["enter_tls__uprobe"])
        leave = next(places for program, places, _ in found if program == names["leave_tls__uprobe"])
        assert sorted(at_return for _, _, at_return in found) == [False, True]
        assert {place.offset for place in entry} == set(by_function.values())
        assert {place.offset for place in leave} == set(by_function.values()) - {
            by_function["SSL_free"],
            by_function["gnutls_deinit"],
        }
        cookies = {place.offset: place.cookie for place in entry}
        told = {
            "SSL_read": READS,
            "SSL_write": WRITES,
            "SSL_connect": SHAKES_HANDS,
            "SSL_do_handshake": SHAKES_HANDS,
            "SSL_free": FREES,
        }
        assert {function: cookies[by_function[function]] for function in told} == told
        (attached,) = (one for one in watcher.attached.values() if one.path == str(library))
        assert (attached.names, attached.probes) == (("OpenSSL", "GnuTLS"), len(entry) + len(leave))
    assert kernel.open_in(library) == []


def test_go_programs_are_left_at_places_of_their_own(
    watching: Watching, go_program: Path, tmp_path: Path, certificate: Certificate
) -> None:
    program = Path(shutil.copy(go_program, tmp_path))
    kernel = NotingKernel()
    places = examine(str(program)).places
    command: list[str | Path] = [program, *certificate, "0", "0", "0"]
    with watching(kernel) as watcher, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        until(lambda: is_attached(watcher, program))
        found = kernel.open_in(program)
        assert [at_return for _, _, at_return in found] == [False, False]
        assert sorted(len(places) for _, places, _ in found) == [2, len(places) - 2]
        child.kill()


def test_a_library_that_is_loaded_later(watching: Watching, library: Path) -> None:
    with watching(NotingKernel(), review_seconds=3600) as watcher:
        assert not is_attached(watcher, library)
        with using(library):
            until(lambda: is_attached(watcher, library))


def test_a_library_that_was_deleted(watching: Watching, library: Path) -> None:
    identity, _ = identify(str(library))
    with using(library):
        library.unlink()
        with watching(NotingKernel()) as watcher:
            assert identity in watcher.attached


def test_a_library_that_was_replaced(watching: Watching, library: Path, fake_library: Path) -> None:
    """The processes that run have the old one, and those that come have the new one."""
    kernel = NotingKernel()
    old, _ = identify(str(library))
    with watching(kernel, review_seconds=3600) as watcher, using(library):
        until(lambda: old in watcher.attached)
        shutil.copy(fake_library, library.with_name("new.so"))
        library.with_name("new.so").rename(library)
        with using(library):
            until(lambda: is_attached(watcher, library))
            assert old in watcher.attached
        review(watcher)
        assert old in watcher.attached
        assert not is_attached(watcher, library)


def test_a_library_that_was_written_to(watching: Watching, library: Path, tmp_path: Path) -> None:
    """Its functions stand elsewhere now: the old places are left, before a process comes to harm."""
    kernel = NotingKernel()
    main = tmp_path / "shifted.c"
    main.write_text(f'int first(int one) {{ return one + 1; }}\n#include "{FAKE_LIBRARY}"\n')
    other = compile_c(tmp_path / "other.so", main, "-shared", "-fPIC")
    with watching(kernel, review_seconds=3600) as watcher:
        with using(library):
            until(lambda: is_attached(watcher, library))
            before = kernel.open_in(library)
        library.write_bytes(other.read_bytes())
        expected = {place.offset for place in examine(str(library)).places}

        def are_elsewhere() -> bool:
            """All of them: they are taken off, and put in place, one after the other."""
            found = kernel.open_in(library)
            return (
                len(found) == len(before) and {place.offset for _, places, _ in found for place in places} == expected
            )

        assert not are_elsewhere()
        with using(library):
            until(are_elsewhere)


def test_what_nobody_uses_any_more_is_left(watching: Watching, library: Path) -> None:
    kernel = NotingKernel()
    with watching(kernel, review_seconds=3600) as watcher:
        with using(library):
            until(lambda: is_attached(watcher, library))
            review(watcher)
            assert is_attached(watcher, library)
        review(watcher)
        assert not is_attached(watcher, library)
        assert kernel.open_in(library) == []


def test_more_files_than_there_is_room_for(watching: Watching, own: Path, tmp_path: Path, fake_library: Path) -> None:
    kernel = NotingKernel()
    paths = [Path(shutil.copy(fake_library, tmp_path / f"{number}.so")) for number in range(3)]
    cause = "TLS: too many libraries and programs"
    with contextlib.ExitStack() as stack:
        watcher = stack.enter_context(watching(kernel, own, capacity=2, review_seconds=3600))
        first, *_ = [stack.enter_context(using(path, own)) for path in paths]
        until(lambda: cause in watcher.failures())
        assert sum(is_attached(watcher, path) for path in paths) == 2
        review(watcher)
        assert sum(is_attached(watcher, path) for path in paths) == 2
        assert watcher.failures()[cause] == 1
        assert first.poll() is None


def test_room_is_made_soon_for_what_finds_none(
    watching: Watching, own: Path, tmp_path: Path, fake_library: Path
) -> None:
    """As where a library was replaced and every process has been started anew: nobody runs the old file any more."""
    kernel = NotingKernel()
    old, new = (Path(shutil.copy(fake_library, tmp_path / f"{name}.so")) for name in ("old", "new"))
    with watching(kernel, own, capacity=1, review_seconds=3600) as watcher:
        with using(old, own):
            until(lambda: is_attached(watcher, old))
        assert is_attached(watcher, old)
        with using(new, own):
            until(lambda: is_attached(watcher, new))
            assert not is_attached(watcher, old)
            assert kernel.open_in(old) == []
        assert watcher.failures()["TLS: too many libraries and programs"] == 1


def test_a_place_that_is_refused_is_one_place(watching: Watching, library: Path) -> None:
    offset = next(place.offset for place in examine(str(library)).places if place.function == "SSL_write")
    kernel = NotingKernel(refuses={(identify(str(library))[0], offset)})
    with using(library), watching(kernel) as watcher:
        assert watcher.failures()["TLS: the kernel refuses a probe: Invalid argument"] == 2
        expected = {place.offset for place in examine(str(library)).places} - {offset}
        assert {place.offset for _, places, _ in kernel.open_in(library) for place in places} == expected


def test_what_cannot_be_understood_is_counted_once(watching: Watching, own: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.c"
    source.write_text("int one(void) { return 1; }\n")
    library = compile_c(tmp_path / "library.so", source, "-shared", "-fPIC")
    content = bytearray(library.read_bytes())
    content[0x3A:0x3C] = b"\x39\x00"  # e_shentsize: of no section; who runs the file does not look at it
    library.write_bytes(content)
    with watching(NotingKernel(), own, review_seconds=3600) as watcher:
        cause = "TLS: programs and libraries that cannot be understood"
        assert cause not in watcher.failures()
        with using(library, own):
            until(lambda: cause in watcher.failures())
            review(watcher)
        assert watcher.failures()[cause] == 1


def test_where_the_kernel_tells_of_no_mappings(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "SCAN_SECONDS", 0.05)
    with running(TlsWatcher(PROGRAMS, attacher=NotingKernel())) as watcher:
        assert watcher.failures()["TLS: the kernel does not tell of new mappings"] == 1
        with using(library):
            until(lambda: is_attached(watcher, library))
        until(lambda: not is_attached(watcher, library))


def test_what_was_passed_over_is_bounded(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "PASSED_OVER", 5)
    with watching(NotingKernel()) as watcher:
        review(watcher)
        assert 0 < len(watcher._files._passed_over) <= 5


def test_hooks_that_are_unavailable_get_no_probes(library: Path) -> None:
    kernel = NotingKernel()
    only = render_programs([(SourceKind.UPROBE, attachment) for attachment in TLS_HOOKS[0].sources[0].attachments], {})
    watcher = TlsWatcher(dict.fromkeys(only, 1), attacher=kernel)
    with using(library):
        watcher.start()
        until(lambda: watcher.reviews)
        offsets = {place.function: place.offset for place in examine(str(library)).places}
        found = {place.offset for _, places, _ in kernel.open_in(library) for place in places}
        assert found == {offsets["SSL_read"], offsets["SSL_read_ex"]}
    watcher.close()
