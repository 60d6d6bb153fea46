"""Label selectors as Kubernetes writes them: "a=b,c!=d,e in (x,y),f notin (z),g,!h".

Syntax and meaning: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors.
"""

import re
from collections.abc import Mapping
from typing import Final

_KEY: Final = r"[A-Za-z0-9][\w./-]*"
_TERM: Final = re.compile(
    rf"\s*(?:(?P<absent>!\s*)?(?P<only>{_KEY})"
    rf"|(?P<key>{_KEY})\s*(?P<operator>==|=|!=)\s*(?P<value>[\w.-]*)"
    rf"|(?P<of>{_KEY})\s+(?P<set>in|notin)\s*\((?P<values>[\w.,\s-]*)\))\s*(?:,|$)"
)


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels have everything that a selector asks for; an empty one asks for nothing.

    Raises:
        ValueError: it is no selector.
    """
    at = 0
    result = True
    while at < len(selector.rstrip()):
        term = _TERM.match(selector, at)
        if term is None:
            raise ValueError(f"{selector!r} is no label selector: read a=b, a!=b, a in (b,c), a notin (b), a or !a")
        result &= _holds(term, labels)
        at = term.end()
    return result


def _holds(term: re.Match[str], labels: Mapping[str, str]) -> bool:
    if term["only"] is not None:
        return (term["only"] in labels) is (term["absent"] is None)
    if term["key"] is not None:
        return (labels.get(term["key"]) == term["value"]) is (term["operator"] != "!=")
    values = {value.strip() for value in term["values"].split(",")}
    return (labels.get(term["of"]) in values) is (term["set"] == "in")
