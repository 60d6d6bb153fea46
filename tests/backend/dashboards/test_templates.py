"""Dashboards of files as templates of the web client."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from backend.dashboards.book import DashboardBook
from backend.dashboards.loading import standard_dashboards
from backend.dashboards.model import Content, Dashboard, Kind, Line, Per, Scope, Tab, Unit, Widget
from backend.dashboards.templates import DashboardTemplates, to_template
from backend.query.graphql.routes import graphql_routes
from backend.query.graphql.telemetry import Telemetry
from backend.query.graphql.templates import FileTemplates, Template
from backend.query.mqe.parser import parse
from backend.storage.memory import MemoryStorage

SENT = Widget("Sent", Kind.AREA, (Line("a_size", "Bytes"),), Unit.BYTES_PER_SECOND, Per.SECOND, "A note.")
TIMES = Widget("Times", Kind.STAGES, (Line("avg(a)", "A"), Line("avg(b)", "B", "A")), Unit.NANOSECONDS)
SMALL = Dashboard("small", own=True, content=Content("Small", Scope.SERVICE_RELATION, (Tab("One", (SENT, TIMES)),)))


def test_a_dashboard_in_the_form_of_the_client() -> None:
    template = to_template(SMALL, 5)
    assert (template.id, template.update_time, template.disabled) == ("pyrover-small", 5, False)
    configuration = msgspec.json.decode(template.configuration)
    (tabs,) = configuration.pop("children")
    assert configuration == {
        "id": "pyrover-small",
        "name": "pyrover-small",
        "layer": "K8S_SERVICE",
        "entity": "ServiceRelation",
        "isRoot": False,
        "isDefault": True,
        "path": "",
    }
    (tab,) = tabs["children"]
    assert tab["name"] == "One"
    sent, first, second = tab["children"]
    assert sent == {
        "x": 0,
        "y": 0,
        "w": 8,
        "h": 14,
        "i": "0",
        "type": "Widget",
        "widget": {"title": "Sent", "tips": "A note."},
        "graph": {"type": "Area", "showXAxis": True, "showYAxis": True},
        "expressions": ["(a_size) / 60"],
        "metricConfig": [{"unit": "bytes per second", "label": "Bytes"}],
    }
    # A card shows one number, so stages become one each.
    assert [(one["widget"]["title"], one["graph"]["type"], one["expressions"]) for one in (first, second)] == [
        ("Times: A", "Card", ["avg(a)"]),
        ("Times: B", "Card", ["avg(b)"]),
    ]


@pytest.mark.parametrize("dashboard", standard_dashboards(), ids=lambda dashboard: dashboard.name)
def test_every_expression_of_the_client_is_one(dashboard: Dashboard) -> None:
    (tabs,) = msgspec.json.decode(to_template(dashboard).configuration)["children"]
    expressions = [text for tab in tabs["children"] for widget in tab["children"] for text in widget["expressions"]]
    assert len(expressions) == sum(len(one.lines) for tab in dashboard.content.tabs for one in tab.widgets)
    for text in expressions:
        parse(text)


def test_those_of_files_are_listed_with_those_that_are_kept(tmp_path: Path) -> None:
    kept = FileTemplates(tmp_path / "templates.json")
    templates = DashboardTemplates(kept, DashboardBook([SMALL]), 5)
    templates.put("mine", lambda old: Template("mine", "{}" if old is None else "wrong", 1))
    assert [template.id for template in templates.all()] == ["mine", "pyrover-small"]
    assert [template.id for template in kept.all()] == ["mine"]

    def disabled(old: Template | None) -> Template:
        assert old == to_template(SMALL, 5)  # it is changed from what the file says
        return msgspec.structs.replace(old, disabled=True)

    templates.put("pyrover-small", disabled)
    assert [(template.id, template.disabled) for template in templates.all()] == [
        ("mine", False),
        ("pyrover-small", True),
    ]
    book = DashboardBook([])
    assert [template.id for template in DashboardTemplates(kept, book).all()] == ["mine", "pyrover-small"]


async def test_the_client_lists_and_disables_those_of_files(tmp_path: Path) -> None:
    templates = DashboardTemplates(FileTemplates(tmp_path / "templates.json"), DashboardBook())
    listed = "{ getAllTemplates { id updateTime disabled configuration } }"
    disable = 'mutation { disableTemplate(id: "pyrover-service") { id status message } }'
    application = Starlette(
        routes=graphql_routes(MemoryStorage(), [], templates, telemetry=Telemetry(CollectorRegistry()))
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as client:

        async def ask(query: str) -> dict[str, Any]:
            body = (await client.post("/graphql", json={"query": query})).json()
            assert body.keys() == {"data"}
            data: dict[str, Any] = body["data"]
            return data

        names = sorted(f"pyrover-{dashboard.name}" for dashboard in standard_dashboards())
        assert [one["id"] for one in (await ask(listed))["getAllTemplates"]] == names
        changed = {"id": "pyrover-service", "status": True, "message": None}
        assert await ask(disable) == {"disableTemplate": changed}
        left = [one["id"] for one in (await ask(listed))["getAllTemplates"]]
        assert left == [name for name in names if name != "pyrover-service"]
