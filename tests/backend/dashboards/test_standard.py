"""The dashboards that come with the program."""

from pathlib import Path

import pytest

from backend.dashboards.book import DashboardBook, answer
from backend.dashboards.checking import METRICS_OF
from backend.dashboards.loading import STANDARD, load_dashboards, standard_dashboards
from backend.dashboards.model import Kind, Scope
from backend.oal.loader import STANDARD as SCRIPTS
from backend.oal.loader import load
from backend.query.catalog import Catalog
from backend.query.mqe.parser import parse
from backend.query.mqe.syntax import MetricExpression

SEED = SCRIPTS / "ebpf.oal"


def names_in(expression: object) -> set[str]:
    """Every metric that an expression names, found without knowing the kinds of expressions."""
    if isinstance(expression, MetricExpression):
        return {expression.name}
    if isinstance(expression, tuple):
        parts = list(expression)
    else:
        parts = [getattr(expression, slot) for slot in getattr(expression, "__slots__", ())]
    return set().union(*(names_in(part) for part in parts if hasattr(part, "__slots__") or isinstance(part, tuple)))


def shown(scope: Scope) -> set[str]:
    """Names of all metrics that dashboards of a scope show."""
    return {
        name
        for dashboard in standard_dashboards()
        if dashboard.content.scope is scope
        for tab in dashboard.content.tabs
        for widget in tab.widgets
        for line in widget.lines
        for name in names_in(parse(line.expression))
    }


@pytest.mark.parametrize("scope", METRICS_OF)
def test_every_metric_of_the_seed_page_is_shown_where_it_belongs(scope: Scope) -> None:
    of_scope = {one.name for one in load(SEED, skip_unsupported=True).definitions if one.scope == METRICS_OF[scope]}
    assert of_scope - shown(scope) == set()
    assert bool(of_scope) is (scope is not Scope.ENDPOINT_RELATION)  # which SkyWalking's script has not


def test_calls_between_endpoints_are_shown() -> None:
    of_scope = {one.name for one in load(skip_unsupported=True).definitions if one.scope == "K8SEndpointRelation"}
    # Totals are for other programs, which divide them themselves.
    totals = {name for name in of_scope if name.endswith(("_duration", "_size")) and "_avg_" not in name}
    assert of_scope - shown(Scope.ENDPOINT_RELATION) == totals


def test_each_scope_has_a_dashboard_and_each_kind_is_used() -> None:
    dashboards = standard_dashboards()
    assert {dashboard.content.scope for dashboard in dashboards} == set(Scope)
    kinds = {widget.kind for one in dashboards for tab in one.content.tabs for widget in tab.widgets}
    assert kinds == set(Kind) - {Kind.VALUE}  # which is for own ones


def test_what_scripts_switch_off_is_left_out() -> None:
    names = {
        "kubernetes_service_endpoint_call_cpm",
        "kubernetes_service_endpoint_call_time",
        "kubernetes_service_endpoint_call_successful_rate",
        "kubernetes_service_endpoint_http_status_1xx_cpm",
    }
    known = [one for one in load(skip_unsupported=True).definitions if one.name not in names]
    dashboards = {one.name: one.content for one in load_dashboards(Catalog(known))}
    assert [tab.title for tab in dashboards["endpoint"].tabs] == ["HTTP"]
    statuses = next(one for one in dashboards["endpoint"].tabs[0].widgets if one.title == "Answers by status")
    assert [line.name for line in statuses.lines] == ["2xx", "3xx", "4xx", "5xx"]
    assert load_dashboards(Catalog([])) == ()


def test_a_stage_whose_outer_stage_is_missing_stands_alone() -> None:
    known = [one for one in load(skip_unsupported=True).definitions if one.name != "kubernetes_service_write_l4_time"]
    service = {one.name: one.content for one in load_dashboards(Catalog(known))}["service"]
    layers = next(tab for tab in service.tabs if tab.title == "Layers")
    write = {line.name: line.within for line in layers.widgets[0].lines}
    assert "L4: transport (TCP)" not in write
    assert write["L3: network (IP)"] is None
    assert write["L2: device"] == "L3: network (IP)"


def test_the_book_gives_what_was_put_into_it() -> None:
    book = DashboardBook()
    assert book() == standard_dashboards()
    first = standard_dashboards()[0]
    assert book.replace([first]) == "1 dashboards, 0 of them own"
    assert book() == (first,)
    assert [one.title for one in answer(book()).dashboards] == [first.content.title]


def test_the_files_have_the_names_that_the_documentation_lists() -> None:
    page = (Path(__file__).parents[3] / "docs" / "dashboards.md").read_text()
    assert [file.stem for file in sorted(STANDARD.glob("*.yml")) if f"`{file.stem}`" not in page] == []
