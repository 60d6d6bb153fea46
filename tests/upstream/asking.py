"""Questions over GraphQL, put to either backend."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.backend.query.graphql.documents import booster_expressions
from tests.waiting import PATIENCE

EXPRESSION_FIELDS: Final = """{
  type
  results { metric { labels { key value } } values { id value } }
  error
}"""
"""Of an answer to an expression, what all releases have."""


class Unanswered(Exception):  # noqa: N818 - what became of a question
    """There is no answer, or it is an error."""


@dataclass(frozen=True)
class Asked:
    """A backend's GraphQL."""

    url: str

    def __call__(self, document: str, **variables: object) -> dict[str, Any]:
        """What it answers, by the names of the fields.

        Raises:
            Unanswered: Nobody does, or there are errors.
        """
        body = json.dumps({"query": document, "variables": variables}).encode()
        request = Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 - always http
        try:
            with urlopen(request, timeout=PATIENCE) as response:  # noqa: S310 - always http
                answer: dict[str, Any] = json.load(response)
        except HTTPError as error:
            raise Unanswered(error.read().decode()) from error
        except (URLError, OSError) as error:
            raise Unanswered(str(error)) from error
        if errors := answer.get("errors"):
            raise Unanswered(json.dumps(errors))
        data: dict[str, Any] = answer["data"]
        return data

    def result(self, document: str, **variables: object) -> Any:  # noqa: ANN401 - JSON
        """Of a document whose only field is `result`."""
        return self(document, **variables)["result"]

    def expressions(
        self, asked: Sequence[tuple[str, dict[str, object]]], duration: dict[str, str]
    ) -> list[dict[str, Any]]:
        """What it answers to expressions of entities, of one span, in one request."""
        variables: dict[str, object] = {"duration": duration}
        for number, (expression, entity) in enumerate(asked):
            variables |= {f"expression{number}": expression, f"entity{number}": entity}
        answer = self(booster_expressions(len(asked), EXPRESSION_FIELDS), **variables)
        return [answer[f"expression{number}"] for number in range(len(asked))]
