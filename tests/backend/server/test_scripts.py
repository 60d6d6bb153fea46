from pathlib import Path

import pytest

from backend.oal.loader import load
from backend.oal.syntax import OalError
from backend.server.scripts import load_scripts

ONE = 'one_count = from(K8SService.*).filter(type == "write").count();\n'
TWO = 'two_count = from(K8SService.*).filter(type == "write").count();\n'


def names(own: Path | str, standard: Path) -> list[str]:
    return [definition.name for definition in load_scripts(str(own), standard).definitions]


@pytest.fixture
def standard(tmp_path: Path) -> Path:
    folder = tmp_path / "standard"
    folder.mkdir()
    (folder / "a.oal").write_text(ONE)
    (folder / "b.oal").write_text(TWO)
    return folder


def test_the_standard_ones_are_those_that_come_with_the_program() -> None:
    loaded = [definition.name for definition in load_scripts("").definitions]
    assert loaded == [definition.name for definition in load(skip_unsupported=True).definitions]


def test_a_users_script_adds_to_them(tmp_path: Path, standard: Path) -> None:
    (tmp_path / "mine.oal").write_text(ONE.replace("one", "mine"))
    assert names(tmp_path / "mine.oal", standard) == ["one_count", "two_count", "mine_count"]
    assert names(tmp_path, standard) == ["one_count", "two_count", "mine_count"]


def test_one_of_the_same_name_takes_the_place_of_a_standard_one(tmp_path: Path, standard: Path) -> None:
    (tmp_path / "a.oal").write_text(ONE.replace("one", "mine"))
    assert names(tmp_path, standard) == ["mine_count", "two_count"]


def test_a_users_script_may_switch_standard_metrics_off(tmp_path: Path, standard: Path) -> None:
    (tmp_path / "mine.oal").write_text("disable(one_count);\n")
    assert names(tmp_path, standard) == ["two_count"]


def test_a_metric_of_two_scripts_is_refused(tmp_path: Path, standard: Path) -> None:
    (tmp_path / "mine.oal").write_text(ONE)
    with pytest.raises(OalError, match="one_count"):
        names(tmp_path, standard)


def test_what_cannot_be_read_is_named(tmp_path: Path, standard: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(OalError, match="no script"):
        names(tmp_path / "empty", standard)
    with pytest.raises(OalError, match=r"none\.oal.*cannot be read"):
        names(tmp_path / "none.oal", standard)
    (tmp_path / "latin.oal").write_bytes(b"\xff\xff")
    with pytest.raises(OalError, match="cannot be read"):
        names(tmp_path / "latin.oal", standard)
