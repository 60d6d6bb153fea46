from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.yaml_file import YamlFileError, read_located_mapping, read_mapping


def test_keys_and_values(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("a: 1\nb: {c: [x]}\n")
    assert read_mapping(file, "a: 1") == {"a": 1, "b": {"c": ["x"]}}
    file.write_text("# nothing yet\n")
    assert read_mapping(file, "a: 1") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- a\n- b\n", "must hold keys and values, such as 'a: 1', not a list"),
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"a: !!int ''", "is not YAML: string index out of range"),
        (b"a: !!bool perhaps", "is not YAML: 'perhaps'"),
        (b"a: !!timestamp soon", "is not YAML: "),
    ],
)
def test_what_cannot_be_used_is_said_with_the_file(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    with pytest.raises(YamlFileError) as failed:
        read_mapping(file, "a: 1")
    assert str(failed.value).startswith(f"{file}: {said}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(YamlFileError, match="cannot be read: No such file or directory"):
        read_mapping(tmp_path / "missing.yaml", "a: 1")


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_mapping_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("yaml") / "settings.yaml"
    file.write_bytes(content)
    try:
        outcome: object = read_mapping(file, "a: 1")
    except YamlFileError as error:
        outcome = str(error)
    assert isinstance(outcome, dict) or str(file) in str(outcome)


def test_where_keys_stand(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("# first\na: 1\nb:\n  c:\n  - x\n  - {y: 2}\nd: &same {e: 1}\nf: *same\n")
    content, lines = read_located_mapping(file, "a: 1")
    assert content == {"a": 1, "b": {"c": ["x", {"y": 2}]}, "d": {"e": 1}, "f": {"e": 1}}
    assert lines == {"a": 2, "b": 3, "b.c": 4, "b.c[0]": 5, "b.c[1]": 6, "b.c[1].y": 6, "d": 7, "d.e": 7, "f": 8}


@pytest.mark.parametrize("content", ["a: 2001-99-99", "a: " + "[" * 5000, "? [a]\n: 1"])
def test_what_the_parser_chokes_on_is_an_error_too(tmp_path: Path, content: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    with pytest.raises(YamlFileError, match=f"^{file}: is n"):
        read_mapping(file, "a: 1")
