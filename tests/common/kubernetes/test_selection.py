"""Selectors by index, compared with trying each of them."""

from hypothesis import given
from hypothesis import strategies as st

from common.kubernetes.selection import ServiceSelectors

_LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)
_SERVICES = st.tuples(st.sampled_from(["one", "two"]), st.sampled_from("stuv"), _LABELS)


@given(st.lists(_SERVICES, max_size=20), _LABELS)
def test_what_selects_is_what_would_by_trying_all(
    changes: list[tuple[str, str, dict[str, str]]], labels: dict[str, str]
) -> None:
    selectors = ServiceSelectors()
    last: dict[tuple[str, str], dict[str, str]] = {}
    for namespace, name, selector in changes:
        selectors.set(namespace, name, selector)
        last[namespace, name] = selector
    for wanted in ("one", "two"):
        found = sorted(selectors.selecting(wanted, labels))
        assert found == sorted(
            name
            for (namespace, name), selector in last.items()
            if namespace == wanted and selector and all(labels.get(key) == value for key, value in selector.items())
        )


def test_what_is_gone_leaves_nothing_behind() -> None:
    selectors = ServiceSelectors()
    selectors.set("n", "a", {"app": "x", "tier": "y"})
    selectors.set("n", "b", {"app": "x"})
    selectors.set("n", "a", {})
    selectors.set("n", "b", {})
    selectors.set("n", "never", {})
    assert selectors._namespaces == {}
