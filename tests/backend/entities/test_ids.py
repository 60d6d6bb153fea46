import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.entities import ids

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name.strip() != "")


def test_ids_are_those_of_upstream() -> None:
    # As its end-to-end tests expect them.
    service = ids.service_id("details.default")
    assert service == f"{base64.b64encode(b'details.default').decode()}.1" == "ZGV0YWlscy5kZWZhdWx0.1"
    assert ids.endpoint_id(service, "GET:/details/0") == "ZGV0YWlscy5kZWZhdWx0.1_R0VUOi9kZXRhaWxzLzA="
    assert ids.service_id("Unknown") == "VW5rbm93bg==.1"
    assert ids.service_id("Unknown", normal=False) == "VW5rbm93bg==.0"


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_blank_names_get_a_name(blank: str) -> None:
    service = ids.service_id(blank)
    assert service == ids.service_id("_blank")
    assert ids.decode_service_id(service).service == "_blank"
    assert ids.instance_id(service, blank) == ids.instance_id(service, "_blank")


@given(service=names, normal=st.booleans(), name=names)
def test_services_instances_and_endpoints_are_read_back(*, service: str, normal: bool, name: str) -> None:
    identifier = ids.service_id(service, normal=normal)
    expected = ids.ServiceName(service, normal)
    assert ids.decode_service_id(identifier) == expected
    assert ids.decode_instance_id(ids.instance_id(identifier, name)) == ids.InstanceName(expected, name)
    assert ids.decode_endpoint_id(ids.endpoint_id(identifier, name)) == ids.EndpointName(expected, name)


@given(source=names, destination=names, first=names, second=names)
def test_relations_are_read_back(source: str, destination: str, first: str, second: str) -> None:
    ends = ids.service_id(source), ids.service_id(destination, normal=False)
    one, other = ids.ServiceName(source, normal=True), ids.ServiceName(destination, normal=False)
    assert ids.decode_service_relation_id(ids.service_relation_id(*ends)) == (one, other)
    instances = ids.instance_id(ends[0], first), ids.instance_id(ends[1], second)
    assert ids.decode_instance_relation_id(ids.instance_relation_id(*instances)) == ((one, first), (other, second))
    endpoints = ids.endpoint_relation_id(ends[0], first, ends[1], second)
    assert ids.decode_endpoint_relation_id(endpoints) == ((one, first), (other, second))


@given(one=st.tuples(names, names), other=st.tuples(names, names))
def test_different_names_have_different_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    identifiers = [ids.instance_id(ids.service_id(service), instance) for service, instance in (one, other)]
    assert (identifiers[0] == identifiers[1]) == (one == other)


DECODERS: list[Callable[[str], object]] = [
    ids.decode_service_id,
    ids.decode_instance_id,
    ids.decode_endpoint_id,
    ids.decode_service_relation_id,
    ids.decode_instance_relation_id,
    ids.decode_endpoint_relation_id,
]
ENCODED: dict[Callable[[str], object], str] = {
    ids.decode_service_id: "YQ==.1",
    ids.decode_instance_id: "YQ==.1_YQ==",
    ids.decode_endpoint_id: "YQ==.1_YQ==",
    ids.decode_service_relation_id: "YQ==.1-YQ==.0",
    ids.decode_instance_relation_id: "YQ==.1_YQ==-YQ==.0_YQ==",
    ids.decode_endpoint_relation_id: "YQ==.1-YQ==-YQ==.0-YQ==",
}


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "text", ["", ".", "a.1", "YQ==.2", "YQ.1", "YR==.1", "YQ==", "-", "_", "Y Q==.1", "gA==.1", "é.1"]
)
def test_what_is_not_an_id_is_refused(decode: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an? .*id: "):
        decode(text)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("of", DECODERS)
def test_an_id_of_another_kind_is_refused(decode: Callable[[str], object], of: Callable[[str], object]) -> None:
    if ENCODED[decode] != ENCODED[of]:
        with pytest.raises(ValueError, match=r"is not an?"):
            decode(ENCODED[of])
    else:
        decode(ENCODED[of])


@given(text=st.text(alphabet="YQ=.1_-a0"))
def test_any_text_is_a_service_id_or_refused(text: str) -> None:
    try:
        name = ids.decode_service_id(text)
    except ValueError:
        return
    assert ids.service_id(name.service, normal=name.normal) == text
