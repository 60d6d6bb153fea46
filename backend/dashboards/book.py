"""The dashboards that count now."""

from collections.abc import Callable, Sequence

import msgspec

from backend.dashboards.loading import standard_dashboards
from backend.dashboards.model import Dashboard, Scope, Tab

Dashboards = Callable[[], Sequence[Dashboard]]
"""Gives the dashboards that count now. May block when it is asked for the first time."""


class DashboardBook:
    """Holds dashboards, which can be replaced while they are read. Safe for several threads.

    Args:
        dashboards: Those that count at first; by default the standard ones.
    """

    def __init__(self, dashboards: Sequence[Dashboard] | None = None) -> None:
        self._dashboards = dashboards

    def __call__(self) -> Sequence[Dashboard]:
        """Those that count now."""
        return standard_dashboards() if self._dashboards is None else self._dashboards

    def replace(self, dashboards: Sequence[Dashboard]) -> str:
        """Let others count from now on; says how many, in a few words."""
        self._dashboards = tuple(dashboards)
        own = sum(dashboard.own for dashboard in dashboards)
        return f"{len(dashboards)} dashboards, {own} of them own"


class Shown(msgspec.Struct, frozen=True):
    """A dashboard, as the console is told of it."""

    name: str
    own: bool
    title: str
    scope: Scope
    tabs: tuple[Tab, ...]


class Answer(msgspec.Struct, frozen=True):
    """Answer of /console/dashboards, by name."""

    dashboards: list[Shown]


def answer(dashboards: Sequence[Dashboard]) -> Answer:
    """What the console is told."""
    return Answer(
        [Shown(one.name, one.own, one.content.title, one.content.scope, one.content.tabs) for one in dashboards]
    )
