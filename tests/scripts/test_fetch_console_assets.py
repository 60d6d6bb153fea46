"""What the fetching script takes out of the package; the package itself is made up here."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("fetch", ROOT / "scripts" / "fetch_console_assets.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "TARGET", tmp_path / "vendor" / "echarts")
    return module


def package(folder: Path, index: str) -> Path:
    bundle = folder / "nicegui" / "elements" / "echart" / "dist"
    bundle.mkdir(parents=True)
    (bundle / "index.js").write_text(index)
    (bundle / "index-A_b-1.js").write_text("export{x as y};\n//# sourceMappingURL=index-A_b-1.js.map\n")
    (bundle / "index-GL.js").write_text("never wanted")
    return folder


INDEX = 'import{y as a}from"./index-A_b-1.js";export{a as echarts};\n//# sourceMappingURL=index.js.map\n'


def test_only_the_library_is_kept_and_no_source_map_is_named(script: ModuleType, tmp_path: Path) -> None:
    script.copy_bundle(package(tmp_path / "package", INDEX), script.TARGET)
    kept = {file.name: file.read_text() for file in script.TARGET.iterdir()}
    assert kept == {
        "index.js": 'import{y as a}from"./index-A_b-1.js";export{a as echarts};\n',
        "index-A_b-1.js": "export{x as y};\n",
        "made-from": script.requirements_digest(),
    }


def test_what_was_there_is_replaced(script: ModuleType, tmp_path: Path) -> None:
    script.TARGET.mkdir(parents=True)
    (script.TARGET / "index-OLD.js").write_text("old")
    script.copy_bundle(package(tmp_path / "package", INDEX), script.TARGET)
    assert not (script.TARGET / "index-OLD.js").exists()
    assert script.main() == 0  # the stamp fits: nothing is fetched


@pytest.mark.parametrize("index", ["", 'export * from "elsewhere";'])
def test_a_package_that_changed_is_refused_and_harms_nothing(script: ModuleType, tmp_path: Path, index: str) -> None:
    script.TARGET.mkdir(parents=True)
    (script.TARGET / "index.js").write_text("works")
    with pytest.raises(SystemExit, match="the package was changed"):
        script.copy_bundle(package(tmp_path / "package", index), script.TARGET)
    assert (script.TARGET / "index.js").read_text() == "works"


def test_the_requirement_is_locked_by_hash_and_names_no_address() -> None:
    text = (ROOT / "requirements" / "console.txt").read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "index-url" not in text
