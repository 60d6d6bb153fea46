"""agent/tls/watcher.py, files.py, examiner.py: libraries on a file system that answers, and then does not."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.tls import watcher as watcher_module
from agent.tls.examiner import HELD, Examiner, Unanswered, left_behind
from agent.tls.libraries import examine
from agent.tls.mappings import identify
from agent.tls.watcher import TlsWatcher
from tests.agent.tls.building import tool
from tests.agent.tls.silence import SilentFiles, needs_fuse, silent_files, starts_nothing
from tests.agent.tls.test_watcher import PROGRAMS, NotingKernel, is_attached, review, running, using
from tests.waiting import until

pytestmark = needs_fuse

SILENT = "TLS: a file system does not answer: its programs and libraries are not looked at"


@pytest.fixture
def files(tmp_path: Path, fake_library: Path) -> Iterator[SilentFiles]:
    second = Path(shutil.copy(fake_library, tmp_path / "second.so"))
    with silent_files(tmp_path, fake_library, second, Path(tool("true"))) as mounted:
        yield mounted


@pytest.fixture
def library(files: SilentFiles, fake_library: Path) -> Path:
    return files.folder / fake_library.name


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A /proc with the processes of one test: what else runs on this machine comes and goes."""
    root = tmp_path / "proc"
    root.mkdir()
    return root


def watching(
    kernel: NotingKernel, maps: Mapping[str, int], root: Path, patience_seconds: float
) -> contextlib.AbstractContextManager[TlsWatcher]:
    return running(
        TlsWatcher(
            PROGRAMS,
            str(root),
            attacher=kernel,
            maps=maps,
            review_seconds=3600,
            patience_seconds=patience_seconds,
        )
    )


def test_a_library_there_is_watched_like_any_other(
    library: Path, own: Path, mapping_maps: Mapping[str, int], fake_library: Path
) -> None:
    kernel = NotingKernel()
    expected = {place.offset for place in examine(str(fake_library)).places}
    with watching(kernel, mapping_maps, own, 600) as watcher:
        with using(library, own):
            until(lambda: is_attached(watcher, library))
            assert {place.offset for _, places, _ in kernel.open_in(library) for place in places} == expected
            (attached,) = (one for one in watcher.attached.values() if one.path == str(library))
            assert attached.names == ("OpenSSL", "GnuTLS")
        review(watcher)
        assert not is_attached(watcher, library)
        assert watcher.failures() == {}


def test_while_it_does_not_answer_everything_else_goes_on(
    files: SilentFiles, library: Path, own: Path, mapping_maps: Mapping[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is there keeps its probes; what is not known is found when it is back."""
    monkeypatch.setattr(watcher_module, "SILENCE_SECONDS", 0.05)
    second = files.folder / "second.so"
    local = Path(shutil.copy(second, own.with_name("local.so")))
    identity, second_identity = identify(str(library))[0], identify(str(second))[0]
    with watching(NotingKernel(), mapping_maps, own, 600) as watcher, using(library, own) as process:
        until(lambda: identity in watcher.attached)
        watcher._files.examiner._seconds = 0.2
        with using(second) as other:
            with files.silence():
                review(watcher)
                assert watcher.failures() == {SILENT: 1}
                (own / str(other.pid)).symlink_to(f"/proc/{other.pid}")
                review(watcher)
                review(watcher)
                assert watcher.failures() == {SILENT: 2}
                assert watcher._files.examiner.held == 1
                with using(local, own):
                    until(lambda: is_attached(watcher, local))
                assert identity in watcher.attached
                assert second_identity not in watcher.attached
                assert process.poll() is None
            watcher._files.examiner._seconds = 600
            until(lambda: second_identity in watcher.attached)
            assert identity in watcher.attached
            assert watcher._files.examiner.held == 0


def test_the_end_does_not_wait_for_it(
    files: SilentFiles, library: Path, own: Path, mapping_maps: Mapping[str, int]
) -> None:
    """Not even while an answer is awaited."""
    identity, _ = identify(str(library))
    kernel = NotingKernel()
    with using(library, own):
        watcher = TlsWatcher(
            PROGRAMS, str(own), attacher=kernel, maps=mapping_maps, review_seconds=3600, patience_seconds=36000
        )
        watcher.start()
        until(lambda: identity in watcher.attached)
        with files.silence():
            watcher.review()
            until(files.is_asked)
            closing = threading.Thread(target=watcher.close)
            closing.start()
            until(lambda: not closing.is_alive())
            assert kernel.attached
        until(lambda: all(process.poll() is not None for process in left_behind))
        assert kernel.open_in(library) == []


def test_the_end_does_not_wait_for_a_thread_that_is_not_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a file system falls silent between a look at a file and the probes in it."""
    monkeypatch.setattr(watcher_module, "CLOSE_SECONDS", 0.05)
    watcher = TlsWatcher(PROGRAMS, attacher=NotingKernel())
    held = threading.Event()
    monkeypatch.setattr(watcher, "_review", held.wait)
    watcher.start()
    watcher.close()
    assert watcher._thread.is_alive()
    held.set()
    watcher._thread.join()


def test_a_kernel_that_does_not_come_to_an_end_with_probes(
    library: Path, own: Path, mapping_maps: Mapping[str, int]
) -> None:
    """What it has taken too late is taken off by who waited for it."""
    asked, held = threading.Event(), threading.Event()

    class SlowKernel(NotingKernel):
        def attach(self, *arguments: object, **options: bool) -> list[int]:  # type: ignore[override]
            asked.set()
            held.wait()
            return super().attach(*arguments, **options)  # type: ignore[arg-type]

    kernel = SlowKernel()
    with contextlib.ExitStack() as stack:
        watcher = stack.enter_context(watching(kernel, mapping_maps, own, 600))
        watcher._files._patience_seconds = 0.1  # with the kernel; the file itself is read, however long that takes
        stack.enter_context(using(library, own))
        until(asked.is_set)
        until(lambda: watcher.failures() == {SILENT: 1})
        assert not is_attached(watcher, library)
        held.set()
        until(lambda: len(kernel.attached) == 2)
        until(lambda: kernel.open_in(library) == [])


def test_only_so_many_file_systems_are_waited_for(files: SilentFiles, library: Path) -> None:
    examiner = Examiner(0.01)
    with files.silence():
        for number in range(HELD):
            with pytest.raises(Unanswered):
                examiner.identify(str(library), f"00:{number}")
        assert examiner.held == HELD

        def ask_in_vain() -> None:
            with pytest.raises(Unanswered):
                examiner.identify("/bin/true", "00:ff")

        assert starts_nothing(ask_in_vain)
    until(lambda: examiner.returned() and not examiner.held)
    examiner._seconds = 600
    assert examiner.identify("/bin/true", "00:ff") == identify("/bin/true")
    examiner.close()


def test_a_process_that_ended_is_replaced(tmp_path: Path) -> None:
    examiner = Examiner(600)
    path = tmp_path / "file"
    path.write_text("text")
    for _ in range(2):
        assert examiner.identify(str(path), "00:01") == identify(str(path))
        assert examiner._idle is not None
        process = examiner._idle._process
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(FileNotFoundError):
        examiner.identify(str(tmp_path / "nothing"), "00:01")
    examiner.close()
