from pathlib import Path

import pytest

from backend.oal.apdex import ApdexError, ApdexThresholds, load_thresholds


def written(folder: Path, text: str) -> Path:
    path = folder / "thresholds.yml"
    path.write_text(text)
    return path


def test_services_have_their_own_threshold_or_that_of_all(tmp_path: Path) -> None:
    thresholds = load_thresholds(written(tmp_path, "# ms\ndefault: 400\nreviews.default: 250\n7: 9\n"))
    assert thresholds == ApdexThresholds(400, {"reviews.default": 250, "7": 9})
    assert [thresholds.of(name) for name in ("reviews.default", "ratings.default", "7")] == [250, 400, 9]


@pytest.mark.parametrize("text", ["", "# nothing\n", "other: 1\n"])
def test_without_a_default_it_is_that_of_upstream(tmp_path: Path, text: str) -> None:
    assert load_thresholds(written(tmp_path, text)).of("api") == 500


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- 500\n", "write one service per line and its milliseconds, such as default: 500"),
        ("default: fast\n", "default: 'fast' is not a whole number of milliseconds"),
        ("api: 1.5\n", "api: 1.5 is not a whole number"),
        ("api: true\n", "api: True is not a whole number"),
        ("api: 0\n", "api: 0 ms is not from 1 to 86400000"),
        ("api: 86400001\n", "api: 86400001 ms is not from 1"),
        ("a: [\n", "this is not YAML"),
        ("a: !!python/object:x {}\n", "this is not YAML"),
    ],
)
def test_errors_name_the_file_and_the_service(tmp_path: Path, text: str, error: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ApdexError) as caught:
        load_thresholds(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert error in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ApdexError, match=r"gone.yml: the thresholds cannot be read"):
        load_thresholds(tmp_path / "gone.yml")
