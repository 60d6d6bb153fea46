import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend.entities.grouping_rules import (
    LONGEST_PATTERN,
    MAXIMUM_RULES,
    GroupingError,
    GroupingRules,
    load_rules,
    read_rules,
)

UPSTREAM = r"""
grouping:
  # Endpoint of the service would follow the following rules
  - service-name: serviceA
    rules:
      - endpoint-name: /prod/{id}
        regex: \/prod\/.+
"""
EXAMPLE = """
automatic: false
grouping:
  - service-name: shop.default
    rules:
      - /orders/{id}/lines
      - GET:/carts/{cart}
      - endpoint-name: /files
        regex: /files/.+
  - service-name: "*"
    rules:
      - /carts/{any}
      - endpoint-name: STATIC
        regex: "(GET|HEAD):/static/.*"
"""


def rules(text: str) -> GroupingRules:
    return read_rules(yaml.safe_load(text), "groups.yml")


@pytest.mark.parametrize(
    ("service", "name", "grouped"),
    [
        ("shop.default", "GET:/orders/7/lines", "GET:/orders/{id}/lines"),
        ("shop.default", "POST:/orders/7/lines", "POST:/orders/{id}/lines"),
        ("shop.default", "GET:/orders//lines", None),
        ("shop.default", "GET:/orders/7/8/lines", None),
        ("shop.default", "GET:/orders/7/lines/1", None),
        ("shop.default", "GET:/v1/orders/7/lines", None),
        ("shop.default", "GET:/carts/7", "GET:/carts/{cart}"),
        ("shop.default", "PUT:/carts/7", "PUT:/carts/{any}"),
        ("shop.default", "GET:/files/a/b", "GET:/files"),
        ("other", "GET:/orders/7/lines", None),
        ("other", "GET:/carts/7", "GET:/carts/{any}"),
        ("other", "HEAD:/static/a", "STATIC"),
        ("other", "PUT:/static/a", None),
    ],
)
def test_the_first_rule_that_matches_gives_the_name(service: str, name: str, grouped: str | None) -> None:
    assert rules(EXAMPLE).apply(service, name) == grouped


def test_a_file_of_upstream_is_read() -> None:
    read = rules(UPSTREAM)
    assert read.automatic
    assert read.apply("serviceA", "GET:/prod/ORDER123") == "GET:/prod/{id}"
    assert read.apply("serviceA", "GET:/prod/") is None
    assert read.apply("serviceB", "GET:/prod/ORDER123") is None


@given(st.text(max_size=30), st.text(alphabet="abc.*+?()[]|\\^$/ä", max_size=20))
def test_what_is_no_variable_stands_for_itself(value: str, text: str) -> None:
    read = read_rules({"grouping": [{"service-name": "s", "rules": [f"/{text}/{{x}}"]}]}, "f")
    matches = value != "" and "/" not in value
    assert read.apply("s", f"GET:/{text}/{value}") == (f"GET:/{text}/{{x}}" if matches else None)


def one_rule(rule: object) -> dict[str, Any]:
    return {"grouping": [{"service-name": "s", "rules": [rule]}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"groups": []}, "f: there is no key 'groups'; known are automatic, grouping"),
        ({"automatic": "no"}, "f: automatic is 'no'; it must be true or false"),
        ({"grouping": {}}, "f: grouping must be a list, not a dict"),
        ({"grouping": ["x"]}, "f: grouping, entry 1: must have a service-name and rules, not be a str"),
        ({"grouping": [{"rules": []}]}, "f: grouping, entry 1: service-name must be the name of a service"),
        ({"grouping": [{"service-name": "s", "rules": "x"}]}, "f: grouping, entry 1: rules must be a list, not a str"),
        ({"grouping": [{"service-name": "s", "rule": []}]}, "f: grouping, entry 1: there is no key 'rule'"),
        (one_rule(7), "f: grouping, entry 1, rule 1: must be a path such as /orders/{id}"),
        (one_rule({"regex": "x"}), "f: grouping, entry 1, rule 1: endpoint-name must be the name"),
        (one_rule({"endpoint-name": "/x", "regex": ""}), "f: grouping, entry 1, rule 1: regex must be a pattern"),
        (one_rule({"endpoint-name": "/x", "regexp": "x"}), "f: grouping, entry 1, rule 1: there is no key 'regexp'"),
        (one_rule({"endpoint-name": "/x", "regex": "("}), "'(' is no pattern of RE2: missing ): (. RE2 has no look"),
        (one_rule({"endpoint-name": "/x", "regex": "(?=a)"}), "'(?=a)' is no pattern of RE2"),
        (one_rule({"endpoint-name": "/x", "regex": "(a{1000}){1000}"}), "is no pattern of RE2"),
        (one_rule("/" + "x" * LONGEST_PATTERN), "is longer than 1000 characters"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(GroupingError) as caught:
        read_rules(content, "f")
    assert message in str(caught.value)


def test_a_file_has_so_many_rules_and_no_more() -> None:
    halves = [{"service-name": name, "rules": ["/x"] * (MAXIMUM_RULES // 2)} for name in "ab"]
    read_rules({"grouping": halves}, "f")
    halves[1]["rules"] = ["/x"] * (MAXIMUM_RULES // 2 + 1)
    with pytest.raises(GroupingError, match="entry 2: a file has at most 1000 rules"):
        read_rules({"grouping": halves}, "f")


def test_a_file_is_read_or_its_defect_named(tmp_path: Path) -> None:
    file = tmp_path / "groups.yml"
    with pytest.raises(GroupingError, match=f"{file}: cannot be read"):
        load_rules(file)
    file.write_text("grouping: [")
    with pytest.raises(GroupingError, match=f"{file}: is not YAML"):
        load_rules(file)
    file.write_text("")
    assert load_rules(file) == GroupingRules()
    file.write_text(EXAMPLE)
    assert load_rules(file).apply("shop.default", "GET:/files/a") == "GET:/files"


def test_a_pattern_that_others_would_try_in_countless_ways_is_done_at_once() -> None:
    # A matcher that goes back and tries again would need more than the age of the universe.
    read = read_rules(one_rule({"endpoint-name": "/x", "regex": "/(x+x+)+y"}), "f")
    assert read.apply("s", "GET:/" + "x" * 1_000) is None
    assert read.apply("s", "GET:/" + "x" * 1_000 + "y") == "GET:/x"


def test_rules_that_take_too_much_memory_together_are_refused() -> None:
    heavy = [{"endpoint-name": "/x", "regex": f"/.{{400}}[a-z]{{50}}{number}"} for number in range(900)]
    with pytest.raises(GroupingError, match=r"f: s: the patterns take more memory than [0-9]+ bytes; write simpler"):
        read_rules({"grouping": [{"service-name": "s", "rules": heavy}]}, "f")


PATTERNS = st.sampled_from(["/a", "/a/{x}", "/{x}/b", "GET:/{x}", "PUT:/a", "/{x}{y}", "GET:/a/{x}"])
REGEXES = st.sampled_from(["/a.*", "/(a|b)+", "GET:/a|PUT:/b", ".*/b", "(?i)/A", "[^/]*:/a/.+"])


@given(
    given_rules=st.lists(st.one_of(PATTERNS, st.tuples(st.sampled_from(["/r", "R"]), REGEXES)), max_size=8),
    name=st.from_regex(r"(GET|PUT):(/[abAx]?){0,3}", fullmatch=True),
)
def test_what_all_rules_at_once_find_is_what_one_after_the_other_finds(
    given_rules: list[str | tuple[str, str]], name: str
) -> None:
    expected = None
    method, _, path = name.partition(":")
    for rule in given_rules:
        group, regex = rule if isinstance(rule, tuple) else (rule, re.sub(r"\{.\}", "[^/]+", rule))
        of_path = group.startswith("/")
        if re.fullmatch(regex, path if of_path else name):
            expected = f"{method}:{group}" if of_path else group
            break
    written = [rule if isinstance(rule, str) else {"endpoint-name": rule[0], "regex": rule[1]} for rule in given_rules]
    assert read_rules({"grouping": [{"service-name": "s", "rules": written}]}, "f").apply("s", name) == expected
