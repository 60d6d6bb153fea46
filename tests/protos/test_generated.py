import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("generate_protos", ROOT / "scripts" / "generate_protos.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


generate_protos = script()


def test_what_is_committed_is_what_the_sources_say() -> None:
    assert generate_protos.differences() == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources and their code, to be changed."""
    for path in (ROOT / "protos").glob("*/*"):
        if path.is_file():
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def test_a_changed_source_is_seen(copy: Path) -> None:
    source = copy / "protos/common/common.proto"
    source.write_text(source.read_text() + "\nmessage Added {}\n")
    assert generate_protos.differences(copy) == [
        "protos/common/common_pb2.py differs",
        "protos/common/common_pb2.pyi differs",
    ]
    generate_protos.generate(copy, copy)
    assert generate_protos.differences(copy) == []


def test_missing_and_left_over_code_is_seen(copy: Path) -> None:
    (copy / "protos/ebpf/process_pb2_grpc.py").unlink()
    (copy / "protos/ebpf/old_pb2.py").write_text("")
    assert generate_protos.differences(copy) == [
        "protos/ebpf/process_pb2_grpc.py is missing",
        "protos/ebpf/old_pb2.py has no source any more",
    ]
