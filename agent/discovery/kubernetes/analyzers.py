"""From a process in a pod to what it is called: the analyzers of the configuration, in their order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.discovery.kubernetes.members import Subject
from agent.discovery.kubernetes.templates import Filter, Template, TemplateError
from common.kubernetes.naming import with_cluster

_CLUSTER: Final = "::"


@dataclass(frozen=True, slots=True)
class Entity:
    """What a process is called."""

    layer: str
    service: str
    instance: str
    process: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Names the processes of which all its filters hold."""

    filters: tuple[Filter, ...]
    layer: Template
    service: Template
    instance: Template
    process: Template
    labels: Template
    """Separated by commas."""

    @classmethod
    def read(
        cls, filters: Sequence[str], layer: str, *, service: str, instance: str, process: str, labels: str
    ) -> "Analyzer":
        """An analyzer out of its templates.

        Raises:
            TemplateError: one of them cannot be read.
        """
        names = (Template(text) for text in (layer, service, instance, process, labels))
        return cls(tuple(map(Filter, filters)), *names)

    def entity(self, subject: Subject, cluster: str) -> Entity | None:
        """The names of a process; None when a filter does not hold.

        Raises:
            TemplateError: a filter or template has no value for it, or a name comes out empty.
        """
        if not all(each.holds(subject) for each in self.filters):
            return None
        layer, service, instance, process = (
            template.render(subject).strip() for template in (self.layer, self.service, self.instance, self.process)
        )
        for template, name in ((self.layer, layer), (self.service, service), (self.instance, instance)):
            if not name:
                raise TemplateError(f"{template.text!r} comes out empty")
        labels = (label.strip() for label in self.labels.render(subject).split(","))
        return Entity(
            layer=layer,
            service=service if _CLUSTER in service else with_cluster(cluster, service),
            instance=instance,
            process=process,
            labels=tuple(sorted(filter(None, dict.fromkeys(labels)))),
        )


@dataclass(frozen=True, slots=True)
class Analyzers:
    """All of them.

    Attributes:
        troubles: what had no value, and for how many processes, by message; the first of them only.
    """

    analyzers: Sequence[Analyzer]
    cluster: str
    troubles: Counter[str]

    def entities(self, subject: Subject) -> tuple[Entity, ...]:
        """Everything that a process is called, each once; nothing when a template has no value for it."""
        found: dict[Entity, None] = {}
        for analyzer in self.analyzers:
            try:
                entity = analyzer.entity(subject, self.cluster)
            except TemplateError as error:
                message = str(error)
                if message in self.troubles or len(self.troubles) < _TROUBLES:
                    self.troubles[message] += 1
                return ()
            if entity is not None:
                found[entity] = None
        return tuple(found)


_TROUBLES: Final = 64
"""Different messages that are kept."""
