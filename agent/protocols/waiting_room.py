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


class Places:
    """Those of one connection: some of its own, and as many at a time of the shared ones."""

    __slots__ = ("_most", "_own", "_room", "are_shared", "count")

    def __init__(self, room: WaitingRoom | None, own: int, most: int) -> None:
        self._room = room
        self._own = own
        self._most = most
        self.count = own
        """How many there are now."""
        self.are_shared = False
        """Whether some of them are shared ones."""

    def take(self) -> bool:
        """Take some of the shared places, if that may be."""
        if self._room is None or self.count + self._own > self._most or not self._room.take(self._own):
            return False
        self.count += self._own
        self.are_shared = True
        return True

    def give_back(self) -> None:
        """Have none but those of its own."""
        if self._room is not None and self.are_shared:
            self._room.give_back(self.count - self._own)
            self.count, self.are_shared = self._own, False
