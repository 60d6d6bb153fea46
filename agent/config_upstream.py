"""What SkyWalking Rover's configuration has beyond the keys that mean the same here.

Its file and its variables can be used as they are: keys without a meaning here are named in one warning. The
variables of its default file that set parts of the analyzers count here without that file, too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agent.config_discovery import ANALYZERS

_PROFILING: Final = "profiling is not done"
_ANALYZE: Final = "events are read in one loop, within the bounds of `kernel` and `limits`"


@dataclass(frozen=True, slots=True)
class Ignored:
    """A key without a meaning here, or all keys below it.

    Attributes:
        variables: beginning of the variables that set it.
        reason: why it has none.
    """

    variables: str
    reason: str


IGNORED: Final[Mapping[str, Ignored]] = {
    "core.backend.check_period": Ignored(
        "ROVER_BACKEND_CHECK_PERIOD", "a connection is made when there is something to send"
    ),
    "process_discovery.scanner": Ignored(
        "ROVER_PROCESS_DISCOVERY_SCAN",
        "processes of a host are found by their calls, and `discovery.service_rules` names them",
    ),
    "process_discovery.scanner.regex": Ignored(
        "ROVER_PROCESS_DISCOVERY_REGEX_SCANNER", "`discovery.service_rules` does that"
    ),
    "process_discovery.scanner.agent": Ignored(
        "ROVER_PROCESS_DISCOVERY_AGENT", "agents within processes are not asked"
    ),
    "access_log.connection_analyze": Ignored("ROVER_ACCESS_LOG_CONNECTION_ANALYZE", _ANALYZE),
    "access_log.protocol_analyze": Ignored("ROVER_ACCESS_LOG_PROTOCOL_ANALYZE", _ANALYZE),
    "profiling": Ignored("ROVER_PROFILING", _PROFILING),
    "pprof": Ignored("ROVER_PPROF", "that is a profiler of programs in Go"),
}
"""By path; a key below one of them is ignored with it."""

VARIABLES_ALONE: Final = {
    "ROVER_HOST_ETC_MAPPING": "names of users and groups are not read",
    "ROVER_HOST_MAPPING": "set `ROVER_HOST_PROC_MAPPING`",
}
"""Variables of Rover that belong to no key, and why they have no meaning here."""


@dataclass(frozen=True, slots=True)
class AnalyzerPart:
    """What a variable sets: a field of one of the analyzers that there are without a file, or one of its filters."""

    analyzer: int
    field: str
    filter: int | None = None


def _parts() -> dict[str, AnalyzerPart]:
    fields = {name.upper(): name for name in ("active", "layer", "instance_name", "process_name", "labels")}
    # The names are Rover's, with what is odd about them.
    special: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
        ("ISTIO_ENVOY", ("HAS_ENVOY", "CONTAINER_IS_ENVOY"), {"SERVICE_NAME": "service_name"}),
        ("ISTIO_APPLICATION", ("HAS_ENVOY", "CONTAINER_NOT_ENVOY"), {"SERVICE_NAME": "service_name"}),
        ("K8S_SERVICE", ("HAS_SERVICE",), {"NAME": "service_name", "LABLES": "labels"}),
    )
    parts = {}
    for number, (name, filters, more) in enumerate(special):
        prefix = f"ROVER_PROCESS_DISCOVERY_KUBERNETES_ANALYZER_{name}"
        for suffix, field in {**fields, **more}.items():
            parts[f"{prefix}_{suffix}"] = AnalyzerPart(number, field)
        for at, suffix in enumerate(filters):
            parts[f"{prefix}_{suffix}"] = AnalyzerPart(number, "filters", at)
    return parts


ANALYZER_VARIABLES: Final[Mapping[str, AnalyzerPart]] = _parts()
"""Where the file has no analyzers: what each of these variables sets."""

_OF_SERVICES: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")
"""Kubernetes sets such variables in each container, for each service; one may be called rover-something."""


def ignored(path: str) -> Ignored | None:
    """Why a key has no meaning here; None when it is none of Rover's."""
    parts = path.split(".")
    return next((IGNORED[key] for end in range(len(parts), 0, -1) if (key := ".".join(parts[:end])) in IGNORED), None)


def ignored_variable(variable: str) -> Ignored | None:
    """As ignored, by variable."""
    if variable in VARIABLES_ALONE:
        return Ignored(variable, VARIABLES_ALONE[variable])
    found = [
        each for each in IGNORED.values() if variable == each.variables or variable.startswith(f"{each.variables}_")
    ]
    return max(found, key=lambda each: len(each.variables), default=None)


def is_of_a_service(variable: str) -> bool:
    """Whether Kubernetes may have set a variable, to tell where a service is."""
    return _OF_SERVICES.search(variable) is not None


def analyzers_of(environment: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """The analyzers that there are without a file, as the environment changes them; None when it does not.

    The values are as a file would hold them, and not checked.
    """
    variables = [variable for variable in ANALYZER_VARIABLES if environment.get(variable)]
    if not variables:
        return None
    analyzers: list[dict[str, Any]] = [
        {**msgspec.structs.asdict(each), "filters": list(each.filters)} for each in ANALYZERS
    ]
    for variable in variables:
        part = ANALYZER_VARIABLES[variable]
        if part.filter is None:
            analyzers[part.analyzer][part.field] = environment[variable]
        else:
            analyzers[part.analyzer][part.field][part.filter] = environment[variable]
    return analyzers
