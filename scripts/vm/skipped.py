"""Why there are no virtual machines here."""


class Skipped(Exception):  # noqa: N818 - a state, not an error
    """Something that is needed cannot be had; the message says what."""
