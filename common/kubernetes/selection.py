"""Which services select a pod, without trying each of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Label = tuple[str, str]
"""A label: key and value."""


@dataclass(slots=True)
class _Namespace:
    selectors: dict[str, Mapping[str, str]] = field(default_factory=dict)
    by_label: dict[Label, set[str]] = field(default_factory=dict)
    """Services by one label of their selectors, of which a pod that they select must have all."""


class ServiceSelectors:
    """The selectors of all services. An empty selector selects nothing, as everywhere in Kubernetes' services."""

    def __init__(self) -> None:
        self._namespaces: dict[str, _Namespace] = {}

    def set(self, namespace: str, name: str, selector: Mapping[str, str]) -> None:
        """A service has this selector from now on; an empty one forgets the service."""
        self._forget(namespace, name)
        if selector:
            entry = self._namespaces.setdefault(namespace, _Namespace())
            entry.selectors[name] = selector
            entry.by_label.setdefault(_first_label(selector), set()).add(name)

    def selecting(self, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
        """Names of the services of a namespace that select a pod with these labels, in no order."""
        entry = self._namespaces.get(namespace)
        if entry is None:
            return
        for label in labels.items():
            for name in entry.by_label.get(label, ()):
                if selects(entry.selectors[name], labels):
                    yield name

    def _forget(self, namespace: str, name: str) -> None:
        entry = self._namespaces.get(namespace)
        selector = entry.selectors.pop(name, None) if entry is not None else None
        if entry is None or selector is None:
            return
        label = _first_label(selector)
        names = entry.by_label[label]
        names.remove(name)
        if not names:
            del entry.by_label[label]
        if not entry.selectors:
            del self._namespaces[namespace]


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a service with this selector has a pod with these labels."""
    return bool(selector) and selector.items() <= labels.items()


def _first_label(selector: Mapping[str, str]) -> Label:
    return min(selector.items())
