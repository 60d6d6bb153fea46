"""Which series of a metric an expression asks for, by their labels."""

from collections.abc import Sequence

from backend.query.mqe import syntax


def selected(labels: Sequence[syntax.Labels], metric: syntax.MetricExpression) -> list[int]:
    """The places of the series that have the labels asked for, in the order that their values are asked for in.

    Args:
        labels: Of each series that there is.
        metric: What is asked for.

    Raises:
        MqeError: No series has a label of that name; not where there is no series at all.
    """
    named = [dict(one) for one in labels]
    chosen = list(range(len(labels)))
    # Sorting by the last label first leaves the order of the first on top.
    for condition in reversed(metric.labels):
        if chosen and not any(condition.name in one for one in named):
            raise syntax.MqeError(
                metric.position, f"{metric.name} has no label {condition.name!r}: {_labels_of(labels)}"
            )
        places = {value: place for place, value in reversed(list(enumerate(condition.values)))}
        chosen = [at for at in chosen if named[at].get(condition.name) in places]
        chosen.sort(key=lambda at, of=condition.name, order=places: order[named[at][of]])  # type: ignore[misc] # mypy cannot infer defaults
    return chosen


def _labels_of(labels: Sequence[syntax.Labels]) -> str:
    names = sorted({name for one in labels for name, _ in one})
    return f"it has {', '.join(names)}" if names else "it has no labels"
