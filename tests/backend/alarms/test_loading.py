"""Alarm settings files: what is read of them, and what is said of those that cannot be used."""

from pathlib import Path

import pytest

from backend.alarms.errors import AlarmError
from backend.alarms.grpc_hook import GrpcHook
from backend.alarms.loading import STANDARD, load, load_standard
from backend.alarms.states import Periods
from backend.alarms.webhook import Webhook
from backend.query.catalog import Catalog
from tests.backend.alarms.world import CATALOG, CPM, DEFINITIONS, TIME, settings

SECRETS = ("s3cret", "t0ken", "k3y")


def test_the_standard_rules_can_be_used_and_are_about_what_is_computed() -> None:
    assert load_standard(CATALOG) == load(STANDARD, CATALOG)
    assert [rule.name for rule in load_standard(CATALOG).rules] == [
        "service_successful_rate_rule",
        "service_response_time_rule",
        "service_percentile_rule",
        "service_connect_rule",
        "service_retransmission_rule",
        "instance_successful_rate_rule",
        "endpoint_response_time_rule",
    ]
    fewer = Catalog(one for one in DEFINITIONS if one.name != TIME)
    assert {rule.name for rule in load_standard(CATALOG).rules} - {
        rule.name for rule in load_standard(fewer).rules
    } == {"service_response_time_rule"}
    with pytest.raises(
        AlarmError, match=f"rules.service_response_time_rule.expression: .* there is no metric '{TIME}'"
    ):
        load(STANDARD, fewer)


def test_everything_that_a_rule_says(tmp_path: Path) -> None:
    text = f"""
rules:
  all_rule:
    expression: sum({CPM} > 10) >= 3
    period: 10
    silence-period: 5
    recovery-observation-period: 2
    message: "{{name}} is busy"
    tags: {{level: WARNING, number: 1, flag: true}}
    hooks: [webhook.a, webhook.a]
  short_rule: {{expression: "sum({CPM}) > 1", period: 7}}
hooks:
  webhook:
    a: {{urls: [http://a/], recovery-urls: ["http://b/x?y"], headers: {{Authorization: t0ken}}}}
    b: {{urls: [http://b/], is-default: true}}
  gRPC:
    one: {{target-host: alarms.example, target-port: 11000}}
    other: {{target-host: "::1", target-port: 11000}}
"""
    loaded = settings(tmp_path, text)
    everything, short = loaded.rules
    assert (everything.name, everything.scope, everything.metrics) == ("all_rule", "K8SService", (CPM,))
    assert (everything.period, everything.periods) == (10, Periods(5, 2))
    assert everything.message_of("api") == "api is busy"
    assert dict(everything.tags) == {"level": "WARNING", "number": "1", "flag": "true"}
    assert everything.hooks == ("webhook.a",)
    assert (short.periods, short.hooks, short.message_of("api")) == (
        Periods(7, 0),
        ("webhook.b",),
        "Alarm caused by the rule short_rule of api",
    )
    assert loaded.hooks.by_name == {
        "webhook.a": Webhook(("http://a/",), ("http://b/x?y",), {"Authorization": "t0ken"}),
        "webhook.b": Webhook(("http://b/",)),
        "gRPC.one": GrpcHook("alarms.example:11000"),
        "gRPC.other": GrpcHook("[::1]:11000"),
    }


def test_an_empty_file_has_no_rules(tmp_path: Path) -> None:
    loaded = settings(tmp_path, "")
    assert (loaded.rules, dict(loaded.hooks.by_name)) == ((), {})


INSTANCE = "kubernetes_service_instance_http_call_cpm"


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        (f"sum({CPM}", r"the expression is wrong at column 37: the end cannot stand here: expected"),
        (f"sum({CPM})", "the expression does not end in a comparison: write it as in sum"),
        (f"is_present({CPM})", "the expression does not end in a comparison"),
        (f"{CPM} > 1", "the expression compares every minute by itself"),
        ("avg(nothing_at_all) > 1", "the expression is wrong at column 5: there is no metric 'nothing_at_all'"),
        ("1 > 0", "the expression names no metric"),
        (f"sum({CPM}) + sum({INSTANCE}) > 1", "metrics of several scopes, .* of K8SService and .* of K8SServiceInst"),
        (f"max(top_n({CPM}, 3, des)) > 1", "the expression has top_n.. at column 5, which ranks entities"),
        (f"max(top_n_of(top_n({CPM}, 3, des), 3, des)) > 1", "which ranks entities"),
        (f"sum({CPM}) && (sum({CPM}) > 1)", "the left side of && is neither true nor false"),
        (f"sum({CPM}{{p='50'}}) > 1", "has no label 'p'"),
        (f"sum({CPM}) > 9999999999999999999" + "9" * 300, "this number is too large"),
    ],
)
def test_an_expression_that_a_rule_cannot_have(tmp_path: Path, expression: str, error: str) -> None:
    with pytest.raises(AlarmError, match=error) as raised:
        settings(tmp_path, f'rules: {{slow_rule: {{expression: "{expression}"}}}}')
    assert str(raised.value).startswith(f"{tmp_path}/alarms.yml: rules.slow_rule.expression: ")


@pytest.mark.parametrize(
    "expression",
    [
        f"sum({CPM} > 10) >= 3",
        f"(sum({CPM}) > 10) && ((avg({TIME}) < 1) || (avg({TIME}) >= 2))",
        "sum(kubernetes_service_percentile{p='50,75'} > 1000) >= 3",
        "sum(kubernetes_service_percentile > 1000) >= 3",
        f"sum(increase({CPM}, 2)) > 1",
        f"avg(abs({CPM} - baseline({CPM}, upper))) > 1",
        f"is_present({CPM}) == 1",
        f"sum(view_as_seq({CPM}, {TIME})) > 1",
        "sum(aggregate_labels(kubernetes_service_percentile, max)) > 1",
        f"1 < sum({CPM})",
    ],
)
def test_expressions_that_rules_can_have(tmp_path: Path, expression: str) -> None:
    (rule,) = settings(tmp_path, f'rules: {{slow_rule: {{expression: "{expression}"}}}}').rules
    assert rule.text == expression


GOOD = f"expression: sum({CPM}) > 1"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- a", "must hold keys and values"),
        ("composite-rules: {}", ": composite-rules: there is no such key: use hooks, rules"),
        ("rules: [1]", ": rules: it must hold keys and values"),
        (f"rules: {{slow: {{{GOOD}}}}}", ": rules.slow: the name of a rule ends with _rule: call it slow_rule"),
        ("rules: {slow_rule: {period: 1}}", ": rules.slow_rule: it has no expression"),
        (f"rules: {{slow_rule: {{{GOOD}, op: 1}}}}", ": rules.slow_rule.op: there is no such key: use exclude-names"),
        (f"rules: {{slow_rule: {{{GOOD}, period: 0}}}}", ".period: it must be a whole number from 1 to 500"),
        (f"rules: {{slow_rule: {{{GOOD}, period: 501}}}}", ".period: it must be a whole number from 1 to 500"),
        (f"rules: {{slow_rule: {{{GOOD}, period: true}}}}", ".period: it must be a whole number"),
        (f"rules: {{slow_rule: {{{GOOD}, silence-period: -1}}}}", "from 0 to 10,080"),
        (f"rules: {{slow_rule: {{{GOOD}, message: '{{nmae}}'}}}}", ".message: nothing is filled in for {nmae}"),
        (f"rules: {{slow_rule: {{{GOOD}, include-names: api}}}}", ".include-names: it must be a list"),
        (f"rules: {{slow_rule: {{{GOOD}, include-names: [[1]]}}}}", ".include-names: it must be text"),
        (f"rules: {{slow_rule: {{{GOOD}, include-names-regex: '(a'}}}}", "-regex: '.a' is no pattern of RE2 .missing"),
        (f"rules: {{slow_rule: {{{GOOD}, message: {'a' * 8_193}}}}}", "it has 8,193 characters, more than 8,192"),
        (f'rules: {{slow_rule: {{{GOOD}, message: "\\ud800"}}}}', "it has half of a character"),
        (
            f"rules: {{slow_rule: {{{GOOD}, hooks: [slack.a]}}}}",
            ".hooks: there is no hook 'slack.a': there is none yet",
        ),
        (
            f"rules: {{slow_rule: {{{GOOD}, tags: {{{','.join(f'a{n}: 1' for n in range(21))}}}}}}}",
            "there are 21, more",
        ),
        ("rules: {" + ",".join(f"a{n}_rule: {{}}" for n in range(201)) + "}", "there are 201 rules, more than 200"),
        (
            f"rules: {{slow_rule: {{{GOOD}, tags: {{yes: 1}}}}}}",
            ".tags: the key True is no text for YAML: put it in quo",
        ),
        ("hooks: {wechat: {a: {}}}", ": hooks.wechat: there are no such hooks: use webhook, slack, pagerduty, gRPC"),
        ("hooks: {webhook: {a: {}}}", ": hooks.webhook.a: there is no address: give it urls"),
        ("hooks: {webhook: {a: {urls: [http://h/], is-default: 1}}}", ".is-default: it must be true or false"),
        ("hooks: {webhook: {a: {urls: [ftp://h/s3cret]}}}", ".a.urls: an address is no URL of http or https"),
        ("hooks: {webhook: {a: {urls: ['http://h:x/s3cret']}}}", ".a.urls: an address is no URL"),
        ("hooks: {webhook: {a: {urls: ['http://me:s3cret@h/']}}}", ".a.urls: an address holds a user"),
        ("hooks: {webhook: {a: {urls: ['http://h/s3cret x']}}}", "other characters as %XX"),
        ("hooks: {webhook: {a: {urls: [http://h/], headers: {Host: t0ken}}}}", "the header Host cannot be given"),
        ("hooks: {webhook: {a: {urls: [http://h/], headers: {'A b': t0ken}}}}", "'A b' is no name of a header"),
        ('hooks: {webhook: {a: {urls: [http://h/], headers: {A: "t0ken\\nB: c"}}}}', "the header A has characters"),
        (f"hooks: {{webhook: {{a: {{urls: [{','.join(['http://h/'] * 21)}]}}}}}}", "there are 21, more than 20"),
        ("hooks: {slack: {a: {}}}", ": hooks.slack.a: there is no address: give it webhooks"),
        (
            "hooks: {slack: {a: {webhooks: [http://h/s3cret], text-template: '{'}}}",
            "text-template: the template is not",
        ),
        ("hooks: {slack: {a: {webhooks: [http://h/], text-template: '{}'}}}", "must be one block of JSON with %s"),
        ("hooks: {pagerduty: {a: {}}}", ": hooks.pagerduty.a: there is no integration: give it integration-keys"),
        ("hooks: {pagerduty: {a: {integration-keys: [k3y], url: x}}}", ".url: an address is no URL"),
        ("hooks: {pagerduty: {a: {integration-keys: [k3y], text-template: x}}}", ".text-template: it has no %s"),
        ("hooks: {gRPC: {a: {}}}", ": hooks.gRPC.a: there is no server: give it target-host and target-port"),
        ("hooks: {gRPC: {a: {target-host: h}}}", ": hooks.gRPC.a: there is no port: give it target-port"),
        ("hooks: {gRPC: {a: {target-host: h, target-port: 0}}}", ".target-port: it must be a whole number from 1 to"),
        ("hooks: {gRPC: {a: {target-host: h, target-port: 65536}}}", "a whole number from 1 to 65,535"),
        ("hooks: {gRPC: {a: {target-host: 'http://s3cret', target-port: 1}}}", ".target-host: it is no host: write a"),
        (
            "hooks: {webhook: {" + ",".join(f"h{n}: {{urls: [http://h/]}}" for n in range(101)) + "}}",
            ": hooks: there are 101 hooks, more than 100",
        ),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(AlarmError, match=error) as raised:
        settings(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path}/alarms.yml: ")
    assert not any(secret in str(raised.value) for secret in SECRETS)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AlarmError, match=r"none\.yml: cannot be read"):
        load(tmp_path / "none.yml", CATALOG)
