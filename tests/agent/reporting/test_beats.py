from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.kubernetes.analyzers import Entity
from agent.discovery.naming import Identity
from agent.discovery.processes import Process
from agent.discovery.standing import Named, Standing
from agent.reporting.beats import CALL_PROCESSES, KEEP_ALIVE, LONGEST_PROPERTY, REPORT, Beats, Call, Present, present
from agent.reporting.hosts import HostEntities
from protos.ebpf import process_pb2 as wire
from tests.agent.synthetic import facts

PROPERTIES = (("pod_name", "cart-1"), ("command_line", "x" * 5000), ("support_ebpf_profiling", "false"))


def entity(service: str = "cart.shop", layer: str = "K8S_SERVICE") -> Entity:
    return Entity(layer, service, "cart-1", "java", ("a", "b"))


def one(pid: int, start: int = 1, service: str = "cart.shop") -> Present:
    return Present(pid, start, entity(service), PROPERTIES)


def pids(call: Call) -> tuple[str, list[int]]:
    return call.path.rpartition("/")[2], [key[0] for key in call.keys]


def beat(beats: Beats, *processes: Present, accepted: bool = True) -> list[tuple[str, list[int]]]:
    calls = beats.beat(processes)
    for call in calls:
        beats.answered(call, accepted=accepted)
    return [pids(call) for call in calls]


def test_new_processes_are_reported_and_then_kept_alive() -> None:
    beats = Beats("run", 10)
    assert beat(beats) == []
    assert beat(beats, one(1)) == [("reportProcesses", [1])]
    assert beat(beats, one(1), one(2)) == [("reportProcesses", [2]), ("keepAlive", [1])]
    assert beat(beats, one(2)) == [("keepAlive", [2])]
    assert beat(beats, one(1), one(2)) == [("reportProcesses", [1]), ("keepAlive", [2])]


def test_what_was_not_accepted_is_reported_again() -> None:
    beats = Beats("run", 10)
    assert beat(beats, one(1), accepted=False) == [("reportProcesses", [1])]
    assert beat(beats, one(1)) == [("reportProcesses", [1])]
    assert beat(beats, one(1), accepted=False) == [("keepAlive", [1])]
    assert beat(beats, one(1)) == [("reportProcesses", [1])]


def test_everything_is_reported_again_each_so_many_beats() -> None:
    beats = Beats("run", 3)
    paths = [[path for path, _ in beat(beats, one(1))] for _ in range(7)]
    assert [path for (path,) in paths] == ["reportProcesses", *["keepAlive"] * 2] * 2 + ["reportProcesses"]


def test_another_process_under_the_same_id_and_another_name_are_new() -> None:
    beats = Beats("run", 10)
    beat(beats, one(1))
    assert beat(beats, one(1, start=2)) == [("reportProcesses", [1])]
    assert beat(beats, one(1, start=2, service="shop.shop")) == [("reportProcesses", [1])]


def test_a_report_says_everything_and_a_keep_alive_who_it_is() -> None:
    beats = Beats("run", 10)
    (report,) = beats.beat([one(7)])
    beats.answered(report, accepted=True)
    (kept,) = beats.beat([one(7)])
    assert (report.path, kept.path) == (REPORT, KEEP_ALIVE)
    named = wire.EBPFProcessEntityMetadata(
        layer="K8S_SERVICE", serviceName="cart.shop", instanceName="cart-1", processName="java", labels=["a", "b"]
    )
    told = wire.EBPFProcessReportList.FromString(report.message)
    (process,) = told.processes
    assert told.ebpfAgentID == "run"
    assert process.WhichOneof("metadata") == "k8sProcess"
    assert (process.k8sProcess.pid, process.k8sProcess.entity) == (7, named)
    assert {each.key: each.value for each in process.k8sProcess.properties} == {
        "pod_name": "cart-1",
        "command_line": "x" * LONGEST_PROPERTY,
        "support_ebpf_profiling": "false",
    }
    assert wire.EBPFProcessPingPkgList.FromString(kept.message) == wire.EBPFProcessPingPkgList(
        ebpfAgentID="run",
        processes=[
            wire.EBPFProcessPingPkg(
                entityMetadata=named, properties=[{"key": "support_ebpf_profiling", "value": "false"}]
            )
        ],
    )


def test_calls_are_bounded() -> None:
    beats = Beats("run", 10)
    calls = beats.beat([one(pid) for pid in range(2 * CALL_PROCESSES + 1)])
    assert [len(call.keys) for call in calls] == [CALL_PROCESSES, CALL_PROCESSES, 1]
    assert max(len(call.message) for call in calls) < 4 * 1024 * 1024


def test_a_process_counts_under_each_of_its_names_and_one_that_is_gone_not() -> None:
    process = Process(5, facts(5, start=9), Identity("cart.shop", "cart-1", "main", "java"))
    process.named = Named(Standing.TOLD, (entity(layer="MESH"), entity()), "main", properties=PROPERTIES)
    assert [(each.pid, each.start_ticks, each.entity.layer) for each in present([process])] == [
        (5, 9, "MESH"),
        (5, 9, "K8S_SERVICE"),
    ]
    process.facts = None
    assert present([process]) == []


def test_processes_of_a_host_are_told_by_the_names_of_their_logs() -> None:
    hosts = HostEntities("OS_LINUX", "10.0.0.7")
    process = Process(5, facts(5, start=9, arguments="java -jar cart.jar"), Identity("cart", "host-7", "main", "java"))
    of_pod = Process(6, facts(6), Identity("cart.shop", "cart-1", "main", "java"))
    of_pod.named = Named(Standing.TOLD, (entity(),), "main", properties=PROPERTIES)
    gone = Process(7, None, Identity("sh", "host-7", "", "sh"))
    told = present([process, of_pod, gone], hosts)
    assert [(each.pid, each.entity.service, each.on_host) for each in told] == [
        (5, "cart", True),
        (6, "cart.shop", False),
    ]
    assert present([process, gone]) == []
    (report,) = Beats("run", 10).beat(told)
    first, second = wire.EBPFProcessReportList.FromString(report.message).processes
    assert second.WhichOneof("metadata") == "k8sProcess"
    assert first == wire.EBPFProcessProperties(
        hostProcess=wire.EBPFHostProcessMetadata(
            pid=5,
            entity=wire.EBPFProcessEntityMetadata(
                layer="OS_LINUX", serviceName="cart", instanceName="host-7", processName="java"
            ),
            properties=[
                {"key": "host_ip", "value": "10.0.0.7"},
                {"key": "container_name", "value": "main"},
                {"key": "pid", "value": "5"},
                {"key": "command_line", "value": "java -jar cart.jar"},
                {"key": "support_ebpf_profiling", "value": "false"},
            ],
        )
    )


def test_a_process_without_a_container_has_no_property_of_that_name() -> None:
    process = Process(5, facts(5), Identity("cart", "host-7", "", "java"))
    (told,) = present([process], HostEntities("OS_LINUX", ""))
    assert [key for key, _ in told.properties] == ["host_ip", "pid", "command_line", "support_ebpf_profiling"]


@given(st.lists(st.tuples(st.sets(st.integers(1, 6)), st.booleans()), max_size=12), st.integers(1, 4))
def test_whatever_happens_each_process_is_told_of_once_a_beat(history: list[tuple[set[int], bool]], every: int) -> None:
    beats = Beats("run", every)
    known: set[int] = set()
    for number, (processes, accepted) in enumerate(history):
        told = beat(beats, *map(one, sorted(processes)), accepted=accepted)
        assert sorted(pid for _, some in told for pid in some) == sorted(processes)
        kept = {pid for path, some in told for pid in some if path == "keepAlive"}
        assert kept == (set() if number % every == 0 else known & processes)
        known = processes if accepted else set()
