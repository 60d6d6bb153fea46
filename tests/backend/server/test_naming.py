import logging
from pathlib import Path

import pytest

from backend.entities.resolution import End, Flow
from backend.ingest.batch import Address, Connection, DetectPoint, Node
from backend.server.loading import load
from backend.server.naming import Naming
from backend.server.settings import SettingsError
from tests.backend.server.reading import reload

NODE = Node("node", "", 0, {})


def naming(environment: dict[str, str], pod: dict[str, str] | None = None) -> Naming:
    return Naming(load(None, environment, {}), pod or {})


def endpoint(made: Naming, path: str) -> str | None:
    """What a call of the service "shop" is named after."""
    shop, cart = (Address(service, f"{service}-1", "app", "", 80) for service in ("shop", "cart"))
    flow = made.resolver.resolve(Connection(NODE, shop, cart, DetectPoint.SERVER, tls=False, protocol=1))
    assert isinstance(flow, Flow)
    return made.resolver.serve(flow, "Get", path).endpoint_name


def test_a_table_and_rules_are_read_at_the_start_and_again(tmp_path: Path) -> None:
    addresses, groups = tmp_path / "addresses.yml", tmp_path / "groups.yml"
    addresses.write_text("192.0.2.0/24: warehouse\n")
    groups.write_text("automatic: false\ngrouping:\n  - service-name: shop\n    rules: ['/orders/{id}']\n")
    made = naming(
        {"PYROVER_BACKEND_FILES_ADDRESSES": str(addresses), "PYROVER_BACKEND_FILES_ENDPOINT_GROUPS": str(groups)}
    )
    assert made.books.find("192.0.2.1", 80, NODE, 5) == End("warehouse", "")
    assert endpoint(made, "/orders/7") == "GET:/orders/{id}"
    assert endpoint(made, "/carts/17") == "GET:/carts/17"
    addresses.write_text("192.0.2.0/24: depot\n192.0.2.1: {service: payments, instance: payments-1}\n")
    groups.write_text("grouping:\n  - service-name: '*'\n    rules: ['/carts/{cart}']\n")
    version = made.books.version
    assert reload(made.parts()) == {
        "endpoint groups": ("replaced", "1 rules"),
        "addresses": ("replaced", "2 addresses and networks"),
    }
    assert made.books.version > version
    assert made.books.find("192.0.2.1", 80, NODE, 5) == End("payments", "payments-1")
    assert endpoint(made, "/orders/77") == "GET:/orders/{number}"
    assert endpoint(made, "/carts/17") == "GET:/carts/{cart}"
    addresses.write_text("nowhere: depot\n")
    groups.write_text("grouping: 5\n")
    refused = reload(made.parts())
    assert [outcome for outcome, _ in refused.values()] == ["refused", "refused"]
    assert str(groups) in refused["endpoint groups"][1]
    assert str(addresses) in refused["addresses"][1]
    assert made.books.find("192.0.2.1", 80, NODE, 5) == End("payments", "payments-1")
    assert endpoint(made, "/carts/99") == "GET:/carts/{cart}"


def test_without_files_there_is_nothing_to_read_again() -> None:
    assert naming({}).parts() == []


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("PYROVER_BACKEND_FILES_ADDRESSES", "nowhere: depot", "nowhere: must be an address or a network"),
        ("PYROVER_BACKEND_FILES_ENDPOINT_GROUPS", "grouping: 5", "grouping"),
    ],
)
def test_a_wrong_file_is_refused_at_the_start(tmp_path: Path, variable: str, text: str, words: str) -> None:
    file = tmp_path / "file.yml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        naming({variable: str(file)})
    assert words in str(caught.value)
    assert str(file) in str(caught.value)


def test_namespaces_and_services_that_are_not_wanted_reach_the_resolver() -> None:
    made = naming({"PYROVER_BACKEND_ENTITIES_EXCLUDED_NAMESPACES": "a, b"})
    assert made.resolver._excluded_namespaces == {"a", "b"}
    assert not made.resolver._ignore_same_service
    assert naming({"PYROVER_BACKEND_ENTITIES_IGNORE_SAME_SERVICE": "true"}).resolver._ignore_same_service


def test_outside_of_a_cluster_none_is_watched_unless_that_is_asked_for() -> None:
    assert naming({}).cluster is None
    with pytest.raises(SettingsError, match="no pod of a Kubernetes cluster"):
        naming({"PYROVER_BACKEND_KUBERNETES_WATCH": "always"})


def test_a_pod_that_may_not_ask_goes_on_without(caplog: pytest.LogCaptureFixture) -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    with caplog.at_level(logging.WARNING):
        assert naming({}, pod).cluster is None
    assert "is not watched" in caplog.text
    caplog.clear()
    assert naming({"PYROVER_BACKEND_KUBERNETES_WATCH": "never"}, pod).cluster is None
    assert not caplog.records
