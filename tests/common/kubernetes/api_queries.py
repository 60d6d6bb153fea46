"""What requests for lists and watches may say."""

import base64
import json
from collections.abc import Mapping
from typing import Final

from tests.common.kubernetes.api_kinds import bad_request

Key = tuple[str, str]
"""Namespace and name."""

OF_LISTS: Final = frozenset(("limit", "continue", "fieldSelector", "resourceVersion", "resourceVersionMatch"))
OF_WATCHES: Final = frozenset(("watch", "allowWatchBookmarks", "fieldSelector", "resourceVersion", "timeoutSeconds"))


def continue_token(kind: str, query: Mapping[str, str], version: int, key: Key) -> str:
    parts = [kind, query.get("fieldSelector", ""), version, *key]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def continued(kind: str, query: Mapping[str, str], token: str) -> tuple[int, Key]:
    try:
        of_kind, selector, version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise bad_request("continue key is not valid") from error
    if of_kind != kind or selector != query.get("fieldSelector", ""):
        raise bad_request("continue was given for another list")
    return version, (namespace, name)


def number_of(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "") or "0"
    if not text.isdecimal():
        raise bad_request(f"{name} must be a number, not {text!r}")
    return int(text)
