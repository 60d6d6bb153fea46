"""Places for requests that wait for their responses, beyond those that each connection has: pipelines may be deep.

All connections share them, so that many that pipeline thousands of requests cannot take memory without end.
"""

PLACES = 65_536
"""A waiting request takes about 700 bytes."""


class WaitingRoom:
    """A number of places."""

    def __init__(self, places: int = PLACES) -> None:
        self.free = places
        """How many are left."""

    def take(self, places: int) -> bool:
        """Take some, if there are as many."""
        if places > self.free:
            return False
        self.free -= places
        return True

    def give_back(self, places: int) -> None:
        """They are needed no more."""
        self.free += places
