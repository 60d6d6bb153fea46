"""Dashboards of files among the templates of the web client, in the form that it writes.

The form is that of booster-ui 10: widgets on a grid of 24 columns, in tabs. It knows neither stages nor totals that are
to be divided by a bucket's length: a stage becomes a card, and a total is divided by the length of a minute.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from backend.dashboards.book import Dashboards
from backend.dashboards.model import Content, Dashboard, Kind, Line, Per, Scope, Widget
from backend.query.graphql.templates import Template, TemplateStore

PREFIX = "pyrover-"
"""How the ids of templates begin that are made of files."""
LAYER = "K8S_SERVICE"
ENTITIES = {
    Scope.GLOBAL: "All",
    Scope.SERVICE: "Service",
    Scope.INSTANCE: "ServiceInstance",
    Scope.ENDPOINT: "Endpoint",
    Scope.SERVICE_RELATION: "ServiceRelation",
    Scope.INSTANCE_RELATION: "ServiceInstanceRelation",
    Scope.ENDPOINT_RELATION: "EndpointRelation",
}
"""What the client calls the scopes."""
GRAPHS = {
    Kind.LINE: "Line",
    Kind.AREA: "Area",
    Kind.BAR: "Bar",
    Kind.VALUE: "Card",
    Kind.STAGES: "Card",
    Kind.TABLE: "TopList",
    # Its heat map is of histograms alone.
    Kind.HEAT_MAP: "Bar",
}
"""What the client calls the kinds."""
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 14


class DashboardTemplates:
    """Templates: those that are kept, and those that are made of files. Safe for several threads.

    One that is changed by the client is kept from then on, in place of the one of the file.

    Args:
        kept: Where templates are kept.
        dashboards: The dashboards of files.
        updated: Milliseconds since 1970-01-01 UTC at which files count as written.
    """

    def __init__(self, kept: TemplateStore, dashboards: Dashboards, updated: int = 0) -> None:
        self._kept = kept
        self._dashboards = dashboards
        self._updated = updated

    def all(self) -> Sequence[Template]:
        """As TemplateStore.all."""
        kept = {template.id: template for template in self._kept.all()}
        return [template for _, template in sorted({**self._of_files(), **kept}.items())]

    def put(self, template_id: str, change: Callable[[Template | None], Template]) -> None:
        """As TemplateStore.put."""
        of_file = self._of_files().get(template_id)
        self._kept.put(template_id, lambda kept: change(of_file if kept is None else kept))

    def _of_files(self) -> dict[str, Template]:
        return {template.id: template for template in (to_template(one, self._updated) for one in self._dashboards())}


def to_template(dashboard: Dashboard, updated: int = 0) -> Template:
    """A dashboard in the form of the client."""
    identity = f"{PREFIX}{dashboard.name}"
    configuration = {
        "id": identity,
        "name": identity,
        "layer": LAYER,
        "entity": ENTITIES[dashboard.content.scope],
        "isRoot": dashboard.content.scope is Scope.GLOBAL,
        "isDefault": True,
        "path": "",
        "children": [_tabs(dashboard.content)],
    }
    return Template(identity, msgspec.json.encode(configuration).decode(), updated)


def _tabs(content: Content) -> dict[str, Any]:
    tabs = [
        {"name": tab.title, "children": _placed(one for widget in tab.widgets for one in _widgets(widget))}
        for tab in content.tabs
    ]
    return {"x": 0, "y": 0, "w": _COLUMNS, "h": 50, "i": "0", "type": "Tab", "children": tabs}


def _placed(widgets: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    across = _COLUMNS // _WIDTH
    return [
        {
            "x": index % across * _WIDTH,
            "y": index // across * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
            "i": str(index),
            "type": "Widget",
            **widget,
        }
        for index, widget in enumerate(widgets)
    ]


def _widgets(widget: Widget) -> Iterable[dict[str, Any]]:
    """A widget in the form of the client; a card shows one number there, so that each line becomes one."""
    if GRAPHS[widget.kind] != "Card":
        yield _widget(widget, widget.title, widget.lines)
        return
    for line in widget.lines:
        yield _widget(widget, f"{widget.title}: {line.name}" if line.name else widget.title, (line,))


def _widget(widget: Widget, title: str, lines: Sequence[Line]) -> dict[str, Any]:
    return {
        "widget": {"title": title, "tips": widget.note},
        "graph": {"type": GRAPHS[widget.kind], "showXAxis": True, "showYAxis": True},
        "expressions": [_expression(widget, line) for line in lines],
        "metricConfig": [{"unit": widget.unit, "label": line.name or widget.title} for line in lines],
    }


def _expression(widget: Widget, line: Line) -> str:
    return f"({line.expression}) / 60" if widget.per is Per.SECOND else line.expression
