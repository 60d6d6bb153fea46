"""The objects of deploy/ as a cluster gets them: by kustomize, and by Helm.

Neither program is needed for it. Of kustomizations this reads `namespace`, `resources` and `images`, and of templates
the three kinds of expressions that `deploy.manifests.text` writes; it fails at anything else.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.manifests.values import put
from tests.e2e.programs import ROOT

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
NAMESPACE = "pyrover"

_CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "Namespace"}
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}")
_REFERENCE = re.compile(r"\.(?:Values\.)?[\w.]+")
_TEST = re.compile(r'eq (?P<left>\.[\w.]+) "(?P<right>[^"]*)"|(?P<truth>\.[\w.]+)')


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def kustomized(folder: Path) -> list[dict[str, Any]]:
    """What kustomize makes of a folder."""
    (kustomization,) = read(folder / "kustomization.yaml")
    assert set(kustomization) <= {"namespace", "resources", "images"}
    found = []
    for name in kustomization["resources"]:
        path = folder / name
        found += kustomized(path) if path.is_dir() else read(path)
    if "namespace" in kustomization:
        for each in found:
            if each["kind"] not in _CLUSTER_WIDE:
                each["metadata"]["namespace"] = kustomization["namespace"]
    for image in kustomization.get("images", ()):
        assert set(image) == {"name", "newTag"}
        for container in containers(found):
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = f"{image['name']}:{image['newTag']}"
    return found


def charted(**values: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a user's values; dots in names are written as __
    """What Helm makes of the chart, with these values instead of the defaults."""
    tree = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, value in values.items():
        put(tree, name.replace("__", "."), value)
    scope = {"Values": tree, "Release": {"Namespace": NAMESPACE}}
    found = []
    for path in sorted((CHART / "templates").iterdir()):
        text = rendered(path.read_text(), scope)
        found += [each for each in yaml.safe_load_all(text) if each is not None]
    return found


def rendered(template: str, scope: Mapping[str, Any]) -> str:
    """A template with its expressions replaced."""
    lines: list[str] = []
    shown = [True]
    for line in template.splitlines():
        match = _EXPRESSION.search(line)
        if match and match[1].startswith("- "):
            assert line.strip() == match[0]
            words = match[1].removeprefix("- ").strip()
            if words == "end":
                shown.pop()
            else:
                assert words.startswith("if ")
                shown.append(shown[-1] and _holds(words.removeprefix("if "), scope))
        elif shown[-1]:
            lines.append(_EXPRESSION.sub(lambda found: _value(found[1].strip(), scope), line))
    assert shown == [True]
    return "\n".join(lines) + "\n"


def _holds(words: str, scope: Mapping[str, Any]) -> bool:
    tests = (
        re.findall(r"\(([^)]*)\)|(\.[\w.]+)", words.removeprefix("and ")) if words.startswith("and ") else [(words, "")]
    )
    return all(_test(within or plain, scope) for within, plain in tests)


def _test(words: str, scope: Mapping[str, Any]) -> bool:
    match = _TEST.fullmatch(words)
    assert match, words
    return bool(_lookup(match["truth"], scope)) if match["truth"] else _lookup(match["left"], scope) == match["right"]


def _value(words: str, scope: Mapping[str, Any]) -> str:
    assert words.endswith(" | toJson"), words
    words = words.removesuffix(" | toJson")
    if _REFERENCE.fullmatch(words):
        return json.dumps(_lookup(words, scope))
    match = re.fullmatch(r'printf "([^"]*)"((?: \.[\w.]+)+)', words)
    assert match, words
    text = match[1]
    for reference in match[2].split():
        text = text.replace("%v", str(_lookup(reference, scope)), 1)
    return json.dumps(text)


def _lookup(reference: str, scope: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a user's values
    found: Any = scope
    for name in reference.removeprefix(".").split("."):
        found = found[name]
    return found


def containers(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of all pods."""
    for each in objects:
        if "template" in each.get("spec", {}):
            yield from each["spec"]["template"]["spec"]["containers"]


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The only object of a kind and name."""
    (found,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def container(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The only container of a workload."""
    (found,) = one(objects, kind, name)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, str]:
    """Variables of a workload's only container."""
    return {each["name"]: each.get("value", "from elsewhere") for each in container(objects, kind, name)["env"]}
