"""Which version of pyrover this is."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str | None:
    """The version of the installed package; None when it runs without having been installed."""
    try:
        return version("pyrover")
    except PackageNotFoundError:
        return None
