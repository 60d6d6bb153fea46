"""The objects of one kind, kept as a watch tells them."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from common.kubernetes.resources import Named
from common.kubernetes.subscriber import Change

T = TypeVar("T", bound=Named)


class Objects(Generic[T]):
    """All objects of a kind (a common.kubernetes.subscriber.Subscriber).

    Attributes:
        listed: whether it is known what there is.
        by_namespace: the objects, by namespace and name.
        count: how many there are.
        without_room: how often one was not taken because there were too many.
    """

    def __init__(
        self,
        lock: Lock,
        changed: Callable[[T | None, T | None], None],
        settle: Callable[[], None],
        maximum: int,
    ) -> None:
        """Begin with none.

        Args:
            lock: held while objects change and what follows from that is settled.
            changed: told of each object that differs from before: as it was, and as it is; None where there is none.
            settle: called after changes that belong together.
            maximum: objects that are kept.
        """
        self.listed = False
        self.by_namespace: dict[str, dict[str, T]] = {}
        self.count = 0
        self.without_room = 0
        self._lock = lock
        self._changed = changed
        self._settle = settle
        self._maximum = maximum

    def get(self, namespace: str, name: str) -> T | None:
        """The object of a name, if there is one."""
        return self.by_namespace.get(namespace, {}).get(name)

    def replace(self, objects: Sequence[T]) -> None:
        """These are all that there are."""
        with self._lock:
            kept = {(subject.namespace, subject.name) for subject in objects}
            before = [subject for namespace in self.by_namespace.values() for subject in namespace.values()]
            for subject in before:
                if (subject.namespace, subject.name) not in kept:
                    self._remove(subject)
            for subject in objects:
                self._put(subject)
            self.listed = True
            self._settle()

    def apply(self, changes: Sequence[Change[T]]) -> None:
        """These changed. Each is settled by itself: what lived for a second was there all the same."""
        with self._lock:
            for change in changes:
                if change.present:
                    self._put(change.object)
                else:
                    self._remove(change.object)
                self._settle()

    def unavailable(self) -> None:
        """They cannot be had for now. What follows is settled without them; what was told before stays."""
        with self._lock:
            self.listed = True
            self._settle()

    def _put(self, subject: T) -> None:
        before = self.get(subject.namespace, subject.name)
        if before == subject:
            return
        if before is None:
            if self.count >= self._maximum:
                self.without_room += 1
                return
            self.count += 1
        self.by_namespace.setdefault(subject.namespace, {})[subject.name] = subject
        self._changed(before, subject)

    def _remove(self, subject: T) -> None:
        namespace = self.by_namespace.get(subject.namespace, {})
        before = namespace.pop(subject.name, None)
        if before is None:
            return
        self.count -= 1
        if not namespace:
            del self.by_namespace[subject.namespace]
        self._changed(before, None)
