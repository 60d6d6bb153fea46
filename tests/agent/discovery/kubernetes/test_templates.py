import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.kubernetes.members import MEMBERS, ROOTS
from agent.discovery.kubernetes.template_tokens import LONGEST_TEMPLATE
from agent.discovery.kubernetes.templates import Filter, Template, TemplateError
from tests.agent.discovery.kubernetes.pods import FIRST, pod, subject

OWNED = pod(
    "cart-6d4-x",
    labels={"app": "cart", "pod-template-hash": "6d4"},
    owners=[("ReplicaSet", "cart-6d4")],
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{.Pod.Name}}", "cart-1"),
        ("{{.Pod.ServiceName}}.{{.Pod.Namespace}}", "cart.shop"),
        ("{{ .Pod.Node }}", "node-1"),
        ('{{.Pod.LabelValue "none,app"}}', "cart"),
        ("{{.Pod.LabelValue `none`}}", ""),
        ('{{.Pod.LabelValue "none" "default"}}', "default"),
        ('{{"none" | .Pod.LabelValue}}|', "|"),
        ('{{"default" | .Pod.LabelValue "none"}}', "default"),
        ('{{(.Pod.FindContainer "main").Name}}', "main"),
        ('{{(.Pod.FindContainer "main").ID}}', FIRST),
        ('{{.Container.EnvValue "NONE,TIER"}}', "front"),
        ('{{.Container.EnvValue "FROM"}}', ""),
        ("{{.Process.ExeName}} {{.Process.Pid}}", "java 42"),
        ("{{.Process.ExeFilePath}}", "/usr/bin/java"),
        ("{{.Process.ExeNameInCommandLine}}", "java"),
        ("{{.Process.CommandLine}}", "/opt/jdk/bin/java -jar cart.jar"),
        ("{{.Process.WorkDir}}", "/srv/42"),
        ("{{.Rover.InstanceID}} {{.Rover.HostName}}", "run-1 host-1"),
        ('{{.Rover.HostIPV4 "lo"}}', "127.0.0.1"),
        ('{{.Rover.HostIPV4 "no-such-one"}}', ""),
        ('{{.Rover.HostIPV6 "no-such-one"}}', ""),
        ('{{.Pod.HasContainer "main"}}', "true"),
        ('{{.Pod.HasOwnerName "Deployment"}}', "false"),
        ("a {{- .Pod.Name -}} b", "acart-1b"),
        ("a {{.Pod.Name}} b", "a cart-1 b"),
        ("{{/* nothing }} at all */}}x", "x"),
        ("a {{- /* trims */ -}} b", "ab"),
        (r'{{"a\tb\"\u00e4"}}', 'a\tb"ä'),
        ('{{"}}"}}', "}}"),
        ("{{`a\\tb`}}", "a\\tb"),
        ("{{-3}}", "-3"),
        ("{{print 1 true `x`}}", "1truex"),
        ("{{len .Pod.Name}}", "6"),
        ("{{true}}", "true"),
        ('{{or (.Pod.LabelValue "none") .Pod.Name}}', "cart-1"),
        ('{{and .Pod.Name (.Pod.LabelValue "none")}}|', "|"),
        ("{{if .Pod.HasServiceName}}s{{else}}p{{end}}", "s"),
        ('{{if eq .Pod.Name "x"}}1{{else if .Pod.HasServiceName}}2{{else}}3{{end}}', "2"),
        ("{{if not .Pod.HasServiceName}}1{{end}}", ""),
        ("{{if true}}{{if false}}1{{else}}2{{end}}{{end}}", "2"),
    ],
)
def test_texts(template: str, text: str) -> None:
    assert Template(template).render(subject()) == text


@pytest.mark.parametrize(
    ("kinds", "name"), [("ReplicaSet", "cart-6d4"), ("Service, Deployment", "cart"), ("DaemonSet", "")]
)
def test_owners(kinds: str, name: str) -> None:
    assert Template(f'{{{{.Pod.OwnerName "{kinds}"}}}}').render(subject(OWNED)) == name
    assert Filter(f'.Pod.HasOwnerName "{kinds}"').holds(subject(OWNED)) is bool(name)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (".Pod.HasServiceName", True),
        ('.Pod.HasContainer "istio-proxy"', False),
        ('eq .Container.Name "istio-proxy"', False),
        ('ne .Container.Name "istio-proxy"', True),
        ('eq .Container.Name "a" "main"', True),
        ('{{.Pod.HasContainer "main"}}', True),
        ("{{eq .Pod.Name `x`}}", False),
        ('.Pod.LabelSelector "app in (cart, other),!x"', True),
        ('and (.Pod.HasServiceName) (not (.Pod.HasContainer "x"))', True),
        ("eq .Process.Pid 42", True),
        ('eq .Process.Pid "42"', False),
        ("or false .Pod.HasServiceName", True),
    ],
)
def test_filters(text: str, holds: bool) -> None:  # noqa: FBT001 - a table's column
    assert Filter(text).holds(subject()) is holds


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Pod.Nam}}", "has no field 'Nam'; it has Name"),
        ("{{.Pods.Name}}", "there is no .Pods; there are .Rover, .Process"),
        ("{{.Pod}}", ".Pod as a whole is no text"),
        ("{{.Pod.Name.Length}}", "a text has no field 'Length'"),
        ("{{.Pod.Name 'x'}}", "neither a field"),
        ('{{.Pod.Name "x"}}', ".Name takes 0 arguments, not 1"),
        ("{{.Pod.LabelValue}}", ".LabelValue takes 1 to 2 arguments, not 0"),
        ("{{.Pod.LabelValue 3}}", ".LabelValue takes texts"),
        ("{{upper .Pod.Name}}", "no function 'upper'; there are and, eq"),
        ("{{eq 1}}", "eq takes at least 2 arguments, not 1"),
        ("{{true 1}}", "true takes no arguments"),
        ("{{", "without its end"),
        ("{{.Pod.Name", "without its end"),
        ('{{"abc}}', "a text without an end"),
        ("{{}}", "nothing in it"),
        ("{{$x := 1}}", "neither a field"),
        ("{{range .Pod.Name}}{{end}}", "range is not supported; if, else and end are"),
        ("{{if true}}", "an if without its"),
        ("{{end}}", "without an if before it"),
        ("{{if true}}{{else}}{{else}}{{end}}", "'else' where only"),
        ("{{if true}}{{else range}}{{end}}", "after else only an if"),
        ("{{if true}}{{end .Pod.Name}}", "where only"),
        ("{{(.Pod.Name}}", "a bracket that is not closed"),
        ("{{.Pod.Name)}}", "where the expression should end"),
        ("{{.Pod.Name |}}", "an expression without an end"),
        ('{{.Pod.Name | "x"}}', "only fields and functions take arguments"),
        ('{{"x" "y"}}', "only fields and functions take arguments"),
        ("{{eq | 1}}", "eq takes at least 2"),
        ("{{print |}}", "print takes at least 1"),
        ("{{eq ) 1}}", "eq takes at least 2 arguments|where the expression should end"),
        (r'{{"\q"}}', "an unknown escape"),
        ("{{" + "(" * 40 + "1" + ")" * 40 + "}}", "too many brackets"),
        ("{{if true}}" * 40, "too many conditions"),
        ("x" * (LONGEST_TEMPLATE + 1), "4096 are allowed"),
    ],
)
def test_what_is_no_template_is_told_before_it_is_used(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        Template(template)


@pytest.mark.parametrize("text", [".Pod.Name", "len .Pod.Name", "3", '"true"'])
def test_a_filter_that_is_never_true_or_false(text: str) -> None:
    with pytest.raises(TemplateError, match="a filter must be true or false"):
        Filter(text)


@pytest.mark.parametrize("text", ["or .Pod.Name 3", "{{.Pod.Name}}"])
def test_a_filter_that_happens_to_be_neither(text: str) -> None:
    with pytest.raises(TemplateError, match="neither true nor false"):
        Filter(text).holds(subject())


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('{{(.Pod.FindContainer "none").Name}}', r"nothing of which \.Name"),
        ("{{.Pod.LabelSelector `a ==== b`}}", "is no label selector"),
        ("{{.Pod.LabelValue (or 1 2)}}", "takes texts"),
        ("{{len (or 1 2)}}", "len is of a text"),
        ("{{.Pod.LabelValue `none` `" + "x" * 1025 + "`}}", "comes out 1025 characters long"),
    ],
)
def test_what_has_no_value_for_a_process(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        Template(template).render(subject())


_PIECES = st.sampled_from(
    [
        "{{",
        "}}",
        "{{if ",
        "{{else}}",
        "{{end}}",
        ".Pod",
        ".Name",
        "(",
        ")",
        "|",
        '"',
        "`",
        "eq ",
        " ",
        "-",
        "1",
        "/*",
        "*/",
    ]
)


@given(st.lists(_PIECES, max_size=16).map("".join) | st.text(max_size=30))
def test_any_text_is_a_template_or_an_error(text: str) -> None:
    try:
        rendered = Template(text).render(subject())
    except TemplateError:
        return
    assert "{{" in text or rendered == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_a_text_in_quotes_comes_out_as_it_is(text: str) -> None:
    quoted = re.sub(r'([\\"])', r"\\\1", text).replace("\n", "\\n")
    assert Template(f'{{{{"{quoted}"}}}}').render(subject()) == text


def test_every_member_has_a_value() -> None:
    for name, (kind, _) in ROOTS.items():
        for member, about in MEMBERS[kind].items():
            arguments = ' "main"' * about.least
            if member != "FindContainer":
                Template(f"{{{{.{name}.{member}{arguments}}}}}").render(subject())
