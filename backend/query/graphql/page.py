"""The page for those who open the address of GraphQL: without scripts, and with one style, allowed by its hash."""

import base64
import hashlib
import re
from pathlib import Path

BODY = (Path(__file__).parent / "page.html").read_bytes()


def _style_source(page: bytes) -> str:
    """What a Content-Security-Policy calls the only style of a page (CSP Level 3, hash-source)."""
    (style,) = re.findall(rb"<style>(.*?)</style>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}'"


HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src {_style_source(BODY)}; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
