import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.entities.grouping_automatic import LONGEST_PATH, group_path


@pytest.mark.parametrize(
    ("path", "grouped"),
    [
        ("/orders/4711", "/orders/{number}"),
        ("/orders/12/lines/34", "/orders/{number}/lines/{number}"),
        ("/details/0", "/details/0"),
        ("/v1/ratings/5", "/v1/ratings/5"),
        ("/temperature/-12", "/temperature/{number}"),
        ("/price/3.14", "/price/{number}"),
        ("/day/2024-01-01", "/day/{number}"),
        ("/at/20240101T101010Z", "/at/{number}"),
        ("/hosts/10.0.0.1", "/hosts/{number}"),
        ("/x/550e8400-e29b-41d4-a716-446655440000/y", "/x/{uuid}/y"),
        ("/order-550E8400-E29B-41D4-A716-446655440000.pdf", "/order-{uuid}.pdf"),
        ("/commit/3f2a9c1b", "/commit/{hash}"),
        ("/sum/E5A1B2C3D4F6E5A1B2C3D4F6E5A1B2C3", "/sum/{hash}"),
        ("/static/main.3f2a9c1b.js", "/static/main.{hash}.js"),
        ("/sessions/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/sessions/{id}"),
        ("/nano/V1StGXR8_Z5jdHi6B-myT", "/nano/{id}"),
        ("/prod/ORDER123", "/prod/ORDER{number}"),
        ("/order-12345/lines", "/order-{number}/lines"),
        ("/customer:12345", "/customer:{number}"),
        # Words that have digits and mean something.
        ("/utf-8/mp3/base64/v10/area51", "/utf-8/mp3/base64/v10/area51"),
        ("/jquery-3.6.0.min.js", "/jquery-3.6.0.min.js"),
        ("/deadbeef", "/deadbeef"),
        ("/kubernetes-service-endpoint-list", "/kubernetes-service-endpoint-list"),
        ("/hello%20world", "/hello%20world"),
        ("/", "/"),
        ("", ""),
        ("//12//", "//{number}//"),
    ],
)
def test_identifiers_are_replaced_by_what_they_are(path: str, grouped: str) -> None:
    assert group_path(path) == grouped


@given(st.text(alphabet="/abFf09-_.:{}%TZäÖ٣", max_size=80))
@example("/" + "1a" * 20)
@example("/{number}/{id}")
def test_whatever_the_path_grouping_is_stable_and_keeps_its_segments(path: str) -> None:
    grouped = group_path(path)
    assert group_path(grouped) == grouped
    assert grouped.count("/") == path.count("/")
    if not re.search("[0-9]", path):
        assert grouped == path
    for before, after in zip(path.split("/"), grouped.split("/"), strict=True):
        assert after == before or re.search("{(number|uuid|hash|id)}", after)
        assert not re.search("[0-9]{3}", re.sub("[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*", "", after))


@given(number=st.integers(10, 10**30))
def test_a_number_in_a_place_makes_no_difference(number: int) -> None:
    assert group_path(f"/orders/{number}/lines") == "/orders/{number}/lines"


@given(value=st.uuids())
def test_a_uuid_in_a_place_makes_no_difference(value: object) -> None:
    assert group_path(f"/orders/{value}/lines") == "/orders/{uuid}/lines"


def test_a_path_of_any_length_costs_no_more_than_the_longest() -> None:
    assert group_path("/x" * 10_000) == "/x" * (LONGEST_PATH // 2)
