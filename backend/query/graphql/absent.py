"""Operations for what this backend does not have: traces, logs, events, processes and profiles.

Clients ask them whenever a page could show such things. The answer is that there are none, and never an error.
"""

from collections.abc import Mapping

from backend.query.graphql.context import Context
from backend.query.graphql.questions import Answer

_NO_PROFILES = "this backend does not profile processes"


def _always(value: object) -> Answer:
    """The same answer whatever the arguments are."""

    def answer(_context: Context, **_arguments: object) -> object:
        return value

    return answer


_EMPTY_TOPOLOGY = {"nodes": (), "calls": ()}
_NO_LOGS = {"logs": (), "total": 0}
_NO_POD_LOGS = {"error_reason": "logs of pods are not read by this backend", "logs": (), "total": 0}
_NO_TRACES = {"traces": (), "total": 0}
_REFUSED = {"status": False, "error_reason": _NO_PROFILES}

QUERIES: Mapping[str, Answer] = {
    name: _always(value)
    for name, value in {
        "listProcesses": (),
        "getProcess": None,
        "estimateProcessScale": 0,
        "getProcessTopology": _EMPTY_TOPOLOGY,
        "getProcessTopologyByName": _EMPTY_TOPOLOGY,
        "getAllBrowserServices": (),
        "searchBrowserServices": (),
        "searchBrowserService": None,
        "getAllDatabases": (),
        "getAlarmTrend": {"num_of_alarm": ()},
        "queryEvents": {"events": (), "total": 0},
        "queryPrepareCreateEBPFProfilingTaskData": {"could_profiling": False, "process_labels": ()},
        "queryEBPFProfilingTasks": (),
        "queryEBPFProfilingSchedules": (),
        "analysisEBPFProfilingResult": {"tip": _NO_PROFILES, "trees": ()},
        "queryContinuousProfilingServiceTargets": (),
        "queryContinuousProfilingMonitoringInstances": (),
        "supportQueryLogsByKeywords": False,
        "queryLogs": _NO_LOGS,
        "queryLogsByName": _NO_LOGS,
        "queryLogTagAutocompleteKeys": (),
        "queryLogTagAutocompleteValues": (),
        "listContainers": {"error_reason": "containers of pods are not known to this backend", "containers": ()},
        "ondemandPodLogs": _NO_POD_LOGS,
        "queryBasicTraces": _NO_TRACES,
        "queryBasicTracesByName": _NO_TRACES,
        "queryTrace": {"spans": ()},
        "queryTraces": {"traces": ()},
        "hasQueryTracesV2Support": False,
        "queryTraceTagAutocompleteKeys": (),
        "queryTraceTagAutocompleteValues": (),
    }.items()
}
"""By operation."""
MUTATIONS: Mapping[str, Answer] = {
    name: _always(_REFUSED)
    for name in (
        "createEBPFProfilingFixedTimeTask",
        "createEBPFNetworkProfiling",
        "keepEBPFNetworkProfiling",
        "setContinuousProfilingPolicy",
    )
}
"""By operation."""
