"""SkyWalking's backend and this one are sent the same access logs, and asked the same questions.

Nothing of one is used by the other: it is a second source for all that this backend makes of logs.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from tests.backend.query.graphql.documents import (
    BOOSTER_METRICS,
    SWCTL_GLOBAL_TOPOLOGY,
    SWCTL_INSTANCE_TOPOLOGY,
    SWCTL_INSTANCES,
    SWCTL_SERVICES,
)
from tests.upstream.conftest import Pair
from tests.upstream.entities import LAYER, Entity, endpoints, entities, relations
from tests.upstream.oap import SCRIPT

TOGETHER: Final = 50
"""Expressions in one request."""
BUCKET_MILLISECONDS: Final = 10
"""SkyWalking counts latencies for percentiles in steps of this."""
UNKNOWN_KINDS: Final = ("N/A", None)
"""Of a service that nobody calls."""
Series = Mapping[str, Mapping[str, str | None]]
"""Values by the minute, by the labels."""


def services(pair: Pair) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pair.theirs.result(SWCTL_SERVICES, layer=LAYER)
    return found


def without_order(listed: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Objects as texts; what is listed within them has no order either."""
    return Counter(
        str({key: sorted(map(str, value)) if isinstance(value, list) else value for key, value in sorted(one.items())})
        for one in listed
    )


def test_services(pair: Pair) -> None:
    ours = pair.ours.result(SWCTL_SERVICES, layer=LAYER)
    assert without_order(ours) == without_order(services(pair))
    assert len(ours) >= 30


def test_instances(pair: Pair) -> None:
    for service in services(pair):
        asked = {"serviceId": service["id"], "duration": pair.duration}
        theirs, ours = (backend.result(SWCTL_INSTANCES, **asked) for backend in (pair.theirs, pair.ours))
        for one in theirs + ours:
            del one["instanceUUID"]  # an id that is the same for as long as a backend runs
        assert without_order(ours) == without_order(theirs), service["name"]


def test_endpoints(pair: Pair) -> None:
    found = {service["name"]: endpoints(pair.ours, service["id"]) for service in services(pair)}
    assert found == {service["name"]: endpoints(pair.theirs, service["id"]) for service in services(pair)}
    assert sum(map(len, found.values())) > 300


def test_topology(pair: Pair) -> None:
    theirs, ours = (
        backend.result(SWCTL_GLOBAL_TOPOLOGY, layer=LAYER, duration=pair.duration)
        for backend in (pair.theirs, pair.ours)
    )
    assert without_order(ours["calls"]) == without_order(theirs["calls"])
    # What a node is of is the component of one of the calls of it: of which, is for chance to say.
    said: defaultdict[str, set[str]] = defaultdict(set)
    for call in theirs["calls"]:
        said[call["target"]] |= set(call["targetComponents"])
    for topology in (theirs, ours):
        for node in topology["nodes"]:
            kind = node.pop("type")
            assert kind in said[node["id"]] or (not said[node["id"]] and kind in UNKNOWN_KINDS), node
    assert without_order(ours["nodes"]) == without_order(theirs["nodes"])
    assert len(ours["calls"]) >= 50


def test_topology_of_instances(pair: Pair) -> None:
    for source, target, _ in relations(pair.theirs, pair.duration):
        asked = {"clientServiceId": source, "serverServiceId": target, "duration": pair.duration}
        theirs, ours = (backend.result(SWCTL_INSTANCE_TOPOLOGY, **asked) for backend in (pair.theirs, pair.ours))
        for part in ("nodes", "calls"):
            assert without_order(ours[part]) == without_order(theirs[part])


def test_every_metric_of_every_entity(pair: Pair) -> None:
    names = metrics(pair)
    assert sum(map(len, names.values())) == 296
    compared: Counter[str] = Counter()
    different: list[str] = []
    for catalogue, entity in list(entities(pair.theirs, pair.duration)):
        compared[catalogue] += 1
        told = {name: both for name, *both in values(pair, names[catalogue], entity)}
        for name, (theirs, ours) in told.items():
            calls = told.get(name.replace("_percentile", "_http_call_cpm"), ({}, {}))[0]
            if not agree(theirs, ours, rule_of(name, calls)):
                different.append(f"{name} of {entity}: {theirs} theirs, {ours} ours")
    assert not different, f"{len(different)}, the first of which are\n" + "\n".join(different[:10])
    assert min(compared.values()) >= 30, compared


def metrics(pair: Pair) -> dict[str, list[str]]:
    """Names of the metrics of the script that both were given, by catalogue."""
    wanted = set(re.findall(r"^(\w+)\s*=", SCRIPT.read_text(), re.MULTILINE))
    found = defaultdict(list)
    theirs, ours = (
        {
            (metric["value"], metric["type"], metric["catalog"])
            for metric in backend(BOOSTER_METRICS)["metrics"]
            if metric["value"] in wanted
        }
        for backend in (pair.theirs, pair.ours)
    )
    assert ours == theirs
    for name, _, catalogue in sorted(theirs):
        found[catalogue].append(name)
    return found


def values(pair: Pair, names: Sequence[str], entity: Entity) -> Iterator[tuple[str, Series, Series]]:
    """Of each metric what each backend has: names, theirs, ours."""
    for first in range(0, len(names), TOGETHER):
        some = names[first : first + TOGETHER]
        asked = [(name, entity) for name in some]
        theirs, ours = (backend.expressions(asked, pair.duration) for backend in (pair.theirs, pair.ours))
        for name, their, our in zip(some, theirs, ours, strict=True):
            assert (our["type"], our["error"]) == (their["type"], their["error"]), (name, entity)
            yield name, series(their), series(our)


def series(answer: Mapping[str, Any]) -> Series:
    """Those with a value: of labels that have none, one backend tells and the other does not."""
    found = {
        str(result["metric"]["labels"]): {value["id"]: value["value"] for value in result["values"]}
        for result in answer["results"]
    }
    return {labels: values for labels, values in found.items() if any(value is not None for value in values.values())}


Rule = Callable[[str, str, float, float], bool]
"""Of the labels, the moment, and a value of theirs and one of ours."""


def rule_of(name: str, calls: Series) -> Rule:
    """What may be between a value of theirs and of ours. SkyWalking cuts each latency to whole milliseconds first.

    Args:
        name: Of the metric.
        calls: Of how many calls a percentile is.
    """
    if name.endswith("_percentile"):
        return partial(percentiles_agree, calls["[]"] if calls else {})
    if name.endswith("_call_time"):
        return lambda _labels, _moment, theirs, ours: 0 <= ours - theirs <= 1
    if name.endswith("_call_duration"):
        return lambda _labels, _moment, theirs, ours: 0 <= ours - theirs <= MOST_CALLS
    return lambda _labels, _moment, theirs, ours: theirs == ours


MOST_CALLS: Final = 150
"""Of a relation in a minute, each of which is cut by less than a millisecond."""


def percentiles_agree(calls: Mapping[str, str | None], labels: str, moment: str, theirs: float, ours: float) -> bool:
    """Theirs is the lower end of a step; ours that of a bucket, at most a 32nd too small (backend/oal/buckets.py).

    And of few calls it may be another call: theirs is the one at the rounded rank, ours at the one rounded up.
    """
    above = BUCKET_MILLISECONDS + 1  # they cut the latency first
    rank = int(labels.split("'")[-2]) * int(calls[moment] or 0) / 100
    is_same_call = math.floor(rank + 0.5) == math.ceil(rank)
    is_low = theirs % BUCKET_MILLISECONDS == 0 and ours - theirs >= -(theirs + above) / 32
    return is_low and (ours - theirs <= above or not is_same_call)


def agree(theirs: Series, ours: Series, rule: Rule) -> bool:
    """Whether there are values in the same places, and what may be between them is."""
    if theirs.keys() != ours.keys():
        return False
    for labels, their in theirs.items():
        our = ours[labels]
        if their.keys() != our.keys():
            return False
        for moment, value in their.items():
            other = our[moment]
            if (value is None) != (other is None):
                return False
            if value is not None and other is not None and not rule(labels, moment, float(value), float(other)):
                return False
    return True
