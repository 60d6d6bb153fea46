"""Parts that are read again, without a backend."""

import asyncio
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from backend.server.reloading import Part, Reloader


def reload(parts: Sequence[Part[Any]]) -> dict[str, tuple[str, str]]:
    """What became of each, and why."""
    answers = asyncio.run(Reloader(parts, CollectorRegistry()).reload())
    return {answer.part: (str(answer.outcome), answer.detail) for answer in answers.parts}
