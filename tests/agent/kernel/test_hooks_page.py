"""agent/kernel/hooks_page.py: the page in docs/ is the one that the declarations make."""

from agent.kernel.hooks import HOOKS
from agent.kernel.hooks_page import PAGE, render
from agent.kernel.losses import COUNTERS


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == render(), "make it again: python -m agent.kernel.hooks_page"


def test_the_page_names_every_hook_and_counter() -> None:
    page = render()
    for name in (*(hook.name for hook in HOOKS), *COUNTERS):
        assert f"`{name}`" in page
