import pytest

from agent.discovery.kubernetes.labels import matches

LABELS = {"app": "cart", "tier": "front", "app.kubernetes.io/name": "cart-1", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ("", True),
        ("app=cart", True),
        ("app==cart", True),
        ("app = cart , tier=front", True),
        ("app=cart,tier=back", False),
        ("app!=cart", False),
        ("none!=cart", True),
        ("none=", False),
        ("empty=", True),
        ("app in (cart,other)", True),
        ("app in (other)", False),
        ("app notin (other, more)", True),
        ("none notin (x)", True),
        ("app notin (cart)", False),
        ("app", True),
        ("none", False),
        ("!none", True),
        ("! app", False),
        ("app.kubernetes.io/name=cart-1,!none,tier in (front)", True),
    ],
)
def test_what_labels_have(selector: str, holds: bool) -> None:  # noqa: FBT001 - a table's column
    assert matches(selector, LABELS) is holds


@pytest.mark.parametrize("selector", ["=a", "a=b c", "a in b", "a in (b", ",", "a,,b", "a===b", "a ~ b"])
def test_what_is_no_selector(selector: str) -> None:
    with pytest.raises(ValueError, match="is no label selector"):
        matches(selector, LABELS)
