from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.query.graphql import templates
from backend.query.graphql.templates import FileTemplates, Template, TemplateError


def put(store: FileTemplates, identity: str, configuration: str = "{}") -> None:
    store.put(identity, lambda _: Template(identity, configuration, 1))


def test_templates_come_by_id_and_from_the_file(templates_file: Path) -> None:
    store = FileTemplates(templates_file)
    assert list(store.all()) == []
    for identity in ("b", "a", "ä"):
        put(store, identity, '"é"')
    expected = [Template(identity, '"é"', 1) for identity in ("a", "b", "ä")]
    assert list(store.all()) == expected
    assert list(FileTemplates(templates_file).all()) == expected
    assert [path.name for path in templates_file.parent.iterdir()] == ["templates.json"]


def test_a_change_sees_what_is_there(templates_file: Path) -> None:
    store = FileTemplates(templates_file)
    seen: list[Template | None] = []

    def change(template: Template | None) -> Template:
        seen.append(template)
        return Template("a", "{}", len(seen))

    store.put("a", change)
    store.put("a", change)
    assert seen == [None, Template("a", "{}", 1)]
    assert list(store.all()) == [Template("a", "{}", 2)]


def test_changes_of_several_threads_are_all_kept(templates_file: Path) -> None:
    store = FileTemplates(templates_file)
    names = [f"{number:02}" for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: put(store, name), names))
    assert [template.id for template in FileTemplates(templates_file).all()] == names


def test_bounds(templates_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileTemplates(templates_file)
    monkeypatch.setattr(templates, "MAXIMUM_TEMPLATES", 2)
    monkeypatch.setattr(templates, "MAXIMUM_CONFIGURATION", 10)
    monkeypatch.setattr(templates, "MAXIMUM_TOGETHER", 15)
    put(store, "a", "1" * 10)
    with pytest.raises(TemplateError, match="longer than 10 characters: make it smaller"):
        put(store, "a", "1" * 11)
    with pytest.raises(TemplateError, match="together are longer than 15 characters: make some smaller"):
        put(store, "b", "1" * 6)
    put(store, "b", "1" * 5)
    with pytest.raises(TemplateError, match="there are 2 templates already: change one"):
        put(store, "c", "")
    put(store, "a", "2")
    expected = [Template("a", "2", 1), Template("b", "11111", 1)]
    assert list(store.all()) == expected
    assert list(FileTemplates(templates_file).all()) == expected


@pytest.mark.parametrize("content", [b"[", b"{}", b'[{"id": "\xff", "configuration": "", "update_time": 1}]'])
def test_a_file_that_is_none_is_told_and_left_as_it_is(templates_file: Path, content: bytes) -> None:
    templates_file.parent.mkdir(parents=True, exist_ok=True)
    templates_file.write_bytes(content)
    store = FileTemplates(templates_file)
    with pytest.raises(TemplateError, match=r"cannot be read: .*; repair the file, or move it away"):
        store.all()
    with pytest.raises(TemplateError, match="cannot be read"):
        put(store, "a")
    assert templates_file.read_bytes() == content


def test_what_cannot_be_written_changes_nothing(templates_file: Path) -> None:
    store = FileTemplates(templates_file)
    put(store, "a")
    content = templates_file.read_bytes()
    templates_file.unlink()
    templates_file.mkdir()  # nothing can be renamed to it
    with pytest.raises(TemplateError, match=r"cannot be written: .*; make room, or let the backend write there"):
        put(store, "b")
    assert [template.id for template in store.all()] == ["a"]
    assert [path.name for path in templates_file.parent.iterdir()] == ["templates.json"]
    templates_file.rmdir()
    templates_file.write_bytes(content)
    put(store, "b")
    assert [template.id for template in FileTemplates(templates_file).all()] == ["a", "b"]
