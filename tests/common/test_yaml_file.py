from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.yaml_file import YamlFileError, read_mapping


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
