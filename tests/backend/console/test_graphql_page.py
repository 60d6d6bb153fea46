"""The page at the address of GraphQL, in a real browser: its style applies under its policy."""

import pytest

from tests.backend.console.browser import Browser

pytestmark = pytest.mark.browser


def test_its_style_applies(browser: Browser, site: str) -> None:
    browser.open(f"{site}graphql")
    browser.shows("h1", "GraphQL is answered here")
    # Refused styles are complained of, which fails any test; this also sees one that is not there.
    assert browser.run("return getComputedStyle(document.querySelector('pre')).borderTopStyle") == "solid"
