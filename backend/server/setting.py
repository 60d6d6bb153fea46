"""What a setting is: where it stands, which variable gives it, what it may be and what it means."""

from dataclasses import dataclass
from functools import reduce
from typing import Final

from backend.server.allowed import Allowed, Text, Token
from backend.server.settings import Settings

PREFIX: Final = "PYROVER_BACKEND_"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting."""

    path: str
    """Its place in Settings, such as "limits.message_bytes". The short form of a settings file has the same."""
    key: str
    """Its place in application.yml: MODULE.PROVIDER.NAME, or MODULE.selector."""
    allowed: Allowed
    meaning: str
    upstream: str = ""
    """The variable by which SkyWalking's application.yml sets it; empty when SkyWalking has no such setting."""
    as_default: int | None = None
    """A value that means "as the program has it", besides none at all."""

    @property
    def variable(self) -> str:
        """The variable that sets it whatever a file says."""
        return f"{PREFIX}{self.path}".replace(".", "_").upper()

    @property
    def default(self) -> object:
        """What it is when nobody sets it."""
        found: object = reduce(getattr, self.path.split("."), Settings())
        return found


ADDRESS: Final = Text("an address of this machine, 0.0.0.0 or :: for all of them")
FILE: Final = Text("the name of a file or folder")
TOKEN: Final = Token()
