import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols.exchange import TraceContext, TraceProvider
from agent.protocols.trace_context import MAXIMUM_ID, trace_context

TRACE, SPAN = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"
ZIPKIN = TraceContext(TraceProvider.ZIPKIN, TRACE, "", SPAN)
SHORT = TraceContext(TraceProvider.ZIPKIN, TRACE[:16], "", SPAN)


def sw8(trace: str = "t1.2.3", segment: str = "s1", span: str = "3", sample: str = "1") -> str:
    encoded = [base64.b64encode(part.encode()).decode() for part in (trace, segment)]
    rest = [base64.b64encode(part).decode() for part in (b"service", b"instance", b"/endpoint", b"127.0.0.1:80")]
    return "-".join([sample, *encoded, span, *rest])


def test_the_example_of_the_skywalking_protocol() -> None:
    value = "1-TRACEID-SEGMENTID-3-PARENT_SERVICE-PARENT_INSTANCE-PARENT_ENDPOINT-IPPORT"
    parts = {"TRACEID": "eA==", "SEGMENTID": "eQ=="}
    for name, encoded in parts.items():
        value = value.replace(name, encoded)
    assert trace_context({"sw8": value}) == TraceContext(TraceProvider.SKYWALKING, "x", "y", "3")


@pytest.mark.parametrize("value", [f"{TRACE}-{SPAN}", f"{TRACE}-{SPAN}-1", f"{TRACE}-{SPAN}-d-05e3ac9a4f6e3b90"])
def test_the_single_header_of_b3(value: str) -> None:
    assert trace_context({"b3": value}) == ZIPKIN


def test_b3_knows_trace_ids_of_64_bits() -> None:
    assert trace_context({"b3": f"{TRACE[:16]}-{SPAN}-0"}) == SHORT
    assert trace_context({"x-b3-traceid": TRACE[:16], "x-b3-spanid": SPAN}) == SHORT


def test_the_headers_of_b3() -> None:
    assert trace_context({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN}) == ZIPKIN
    assert trace_context({"x-b3-traceid": TRACE}) is None
    assert trace_context({"x-b3-spanid": SPAN}) is None


@pytest.mark.parametrize("value", [f"00-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-more-and"])
def test_a_trace_parent(value: str) -> None:
    assert trace_context({"traceparent": value}) == ZIPKIN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sw8", ""),
        ("sw8", sw8().rsplit("-", 1)[0]),
        ("sw8", sw8() + "-more"),
        ("sw8", sw8(span="x")),
        ("sw8", sw8(span="")),
        ("sw8", sw8(trace="")),
        ("sw8", sw8(segment="")),
        ("sw8", sw8(sample="2")),
        ("sw8", sw8(trace="x" * (MAXIMUM_ID + 1))),
        ("sw8", sw8(trace="a\x00b")),
        ("sw8", "1-n=t-eQ==-3-a-b-c-d"),
        ("sw8", "1-/w==-eQ==-3-a-b-c-d"),  # not UTF-8
        ("sw8", "1-\N{LATIN SMALL LETTER E WITH ACUTE}-eQ==-3-a-b-c-d"),
        ("b3", "0"),
        ("b3", f"{TRACE}-"),
        ("b3", f"{TRACE[:20]}-{SPAN}"),
        ("b3", f"{'0' * 32}-{SPAN}"),
        ("b3", f"{'0' * 16}-{SPAN}"),
        ("b3", f"{TRACE}-{'0' * 16}"),
        ("b3", f"{TRACE}-{SPAN}-x"),
        ("traceparent", f"ff-{TRACE}-{SPAN}-01"),
        ("traceparent", f"00-{TRACE}-{SPAN}-01-more"),
        ("traceparent", f"cc-{TRACE}-{SPAN}-01more"),
        ("traceparent", f"00-{TRACE.upper()}-{SPAN}-01"),
        ("traceparent", f"00-{'0' * 32}-{SPAN}-01"),
        ("traceparent", f"00-{TRACE}-{'0' * 16}-01"),
        ("traceparent", f"00-{TRACE}-{SPAN}"),
        ("traceparent", f"00-{TRACE}-{SPAN}-01\n"),
    ],
)
def test_what_is_malformed_counts_as_absent(name: str, value: str) -> None:
    assert trace_context({name: value}) is None


def test_the_order_of_preference() -> None:
    others = [f"{digit}" * 32 for digit in "123"]
    fields = {
        "sw8": sw8(),
        "b3": f"{others[0]}-{SPAN}",
        "x-b3-traceid": others[1],
        "x-b3-spanid": SPAN,
        "traceparent": f"00-{others[2]}-{SPAN}-00",
    }
    found = []
    for name in ("sw8", "b3", "x-b3-traceid", "traceparent"):
        context = trace_context(fields)
        assert context is not None
        found.append(context.trace_id)
        fields[name] = "malformed"
    assert found == ["t1.2.3", *others]
    assert trace_context(fields) is None


@given(st.text(min_size=1).filter(str.isprintable), st.text(min_size=1).filter(str.isprintable), st.integers(0, 2**31))
def test_what_a_tracer_of_skywalking_sends_is_read_back(trace: str, segment: str, span: int) -> None:
    context = trace_context({"sw8": sw8(trace, segment, str(span))})
    assert context == TraceContext(TraceProvider.SKYWALKING, trace, segment, str(span))


@given(st.dictionaries(st.sampled_from(["sw8", "b3", "x-b3-traceid", "x-b3-spanid", "traceparent"]), st.text()))
def test_nothing_raises(fields: dict[str, str]) -> None:
    trace_context(fields)
