"""Who is told of the objects of a cluster."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from common.kubernetes.resources import Named

T = TypeVar("T", bound=Named)


class Change(Generic[T]):
    """An object as it is now, or as it last was before it was gone."""

    __slots__ = ("object", "present")

    def __init__(self, subject: T, *, present: bool) -> None:
        self.object = subject
        self.present = present


class Subscriber(Protocol[T]):
    """Is told of all objects of a kind, from the thread of the watch."""

    def replace(self, objects: Sequence[T]) -> None:
        """These are all that there are."""
        ...

    def apply(self, changes: Sequence[Change[T]]) -> None:
        """These changed, in this order. The same change may be told again after the connection was lost."""
        ...

    def unavailable(self) -> None:
        """The server does not give these objects, or does not have the kind; what was told before stays."""
        ...
