"""What tests of TLS share: built once for all of them."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from agent.tls.abandoned_calls import AbandonedCalls
from agent.tls.watcher import TlsWatcher
from tests.agent.kernel.watching import ATTACH, open_source
from tests.agent.tls.building import FAKE_LIBRARY, LATE_GO_SOURCES, build_go, compile_c, tool
from tests.agent.tls.fake import FakeLibrary, connection
from tests.agent.tls.sessions import Ends
from tests.agent.tls.watching import TlsWatch
from tests.waiting import until


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(tmp_path_factory.mktemp("fake") / "libfake.so", FAKE_LIBRARY, "-shared", "-fPIC")


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_go(tmp_path_factory.mktemp("go") / "exchange")


@pytest.fixture(scope="session")
def stripped_go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_go(tmp_path_factory.mktemp("go") / "exchange", "-buildmode=pie", "-ldflags=-s -w")


@pytest.fixture(scope="session")
def late_go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_go(tmp_path_factory.mktemp("go") / "late", sources=LATE_GO_SOURCES)


class Certificate(NamedTuple):
    """A server's certificate, signed by itself, for localhost and 127.0.0.1."""

    path: Path
    key: Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("certificate")
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [tool("openssl"), *words.split(), *names, "-keyout", made.key, "-out", made.path],
        check=True,
        capture_output=True,
    )
    return made


@pytest.fixture(scope="session")
def mapping_maps() -> Iterator[Mapping[str, int]]:
    """The maps of programs that tell nothing but which files are mapped; for one reader at a time."""
    with open_source(only_processes=()) as source:
        yield source.loaded.maps


@pytest.fixture(scope="session")
def tls_watch() -> Iterator[TlsWatch]:
    """Programs and probes that all tests share; this process is watched, and what tests choose."""
    options = Options(payload_bytes=32 << 20)
    with KernelSource.open(only_processes=[os.getpid()], ring_bytes=32 << 20, options=options, attach=ATTACH) as source:
        if not source.coverage.has("openssl_read"):
            pytest.skip("this kernel has no uprobes")
        maps = source.loaded.maps
        # Tests ask for each look at everything themselves: it takes the probes off files that nobody runs.
        calls = AbandonedCalls(maps["go_calls"])
        watcher = TlsWatcher(source.loaded.programs, maps=maps, review_seconds=86_400, abandoned_calls=calls)
        watcher.start()
        until(lambda: watcher.reviews)
        yield TlsWatch(source, watcher)
        watcher.close()


@pytest.fixture
def tls(tls_watch: TlsWatch) -> Iterator[TlsWatch]:
    """The same; nothing may be lost or left out."""
    tls_watch.source.take()
    tls_watch.source.take_payload()
    before = {**tls_watch.source.losses(), **tls_watch.source.incomplete()}
    yield tls_watch
    assert {**tls_watch.source.losses(), **tls_watch.source.incomplete()} == before


@pytest.fixture(scope="session")
def fake(fake_library: Path) -> FakeLibrary:
    return FakeLibrary(fake_library)


@pytest.fixture
def attached(tls_watch: TlsWatch, fake: FakeLibrary) -> None:
    """The library that does what tests ask for has its probes."""
    tls_watch.until_attached(fake.path)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of a connection: client, server."""
    with connection() as pair:
        yield pair
