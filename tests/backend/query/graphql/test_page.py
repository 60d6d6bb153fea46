"""The page at the address of GraphQL: its style is allowed by its hash, and nothing else is."""

import base64
import hashlib

from backend.query.graphql import page
from tests.backend.query.graphql.asking import Client


async def test_its_policy_allows_its_style_and_nothing_else(client: Client) -> None:
    response = await client.http.get("/graphql", headers={"accept": "text/html"})
    style = response.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert "unsafe" not in response.headers["content-security-policy"]
    assert "<script" not in page.BODY.decode()
    assert " style=" not in page.BODY.decode()
