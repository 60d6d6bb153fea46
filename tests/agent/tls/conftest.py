"""What tests of TLS share: built once for all of them."""

from pathlib import Path

import pytest

from tests.agent.tls.building import FAKE_LIBRARY, build_go, compile_c


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(tmp_path_factory.mktemp("fake") / "libfake.so", FAKE_LIBRARY, "-shared", "-fPIC")


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_go(tmp_path_factory.mktemp("go") / "exchange")


@pytest.fixture(scope="session")
def stripped_go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_go(tmp_path_factory.mktemp("go") / "exchange", "-buildmode=pie", "-ldflags=-s -w")
