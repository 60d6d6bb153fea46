"""From the text of a file to what it says."""

import re

import msgspec

from backend.dashboards.document import Document, read_document
from backend.dashboards.model import Content, DashboardError, Kind, Per, Scope, Unit

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<place>\$[^`]*)`)?$", re.DOTALL)
_CHOICES = {"kind": Kind, "scope": Scope, "unit": Unit, "per": Per}
_HINTS = {
    "lines": "each widget has 1 to 24 lines, and a line is `expression: ...`",
    "widgets": "each tab has 1 to 60 widgets",
    "tabs": "a dashboard has 1 to 12 tabs",
}


def read_content(text: bytes, file: str) -> tuple[Content, Document]:
    """What a file says, and where; its expressions are not looked at.

    Raises:
        DashboardError: it does not have the form of a dashboard.
    """
    document = read_document(text, file)
    try:
        return msgspec.convert(document.value, Content), document
    except msgspec.ValidationError as error:
        what, place = _told(str(error))
        raise DashboardError(file, document.line_of(place), what) from None


def _told(message: str) -> tuple[str, str]:
    """What is wrong, in our words as far as they help, and where."""
    found = _PLACE.match(message)
    what, place = (message, "$") if found is None else (found["what"], found["place"] or "$")
    name = place.rpartition(".")[2]
    if name in _CHOICES:
        what = f"{what}: {name} is one of {', '.join(_CHOICES[name])}"
    elif (key := name.partition("[")[0]) in _HINTS:
        what = f"{what}: {_HINTS[key]}"
    return f"{what} ({place})", place
