"""What to say of a name that is not known."""

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """That there is no such thing, and what is nearest to it, or all there is.

    Args:
        what: What the name is of, such as "setting".
        name: The name.
        known: Those that would have been known.
    """
    names = list(known)
    nearest = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(names)}"
    return f"there is no {what} {name!r}; {hint}"
