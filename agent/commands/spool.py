"""Where batches wait that have no answer yet, as the configuration says."""

from contextlib import ExitStack
from pathlib import Path

from agent.config import Configuration
from agent.config_reading import ConfigurationError
from agent.export.spool import Spool, SpoolError


def open_spool(configuration: Configuration, stack: ExitStack) -> Spool | None:
    """The configured spool until the stack unwinds; None where there is none.

    Raises:
        ConfigurationError: it cannot be used.
    """
    folder = configuration.spool.folder
    if not folder:
        return None
    try:
        spool = Spool(Path(folder))
    except SpoolError as error:
        raise ConfigurationError(f"spool.folder: {error}") from error
    stack.callback(spool.close)
    return spool
