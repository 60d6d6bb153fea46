"""common/secret_files.py: files that are replaced while they are read."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import secret_files
from common.secret_files import LARGEST, MOST_TOKENS, SecretFileError, SecretFiles, read_tokens


class Mounted:
    """A Secret as kubelet mounts it: each file a link through `..data` to a folder that is replaced as a whole."""

    def __init__(self, folder: Path, **files: str) -> None:
        self._folder = folder
        self._version = 0
        for name in files:
            (folder / name).symlink_to(Path("..data") / name)
        self.replace(**files)

    def replace(self, **files: str) -> None:
        self._version += 1
        made = self._folder / f"..{self._version}"
        made.mkdir()
        for name, text in files.items():
            (made / name).write_text(text)
        (self._folder / "..next").symlink_to(made.name)
        (self._folder / "..next").rename(self._folder / "..data")


def test_a_secret_that_is_replaced_as_kubelet_does_it(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path, key="one", certificate="of one")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    files = SecretFiles([key, certificate, ""])
    assert files.changed()
    assert not files.changed()
    mounted.replace(key="one", certificate="of one")  # another folder with the same
    assert not files.changed()
    mounted.replace(key="two", certificate="of two")
    assert files.changed()
    assert (files.content(key), files.content(certificate)) == (b"two", b"of two")
    assert not files.changed()


def test_a_file_that_is_written_in_place_and_seems_untouched(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"one")
    files = SecretFiles([str(path)])
    assert files.content(str(path)) == b"one"
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert files.changed()
    assert files.content(str(path)) == b"two"


def test_files_that_keep_changing_count_when_they_stand_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"whole")
    files = SecretFiles([str(path)])
    assert files.changed()
    read, number = secret_files._content, 0

    def grow(name: str) -> bytes | SecretFileError:
        nonlocal number
        number += 1
        path.write_bytes(b"part" * number)
        return read(name)

    monkeypatch.setattr(secret_files, "_content", grow)
    assert not files.changed()
    assert files.content(str(path)) == b"whole"
    monkeypatch.setattr(secret_files, "_content", read)
    assert files.changed()
    assert files.content(str(path)) == b"part" * number


def test_no_files_never_change() -> None:
    files = SecretFiles(["", ""])
    assert not files
    assert files.changed()  # the first time
    assert not files.changed()


def test_what_cannot_be_read_is_named_once_and_may_come_back(tmp_path: Path) -> None:
    path = tmp_path / "token"
    files = SecretFiles([str(path)])
    assert files.changed()
    assert not files.changed()
    with pytest.raises(SecretFileError, match=f"^{path} cannot be read: No such file or directory$"):
        files.content(str(path))
    path.write_bytes(b"there")
    assert files.changed()
    assert files.content(str(path)) == b"there"


@pytest.mark.parametrize(("size", "taken"), [(LARGEST, True), (LARGEST + 1, False)])
def test_a_file_has_a_bound(tmp_path: Path, size: int, *, taken: bool) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * size)
    files = SecretFiles([str(path)])
    if taken:
        assert len(files.content(str(path))) == size
    else:
        with pytest.raises(SecretFileError, match="has more than 1,048,576 bytes"):
            files.content(str(path))


TOKENS = st.lists(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1), min_size=1, max_size=MOST_TOKENS
)


@given(TOKENS, st.sampled_from(["\n", "\r\n", "\n\n", " \n\t"]))
def test_tokens_are_the_lines(tokens: list[str], between: str) -> None:
    assert read_tokens(between.join(["", *tokens, ""]).encode(), "t") == tuple(dict.fromkeys(tokens))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "/t holds no token; write one into it"),
        (b" \r\n\n", "/t holds no token; write one into it"),
        (b"one\n\xc3\xa4\n", "/t: token 2 must be printable ASCII"),
        (b"a\0b", "/t: token 1 must be printable ASCII"),
        (b"\n".join(b"%d" % number for number in range(MOST_TOKENS + 1)), "/t holds 17 tokens; leave at most 16"),
    ],
)
def test_what_is_no_token_is_named_but_not_shown(content: bytes, message: str) -> None:
    with pytest.raises(SecretFileError) as caught:
        read_tokens(content, "/t")
    assert str(caught.value).startswith(message)
