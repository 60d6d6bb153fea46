"""The web client's menu and dashboards: document in, answer out."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from backend.query.graphql.templates import FileTemplates
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import NOW, Client, asking

ALL = """query ($all: Boolean) {
  getAllTemplates(includingDisabled: $all) { id configuration disabled updateTime }
}"""
ONE = "query ($id: String!) { getTemplate(id: $id) { id configuration disabled } }"


async def test_the_menu_shows_what_there_are_services_of(client: Client) -> None:
    answer = await client.answer(documents.SWCTL_MENU)
    lines = [
        (item["title"], item["layer"], item["activate"], [(sub["layer"], sub["activate"]) for sub in item["subItems"]])
        for item in answer["result"]
    ]
    assert lines == [
        ("Kubernetes", "", True, [("K8S_SERVICE", True)]),
        ("Service Mesh", "", False, [("MESH", False), ("MESH_DP", False)]),
    ]
    keys = [sub["i18nKey"] for item in answer["result"] for sub in item["subItems"]]
    assert keys == ["kubernetes_service", "service_mesh_service", "service_mesh_data_plane"]
    texts = [item[name] for item in answer["result"] for name in ("icon", "description", "documentLink", "i18nKey")]
    assert all(texts)


async def test_dashboards_are_added_changed_and_disabled(templates_file: Path) -> None:
    async with asking(MemoryStorage(), FileTemplates(templates_file)) as client:
        assert await client.answer(documents.BOOSTER_TEMPLATES) == {"getAllTemplates": []}
        added = await client.answer(documents.BOOSTER_ADD_TEMPLATE, setting={"configuration": '{"a": 1}'})
        identity = added["addTemplate"]["id"]
        assert uuid.UUID(identity).version == 4
        assert added == {"addTemplate": {"id": identity, "status": True, "message": None}}
        shown = await client.answer(documents.BOOSTER_TEMPLATES)
        assert shown == {"getAllTemplates": [{"id": identity, "configuration": '{"a": 1}'}]}

        setting = {"id": identity, "configuration": '{"a": 2}'}
        changed = await client.answer(documents.BOOSTER_CHANGE_TEMPLATE, setting=setting)
        assert changed == {"changeTemplate": {"id": identity, "status": True, "message": None}}
        assert await client.answer(ONE, id=identity) == {
            "getTemplate": {"id": identity, "configuration": '{"a": 2}', "disabled": False}
        }

        disabled = await client.answer(documents.BOOSTER_DELETE_TEMPLATE, id=identity)
        assert disabled == {"disableTemplate": {"id": identity, "status": True, "message": None}}
        assert await client.answer(ALL) == {"getAllTemplates": []}
        kept = {"id": identity, "configuration": '{"a": 2}', "disabled": True, "updateTime": int(NOW * 1_000)}
        assert await client.answer(ALL, all=True) == {"getAllTemplates": [kept]}

        await client.answer(documents.BOOSTER_CHANGE_TEMPLATE, setting=setting)
        assert await client.answer(ALL) == {"getAllTemplates": [kept | {"disabled": False}]}


async def test_dashboards_outlive_the_backend(templates_file: Path) -> None:
    async with asking(MemoryStorage(), FileTemplates(templates_file)) as client:
        added = await client.answer(documents.BOOSTER_ADD_TEMPLATE, setting={"configuration": "[]"})
    async with asking(MemoryStorage(), FileTemplates(templates_file)) as client:
        shown = await client.answer(documents.BOOSTER_TEMPLATES)
    assert shown == {"getAllTemplates": [{"id": added["addTemplate"]["id"], "configuration": "[]"}]}


@pytest.mark.parametrize(
    ("document", "variables", "message"),
    [
        (documents.BOOSTER_ADD_TEMPLATE, {"setting": {"configuration": "{"}}, "the configuration is not JSON: "),
        (
            documents.BOOSTER_CHANGE_TEMPLATE,
            {"setting": {"id": "x", "configuration": "{}"}},
            "there is no template with the id 'x': getAllTemplates lists them",
        ),
        (
            documents.BOOSTER_DELETE_TEMPLATE,
            {"id": "x"},
            "there is no template with the id 'x': getAllTemplates lists them",
        ),
    ],
)
async def test_what_cannot_be_changed_says_why(
    templates_file: Path, document: str, variables: dict[str, Any], message: str
) -> None:
    async with asking(MemoryStorage(), FileTemplates(templates_file)) as client:
        (change,) = (await client.answer(document, **variables)).values()
        assert change["status"] is False
        assert change["message"].startswith(message)
        assert await client.answer(ALL, all=True) == {"getAllTemplates": []}
        assert await client.answer(ONE, id="x") == {"getTemplate": None}
    assert list(FileTemplates(templates_file).all()) == []


async def test_a_file_that_cannot_be_read_is_told_and_left_as_it_is(broken_templates_file: Path) -> None:
    async with asking(MemoryStorage(), FileTemplates(broken_templates_file)) as client:
        (error,) = await client.errors(documents.BOOSTER_TEMPLATES)
        assert error["message"].startswith(f"{broken_templates_file} cannot be read: ")
        assert "; repair the file, or move it away; " in error["message"]
        assert error["extensions"] == {"code": "UNAVAILABLE"}
        change = await client.answer(documents.BOOSTER_ADD_TEMPLATE, setting={"configuration": "{}"})
        assert change["addTemplate"]["status"] is False
