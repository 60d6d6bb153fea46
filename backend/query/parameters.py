"""The parameters of a request, checked."""

from collections.abc import Collection, Mapping

from starlette.datastructures import QueryParams

from backend.metrics.windows import Step
from backend.query.errors import QueryError
from backend.query.times import Window, parse_step, parse_window

SPAN = ("start", "end")


class Parameters:
    """Path and query parameters of one request, asked at `now` (seconds since 1970-01-01 UTC)."""

    def __init__(self, path: Mapping[str, str], query: QueryParams, now: float) -> None:
        self._path = path
        self._query = query
        self.now = now

    def allow(self, names: Collection[str]) -> None:
        """Raise QueryError when the request has a parameter that is not one of `names`."""
        for name in self._query:
            if name not in names:
                raise QueryError(f"there is no parameter {name!r} here", f"use {', '.join(sorted(names))}")

    def path(self, name: str) -> str:
        """A part of the path."""
        return self._path[name]

    def one(self, name: str) -> str:
        """A parameter that must be given exactly once."""
        values = self._query.getlist(name)
        if len(values) != 1 or not values[0]:
            raise QueryError(f"the parameter {name!r} must be given once", f"add ?{name}=...")
        return values[0]

    def several(self, name: str, most: int) -> list[str]:
        """A parameter that must be given at least once and at most `most` times; doubles are dropped."""
        values = list(dict.fromkeys(value for value in self._query.getlist(name) if value))
        if not values:
            raise QueryError(f"the parameter {name!r} is missing", f"add ?{name}=..., up to {most} times")
        if len(values) > most:
            raise QueryError(f"{len(values)} values of {name!r} are too many", f"ask for at most {most} at a time")
        return values

    def window(self) -> Window:
        """The span asked for."""
        return parse_window(self.optional("start"), self.optional("end"), self.now)

    def step(self, window: Window) -> Step:
        """The step asked for, or one that fits the window."""
        return parse_step(self.optional("step"), window)

    def optional(self, name: str) -> str | None:
        """A parameter that can be left out, or be given once."""
        return self.one(name) if name in self._query else None
