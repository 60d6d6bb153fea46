"""Files of dashboards: what counts, and what is said of those that are wrong."""

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.dashboards import document, loading
from backend.dashboards.loading import load_dashboards, standard_dashboards
from backend.dashboards.model import DashboardError, Kind, Per, Scope, Unit
from backend.dashboards.reading import read_content
from backend.oal.loader import load
from backend.query.catalog import Catalog

GOOD = """\
title: Mine
scope: service
tabs:
  - title: First
    widgets:
      - title: Bytes
        kind: area
        unit: bytes per second
        per: second
        lines:
          - expression: kubernetes_service_write_package_size
            name: Written
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(load(skip_unsupported=True).definitions)


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yml").write_text(text)
    return tmp_path


def test_a_file_says_what_is_shown(tmp_path: Path, catalog: Catalog) -> None:
    loaded = {one.name: one for one in load_dashboards(catalog, str(folder(tmp_path, mine=GOOD)))}
    mine = loaded.pop("mine")
    assert mine.own
    assert (mine.content.title, mine.content.scope) == ("Mine", Scope.SERVICE)
    (tab,) = mine.content.tabs
    (widget,) = tab.widgets
    assert (widget.kind, widget.unit, widget.per) == (Kind.AREA, Unit.BYTES_PER_SECOND, Per.SECOND)
    assert [(line.name, line.expression) for line in widget.lines] == [
        ("Written", "kubernetes_service_write_package_size")
    ]
    assert tuple(loaded.values()) == standard_dashboards()  # the others stay


def test_a_file_of_the_same_name_replaces_a_standard_one(tmp_path: Path, catalog: Catalog) -> None:
    loaded = load_dashboards(catalog, str(folder(tmp_path, service=GOOD)))
    assert [one.name for one in loaded] == [one.name for one in standard_dashboards()]
    assert [one.content.title for one in loaded if one.name == "service"] == ["Mine"]
    alone = load_dashboards(catalog, str(tmp_path / "service.yml"))
    assert alone == loaded


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("title: Mine\n", "", 1, "Object missing required field `title`"),
        ("kind: area", "kind: pie", 7, "kind is one of line, area, bar, value, table, heat map, stages"),
        ("scope: service", "scope: pod", 2, "scope is one of global, service, instance, endpoint, service relation"),
        ("unit: bytes per second", "unit: B", 8, "unit is one of number, per minute"),
        ("per: second", "per: hour", 9, "per is one of second, minute"),
        ("    widgets:", "    wigets:", 4, "unknown field `wigets`"),
        ("title: Bytes", "title: 7", 6, "Expected `str`, got `int`"),
        ("            name: Written", "            name: Written\n            name: Sent", 13, "'name' is said twice"),
        ("title: Bytes", "title: [Bytes", 7, "this is not YAML"),
        ("write_package_size", "write_package_sise", 11, "did you mean kubernetes_service_write_package_size"),
        ("kubernetes_service_write", "kubernetes_service_instance_write", 11, "is a metric of K8SServiceInstance; a"),
        ("kubernetes_service_write_package_size", "avg(1", 11, "is no expression: at column 6: the end cannot stand"),
        ("kubernetes_service_write_package_size", "avg(kubernetes_service_read_cpm)", 11, "gives one number, which is"),
        ("kind: area", "kind: table", 11, "gives values over time, which is no table: use top_n()"),
        ("kind: area", "kind: value", 11, "put avg(), sum() or latest() around it"),
        ("name: Written", "name: Written\n            within: Bytes", 13, "`within` is for widgets of kind stages"),
        (
            "kubernetes_service_write_package_size",
            "top_n(kubernetes_service_http_call_cpm, 3, des)",
            11,
            "top_n() in a dashboard of the scope service ranks K8SEndpoint or K8SServiceInstance",
        ),
    ],
)
def test_errors_are_named_with_file_and_line(  # noqa: PLR0917 - what is changed, and what is said of it
    tmp_path: Path, catalog: Catalog, old: str, new: str, line: int, reason: str
) -> None:
    assert old in GOOD
    own = folder(tmp_path, mine=GOOD.replace(old, new, 1))
    with pytest.raises(DashboardError) as caught:
        load_dashboards(catalog, str(own))
    assert str(caught.value).startswith(f"{own / 'mine.yml'}:{line}: ")
    assert reason in caught.value.reason


def test_a_global_dashboard_shows_lists_alone(tmp_path: Path, catalog: Catalog) -> None:
    own = folder(tmp_path, mine=GOOD.replace("scope: service", "scope: global"))
    with pytest.raises(DashboardError, match=r"mine\.yml:11: .* lists alone: use top_n\(\)"):
        load_dashboards(catalog, str(own))


STAGES = """\
title: Stages
scope: service
tabs:
  - title: One
    widgets:
      - title: A write
        kind: stages
        unit: ns
        lines:
          - {name: Call, expression: avg(kubernetes_service_write_time)}
          - {name: L4, expression: avg(kubernetes_service_write_l4_time), within: Call}
"""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name: L4", "name: Call", "11: each stage needs a name that no other has"),
        ("name: L4, ", "", "11: each stage needs a name that no other has"),
        ("within: Call", "within: L3", "11: there is no stage 'L3' before this one"),
    ],
)
def test_stages_lie_within_those_before_them(tmp_path: Path, catalog: Catalog, old: str, new: str, reason: str) -> None:
    assert len(load_dashboards(catalog, str(folder(tmp_path, mine=STAGES)))) == len(standard_dashboards()) + 1
    with pytest.raises(DashboardError) as caught:
        load_dashboards(catalog, str(folder(tmp_path, mine=STAGES.replace(old, new))))
    assert reason in str(caught.value)


def test_places_without_files_are_named(tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DashboardError, match="there is no dashboard"):
        load_dashboards(catalog, str(tmp_path))
    with pytest.raises(DashboardError, match=r"none\.yml:1: the dashboard cannot be read: No such file"):
        load_dashboards(catalog, str(tmp_path / "none.yml"))
    (tmp_path / "mine.yaml").write_text(GOOD)
    with pytest.raises(DashboardError, match="there are two files for the dashboard 'mine'"):
        load_dashboards(catalog, str(folder(tmp_path, mine=GOOD)))
    monkeypatch.setattr(loading, "MAXIMUM_FILES", 1)
    with pytest.raises(DashboardError, match="more than 1 dashboards in this folder"):
        load_dashboards(catalog, str(tmp_path))


def read(text: str) -> str:
    """What is wrong with a text."""
    with pytest.raises(DashboardError) as caught:
        read_content(dedent(text).encode(), "mine.yml")
    return str(caught.value)


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("") == "mine.yml:1: the file is empty: a dashboard has a title, a scope and tabs"
    assert read("[" * 30 + "]" * 30) == "mine.yml:1: this is nested more than 20 levels deep"
    assert read("[" * 30_000).startswith("mine.yml:1: ")
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcde", "bcdef", strict=True)
    )
    assert read(bomb).endswith("the file has more than 20,000 values: make several of it")
    monkeypatch.setattr(document, "MAXIMUM_BYTES", 10)
    assert read(GOOD) == "mine.yml:1: the file is longer than 10 bytes: make several of it"


def test_texts_that_are_no_text_are_named() -> None:
    with pytest.raises(DashboardError, match="not in UTF-8"):
        read_content(b"title: \xff", "mine.yml")
    assert read("? [a, b]\n: c\n") == "mine.yml:1: a key must be a word"
    assert "put it in quotes" in read("title: !!int x")


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_whatever_a_file_holds_there_is_no_other_error(text: bytes) -> None:
    try:
        read_content(text, "mine.yml")
    except DashboardError as error:
        line = error.line
    else:
        line = 1
    assert line >= 1


@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    text = GOOD.encode()
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 20))
    put = data.draw(st.binary(max_size=4))
    try:
        content, _ = read_content(text[:at] + put + text[at + cut :], "mine.yml")
        outcome = len(content.tabs)
    except DashboardError as error:
        outcome = error.line
    assert 1 <= outcome <= 20
