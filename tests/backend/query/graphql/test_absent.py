"""What this backend does not have: clients ask, and get nothing, and no error."""

from typing import Any

import pytest

from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import Client

HOUR = {"start": "2027-01-15 07", "end": "2027-01-15 08", "step": "HOUR"}
PAGING = {"pageNum": 1, "pageSize": 15}


@pytest.mark.parametrize(
    ("document", "variables", "expected"),
    [
        (documents.SWCTL_PROCESSES, {"instanceId": "x", "duration": HOUR}, {"result": []}),
        (documents.SWCTL_PROFILING_TASKS, {"serviceId": "x", "triggerType": "FIXED_TIME"}, {"result": []}),
        (documents.BOOSTER_SCHEDULES, {"taskId": "x"}, {"eBPFSchedules": []}),
        (documents.BOOSTER_EVENTS, {"condition": {"time": HOUR}}, {"fetchEvents": {"events": [], "total": 0}}),
        (
            documents.BOOSTER_LOGS,
            {"condition": {"serviceId": "x", "queryDuration": HOUR, "paging": PAGING}},
            {"queryLogs": {"logs": []}},
        ),
        (
            documents.BOOSTER_TRACES,
            {"condition": {"queryDuration": HOUR, "traceState": "ALL", "queryOrder": "BY_DURATION", "paging": PAGING}},
            {"data": {"traces": []}},
        ),
        (
            documents.BOOSTER_CONTAINERS,
            {"condition": {"serviceInstanceId": "x"}},
            {
                "containers": {
                    "errorReason": "containers of pods are not known to this backend",
                    "containers": [],
                }
            },
        ),
        (
            documents.BOOSTER_POD_LOGS,
            {"condition": {"serviceInstanceId": "x", "container": "c", "duration": HOUR}},
            {"logs": {"errorReason": "logs of pods are not read by this backend", "logs": []}},
        ),
        (documents.HORIZON_LOGS_PROBE, {}, {"supportQueryLogsByKeywords": False}),
        (
            "query ($d: Duration!) { hasQueryTracesV2Support queryTraceTagAutocompleteKeys(duration: $d) }",
            {"d": HOUR},
            {"hasQueryTracesV2Support": False, "queryTraceTagAutocompleteKeys": []},
        ),
        ('query { trace: queryTrace(traceId: "x") { spans { traceId } } }', {}, {"trace": {"spans": []}}),
        (
            'query { estimateProcessScale(serviceId: "x", labels: []) getProcess(processId: "x") { id } }',
            {},
            {"estimateProcessScale": 0, "getProcess": None},
        ),
        (
            """query { data: queryPrepareCreateEBPFProfilingTaskData(serviceId: "x") { couldProfiling processLabels }
               policies: queryContinuousProfilingServiceTargets(serviceId: "x") { type } }""",
            {},
            {"data": {"couldProfiling": False, "processLabels": []}, "policies": []},
        ),
    ],
)
async def test_there_is_nothing_and_no_error(
    client: Client, document: str, variables: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert await client.answer(document, **variables) == expected


async def test_tasks_are_refused_with_a_reason(client: Client) -> None:
    request = {"serviceId": "x", "processLabels": [], "startTime": -1, "duration": 600, "targetType": "ON_CPU"}
    answer = await client.answer(documents.BOOSTER_CREATE_TASK, request=request)
    assert answer == {
        "createTaskData": {"status": False, "errorReason": "this backend does not profile processes", "id": None}
    }
