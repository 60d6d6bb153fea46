import re

import pytest

from agent.discovery.naming import Identity, Naming, ServiceRule
from tests.agent.discovery.test_cgroups import ID, SHORT
from tests.agent.synthetic import facts

JAVA = facts(1, "/usr/lib/jvm/bin/java", arguments="java -jar shop-cart.jar --port 8080", cgroups=["/user.slice"])


@pytest.mark.parametrize(
    ("cgroups", "service", "container"),
    [
        (["/system.slice/cart.service"], "cart", ""),
        ([f"/docker/{ID}"], SHORT, SHORT),
        (["/user.slice/user-0.slice/session-1.scope"], "java", ""),
        ([f"/system.slice/web.service/libpod-payload-{ID}"], "web", SHORT),
        ([f"/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"], SHORT, SHORT),
        ([], "java", ""),
    ],
)
def test_unit_then_container_then_executable(cgroups: list[str], service: str, container: str) -> None:
    found = Naming("node-1").identify(facts(1, "/usr/bin/java", cgroups=cgroups), ())
    assert found == Identity(service, "node-1", container, "java")


@pytest.mark.parametrize(
    ("rule", "service"),
    [
        (ServiceRule(r"shop-\1", command_line=re.compile(r"-jar shop-(\w+)\.jar")), "shop-cart"),
        (ServiceRule(r"\g<kind>", executable=re.compile(r"/(?P<kind>jvm)/")), "jvm"),
        (ServiceRule("api", port=8080), "api"),
        (ServiceRule("api", port=9090), "shop-cart"),
        (ServiceRule("api", port=8080, executable=re.compile("python")), "shop-cart"),
        (ServiceRule(r"\1", executable=re.compile(r"(x?)java")), "shop-cart"),  # a template that comes out empty
        (ServiceRule("other", command_line=re.compile("nothing like it")), "shop-cart"),
    ],
)
def test_user_rules(rule: ServiceRule, service: str) -> None:
    assert Naming("node-1", [rule]).identify(JAVA, {8080}).service == service


def test_the_first_rule_that_holds_names_the_service_before_everything_else() -> None:
    rules = [ServiceRule("no", port=1), ServiceRule("first", port=8080), ServiceRule("second", port=8080)]
    unit = facts(1, cgroups=["/system.slice/cart.service"])
    assert Naming("node-1", rules).identify(unit, {8080}).service == "first"


def test_a_kernel_thread_and_a_process_that_is_gone_are_named_by_their_task() -> None:
    naming = Naming("node-1")
    assert naming.identify(facts(1, ""), ()).process == "unknown"
    assert naming.identify_by_command("curl") == Identity("curl", "node-1", "", "curl")
    assert naming.identify_by_command("").service == "unknown"


def test_the_agent_has_its_own_name() -> None:
    assert Naming("node-1", services={7: "pyrover-agent"}).identify(facts(7), ()).service == "pyrover-agent"
