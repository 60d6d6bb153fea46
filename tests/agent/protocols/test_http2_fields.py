import pytest

from agent.protocols.exchange import TraceContext, TraceProvider
from agent.protocols.http2_fields import (
    MAXIMUM_NAME,
    MAXIMUM_PATH,
    RequestFields,
    ResponseFields,
    request_fields,
    response_fields,
)
from agent.protocols.http2_losses import Loss

GET = {":method": "GET", ":path": "/a"}
TRACE = TraceContext(TraceProvider.ZIPKIN, "463ac35c9f6413ad48485a3953bb6124", "", "0020000000000001")


@pytest.mark.parametrize("has_unknown", [False, True])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (GET, ("GET", "/a", "", None)),
        ({**GET, ":path": "/a?b?c"}, ("GET", "/a", "", None)),
        ({**GET, ":authority": "a:80", "host": "b"}, ("GET", "/a", "a:80", None)),
        ({**GET, ":path": "/" * 5_000}, ("GET", "/" * MAXIMUM_PATH, "", None)),
        ({**GET, ":method": "X" * 300, ":authority": "h" * 300}, ("X" * MAXIMUM_NAME, "/a", "h" * MAXIMUM_NAME, None)),
        ({**GET, "b3": "463ac35c9f6413ad48485a3953bb6124-0020000000000001"}, ("GET", "/a", "", TRACE)),
        ({**GET, "b3": "0"}, ("GET", "/a", "", None)),
        (
            {":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", ":authority": "a"},
            ("CONNECT", "/chat", "a", None),
        ),
    ],
)
def test_what_is_there_does_not_depend_on_what_is_not_known(
    fields: dict[str, str], expected: tuple[str, str, str, TraceContext | None], *, has_unknown: bool
) -> None:
    assert request_fields(fields, has_unknown=has_unknown) == RequestFields(*expected, None)


def test_the_host_field_counts_only_where_no_authority_can_be_hidden() -> None:
    assert request_fields({**GET, "host": "b"}, has_unknown=False).host == "b"
    assert not request_fields({**GET, "host": "b"}, has_unknown=True).host


@pytest.mark.parametrize("fields", [{}, {":method": "GET"}, {":path": "/a"}, {":method": "CONNECT"}])
def test_requests_without_method_or_path_are_malformed_or_not_known(fields: dict[str, str]) -> None:
    for has_unknown, loss in ((False, Loss.REQUEST_MALFORMED), (True, Loss.TABLE_UNKNOWN)):
        assert request_fields(fields, has_unknown=has_unknown) == RequestFields("", "", "", None, loss)


def test_the_path_of_a_tunnel_is_its_authority() -> None:
    tunnel = {":method": "CONNECT", ":authority": "a:443"}
    assert request_fields(tunnel, has_unknown=False) == RequestFields("CONNECT", "a:443", "a:443", None, None)
    assert request_fields(tunnel, has_unknown=True).loss is Loss.TABLE_UNKNOWN
    websocket = {**tunnel, ":protocol": "websocket"}
    assert request_fields(websocket, has_unknown=False).loss is Loss.REQUEST_MALFORMED


@pytest.mark.parametrize(("status", "number"), [("200", 200), ("103", 103), ("999", 999)])
def test_statuses(status: str, number: int) -> None:
    assert response_fields({":status": status}, has_unknown=True) == ResponseFields(number, None, None)


@pytest.mark.parametrize("status", ["", "20", "2000", "2x0", "+20", "²00", "٢٠٠", "000"])
def test_statuses_that_are_none(status: str) -> None:
    assert response_fields({":status": status}, has_unknown=False) == ResponseFields(0, Loss.REQUEST_MALFORMED, None)


def test_blocks_without_a_status() -> None:
    assert response_fields({}, has_unknown=False) == ResponseFields(None, Loss.NOT_SEEN_WHOLE, None)
    assert response_fields({}, has_unknown=True) == ResponseFields(None, Loss.TABLE_UNKNOWN, None)


@pytest.mark.parametrize(
    ("written", "status"),
    [("0", 0), ("16", 16), ("999999999", 999_999_999), ("1000000000", None), ("", None), ("-1", None), ("²", None)],
)
def test_statuses_of_grpc(written: str, status: int | None) -> None:
    assert response_fields({"grpc-status": written}, has_unknown=False).grpc_status == status
