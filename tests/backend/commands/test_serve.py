import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from backend.entities.ids import service_id
from protos.common.common_pb2 import DetectPoint
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests import patient
from tests.backend.ingest.messages import http_log, message, read_log
from tests.backend.server.processes import ANY_PORTS, backend, start


def send(address: str, logs: int) -> None:
    with grpc.insecure_channel(address) as channel:
        made = message(*[read_log(size=10)] * logs, node="n", remote="10.0.0.2")
        made.connection.local.kubernetes.serviceName = "shop"
        made.connection.local.kubernetes.podName = "shop-1"
        EBPFAccessLogServiceStub(channel).collect(iter([made]), timeout=120)


def test_from_start_to_end_what_was_received_is_there_after_a_restart(tmp_path: Path) -> None:
    with backend(tmp_path) as (process, addresses):
        assert patient.get(f"{addresses['http']}/healthcheck").json()["status"] == "ready"
        send(addresses["grpc"], 5)
        metrics = patient.get(f"{addresses['http']}/metrics").text
        assert "pyrover_backend_logs_stored_total 5.0" in metrics
        assert "pyrover_analysis_logs_total 5.0" in metrics
        assert patient.get(f"{addresses['http']}/api/status").json()["logs"]["received"] == 5
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        line = f"pyrover-backend is ready: gRPC {addresses['grpc']}, console {addresses['http']}/"
        assert printed.splitlines() == [line]
    with backend(tmp_path) as (process, addresses):
        services = patient.get(f"{addresses['http']}/api/services").json()["services"]
        assert [service["name"] for service in services] == ["shop"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 0


def test_http_exchanges_are_endpoints_with_exact_numbers_also_after_a_restart(tmp_path: Path) -> None:
    exchanges = [
        http_log("Get", "/orders?id=1", 200, start=1_000_000, end=3_000_000),
        http_log("Get", "/orders?id=2", 503, start=1_000_000, end=6_000_000),
        http_log("PROPFIND", "/docs", 207, start=1_000_000, end=1_400_000),
        http_log("Get", "/never", 200, start=2, end=1),
    ]
    exchanges[0].http.response.sizeOfBodyBytes = 1_000
    messages = [message(protocol=exchange) for exchange in exchanges]
    first = message(read_log(), node="n", remote="10.0.0.2")
    first.connection.local.kubernetes.serviceName, first.connection.role = "shop", DetectPoint.server
    path = "/api/endpoints"
    with backend(tmp_path) as (process, addresses):
        with grpc.insecure_channel(addresses["grpc"]) as channel:
            call = EBPFAccessLogServiceStub(channel).collect
            _, answered = call.with_call(iter([first, *messages]), timeout=120)
            assert ("pyrover-dropped", "time_inverted=1") in list(answered.trailing_metadata())
        found = patient.get(f"{addresses['http']}{path}").json()["endpoints"]
        metrics = patient.get(f"{addresses['http']}/metrics").text
        assert "pyrover_backend_protocol_logs_received_total 4.0" in metrics
        assert "pyrover_backend_logs_stored_total 4.0" in metrics
        process.terminate()
        process.communicate(timeout=120)
    assert [(one["service"], one["name"], one["totals"]["calls"], one["totals"]["failed"]) for one in found] == [
        ("shop", "GET:/orders", 2, 1),
        ("shop", "PROPFIND:/docs", 1, 0),
    ]
    assert found[0]["means"] == {
        "time": 3_500_000,
        "request_header_bytes": 0,
        "request_body_bytes": 0,
        "response_header_bytes": 0,
        "response_body_bytes": 500,
    }
    with backend(tmp_path) as (_, addresses):
        again = patient.get(f"{addresses['http']}{path}").json()["endpoints"]
    assert [one["totals"] for one in again] == [one["totals"] for one in found]


def test_a_port_in_use_is_a_clear_error_before_anything_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start("--host", "127.0.0.1", "--grpc-port", "0", "--http-port", port, "--data", str(tmp_path / "d"))
        printed, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert printed == ""
    assert error.startswith(f"pyrover-backend serve: cannot listen on 127.0.0.1:{port}")
    assert "--http-port" in error
    assert not (tmp_path / "d").exists()


def test_wrong_settings_are_a_clear_error(tmp_path: Path) -> None:
    settings = tmp_path / "backend.yml"
    settings.write_text("grpc_prot: 1\n")
    process = start("--config", str(settings))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "did you mean 'grpc_port'?" in error
    process = start(environment={"PYROVER_BACKEND_HTTP_PORT": "none"})
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "PYROVER_BACKEND_HTTP_PORT is 'none'; it must be a whole number from 0 to 65535" in error


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start(*ANY_PORTS, "--data", str(tmp_path / "file" / "data"))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert str(tmp_path / "file") in error
    assert "Traceback" not in error


def test_a_ready_fd_that_is_not_open_is_a_clear_error(tmp_path: Path) -> None:
    process = start(*ANY_PORTS, "--data", str(tmp_path), "--ready-fd", "77")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "--ready-fd 77" in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_token_from_the_settings_file_is_asked_for(tmp_path: Path, number: signal.Signals) -> None:
    settings = tmp_path / "backend.yml"
    settings.write_text("token: sesame\n")
    with backend(tmp_path, "--config", str(settings)) as (process, addresses):
        with pytest.raises(grpc.RpcError) as caught:
            send(addresses["grpc"], 1)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        process.send_signal(number)
        process.communicate(timeout=120)
        assert process.returncode == 0


def test_the_limit_of_names_comes_from_the_environment(tmp_path: Path) -> None:
    with backend(tmp_path, environment={"SW_SERVICE_NAME_MAX_LENGTH": "3"}) as (_, addresses):
        send(addresses["grpc"], 1)
        services = patient.get(f"{addresses['http']}/api/services?start=-15m").json()["services"]
    assert [service["name"] for service in services] == ["sho"]


def test_a_limit_of_names_that_is_no_number_is_a_clear_error(tmp_path: Path) -> None:
    process = start("--data", str(tmp_path), environment={"SW_SERVICE_NAME_MAX_LENGTH": "many"})
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "'many' (from SW_SERVICE_NAME_MAX_LENGTH); it must be a whole number of at least 1" in error


CUSTOM = 'custom_write_count = from(K8SService.*).filter(type == "write").count();\n'


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def names(addresses: dict[str, str]) -> set[str]:
    metrics = patient.get(f"{addresses['http']}/api/metrics/names").json()["metrics"]
    return {metric["name"] for metric in metrics}


def test_scripts_are_read_again_by_a_request_and_by_a_signal(tmp_path: Path) -> None:
    scripts = tmp_path / "oal"
    scripts.mkdir()
    script = scripts / "custom.oal"
    script.write_text(CUSTOM)
    settings = tmp_path / "backend.yml"
    settings.write_text(f"core:\n  default:\n    oalPath: {scripts}\n")
    with backend(tmp_path / "data", "--config", str(settings)) as (process, addresses):
        assert "custom_write_count" in names(addresses)
        script.write_text(CUSTOM.replace("custom_write", "custom_other"))
        answer = patient.post(f"{addresses['http']}/api/reload")
        assert answer.status_code == 200
        (part,) = [part for part in answer.json()["parts"] if part["part"] == "metrics"]
        assert part["outcome"] == "replaced"
        assert names(addresses) >= {"custom_other_count", "kubernetes_service_write_cpm"}
        assert "custom_write_count" not in names(addresses)
        script.write_text("custom_bad = from(K8SService.*).nothing();\n")
        answer = patient.post(f"{addresses['http']}/api/reload")
        assert answer.status_code == 422
        (part,) = [part for part in answer.json()["parts"] if part["part"] == "metrics"]
        assert part["outcome"] == "refused"
        assert f"{script}:1:" in part["detail"]
        assert "custom_other_count" in names(addresses)
        send(addresses["grpc"], 5)
        script.write_text(CUSTOM)
        process.send_signal(signal.SIGHUP)
        while "custom_write_count" not in names(addresses):
            assert process.poll() is None
        counted = patient.get(f"{addresses['http']}/metrics").text
        assert 'pyrover_backend_reloads_total{outcome="replaced",part="metrics"} 2.0' in counted
        assert 'pyrover_backend_reloads_total{outcome="refused",part="metrics"} 1.0' in counted
        assert patient.get(f"{addresses['http']}/api/reload").status_code == 405
        process.terminate()
        _, logged = process.communicate(timeout=120)
    assert f"reload: metrics refused, the old ones stay: {script}:1:" in logged
    assert logged.count("reload: metrics replaced: ") == 2


def test_wrong_scripts_at_the_start_are_a_clear_error(tmp_path: Path) -> None:
    script = tmp_path / "custom.oal"
    script.write_text("nothing\n")
    process = start(*ANY_PORTS, "--data", str(tmp_path), environment={"PYROVER_BACKEND_FILES_OAL": str(script)})
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"pyrover-backend serve: {script}:" in error


def test_who_reloads_needs_the_token(tmp_path: Path) -> None:
    with backend(tmp_path, environment={"SW_AUTHENTICATION": "sesame"}) as (_, addresses):
        url = f"{addresses['http']}/api/reload"
        assert patient.post(url).status_code == 403
        assert patient.post(url, headers={"Authentication": "other"}).status_code == 403
        assert patient.post(url, headers={b"Authorization": "Bearer ses\u00e4me".encode()}).status_code == 403
        assert patient.post(url, headers={"Authentication": "sesame"}).status_code == 200
        assert patient.post(url, headers={"Authorization": "Bearer sesame"}).status_code == 200


def test_further_ports_serve_agents_and_prometheus_has_one_of_its_own(tmp_path: Path, stack: ExitStack) -> None:
    # Bound and not listening, so that the ports stay free for who shares them.
    held = [stack.enter_context(socket.socket()) for _ in range(4)]
    for one in held:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 0))
    ebpf, sharing, prometheus, promql = (one.getsockname()[1] for one in held)
    environment = {
        "SW_EBPF_GRPC_PORT": str(ebpf),
        "SW_RECEIVER_GRPC_PORT": str(sharing),
        "SW_TELEMETRY": "prometheus",
        "SW_TELEMETRY_PROMETHEUS_PORT": str(prometheus),
        "SW_PROMQL_REST_PORT": str(promql),
        "PYROVER_BACKEND_SHARE_PORTS": "true",
    }
    with backend(tmp_path, environment=environment) as (process, addresses):
        for number, port in enumerate((ebpf, sharing)):
            send(f"127.0.0.1:{port}", 1)
            for path in ("/", "/metrics"):
                metrics = patient.get(f"http://127.0.0.1:{prometheus}{path}").text
                assert f"pyrover_backend_logs_stored_total {number + 1}.0" in metrics
        assert patient.get(f"http://127.0.0.1:{prometheus}/api/services").status_code == 404
        information = patient.get(f"http://127.0.0.1:{promql}/api/v1/status/buildinfo").json()
        assert information["data"]["version"] == "2.45.0"
        assert "pyrover_backend_logs_stored_total 2.0" in patient.get(f"{addresses['http']}/metrics").text
        process.terminate()
        process.communicate(timeout=120)
        assert process.returncode == 0


APDEX = "kubernetes_service_apdex"


def apdex(addresses: dict[str, str], service: str) -> int | None:
    """Of the one minute in which it was called lately, in ten thousandths."""
    query = {"name": APDEX, "entity": service_id(service), "start": "-9m", "step": "minute"}
    (series,) = patient.get(f"{addresses['http']}/api/metrics", params=query).json()["series"]
    return next((point["value"] for point in series["points"] if point["value"] is not None), None)


def send_call(address: str, service: str, milliseconds: int) -> None:
    """One HTTP call that a service answered."""
    call = http_log(start=1_000_000, end=1_000_000 + milliseconds * 1_000_000)
    made = message(read_log(), node="n", boot=time.time() - 1, remote="10.0.0.2", protocol=call)
    made.connection.local.kubernetes.serviceName, made.connection.role = service, DetectPoint.server
    with grpc.insecure_channel(address) as channel:
        EBPFAccessLogServiceStub(channel).collect(iter([made]), timeout=120)


def test_apdex_thresholds_are_read_at_the_start_and_again(tmp_path: Path) -> None:
    thresholds = tmp_path / "thresholds.yml"
    thresholds.write_text("default: 500\nslow: 5000\n")
    environment = {"PYROVER_BACKEND_FILES_APDEX_THRESHOLDS": str(thresholds)}
    with backend(tmp_path / "data", environment=environment) as (_, addresses):
        url = f"{addresses['http']}/api/reload"
        send_call(addresses["grpc"], "fast", 600)  # more than the threshold, less than four times
        send_call(addresses["grpc"], "slow", 600)
        assert (apdex(addresses, "fast"), apdex(addresses, "slow")) == (5_000, 10_000)
        thresholds.write_text("default: many\n")
        answer = patient.post(url)
        assert answer.status_code == 422
        assert f"{thresholds}: default: 'many' is not a whole number" in answer.text
        send_call(addresses["grpc"], "fast2", 600)
        assert apdex(addresses, "fast2") == 5_000
        thresholds.write_text("default: 100\n")
        answer = patient.post(url).json()
        assert {part["part"]: part["outcome"] for part in answer["parts"]} == {
            "metrics": "replaced",
            "apdex thresholds": "replaced",
            "dashboards": "replaced",
            "alarms": "replaced",
        }
        send_call(addresses["grpc"], "fast3", 600)  # more than four times
        assert apdex(addresses, "fast3") == 0


def test_wrong_thresholds_at_the_start_are_a_clear_error(tmp_path: Path) -> None:
    environment = {"PYROVER_BACKEND_FILES_APDEX_THRESHOLDS": str(tmp_path / "none.yml")}
    process = start(*ANY_PORTS, "--data", str(tmp_path), environment=environment)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"pyrover-backend serve: {tmp_path / 'none.yml'}: the thresholds cannot be read" in error


DASHBOARD = """\
title: Bytes of mine
scope: service
tabs:
  - title: First
    widgets:
      - title: Bytes of mine
        kind: line
        unit: bytes
        lines:
          - {name: Written, expression: kubernetes_service_write_package_size}
"""


def titles(addresses: dict[str, str]) -> set[str]:
    answer = patient.get(f"{addresses['http']}/console/dashboards").json()
    return {dashboard["title"] for dashboard in answer["dashboards"]}


def test_dashboards_of_a_folder_are_read_at_the_start_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "dashboards"
    folder.mkdir()
    file = folder / "mine.yml"
    file.write_text(DASHBOARD)
    environment = {"PYROVER_BACKEND_FILES_DASHBOARDS": str(folder)}
    with backend(tmp_path / "data", environment=environment) as (_, addresses):
        assert titles(addresses) >= {"Bytes of mine", "Endpoint"}
        file.write_text(DASHBOARD.replace("write_package_size", "no_such_thing"))
        answer = patient.post(f"{addresses['http']}/api/reload")
        assert answer.status_code == 422
        (part,) = [part for part in answer.json()["parts"] if part["part"] == "dashboards"]
        assert f"{file}:10: " in part["detail"]
        assert "Bytes of mine" in titles(addresses)
        file.write_text(DASHBOARD.replace("of mine", "of ours"))
        assert patient.post(f"{addresses['http']}/api/reload").status_code == 200
        assert titles(addresses) >= {"Bytes of ours", "Endpoint"}
        query = {"query": "{ getAllTemplates { configuration } }"}
        templates = patient.post(f"{addresses['http']}/graphql", json=query).json()["data"]["getAllTemplates"]
        assert any("Bytes of ours" in template["configuration"] for template in templates)


def test_a_wrong_dashboard_at_the_start_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("title: Mine\n")
    environment = {"PYROVER_BACKEND_FILES_DASHBOARDS": str(file)}
    process = start(*ANY_PORTS, "--data", str(tmp_path / "data"), environment=environment)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"pyrover-backend serve: {file}:" in error


def test_graphql_is_answered_also_after_a_reload(tmp_path: Path) -> None:
    question = {"query": '{ services: listServices(layer: "K8S_SERVICE") { name } listMetrics { name } }'}
    script = tmp_path / "custom.oal"
    script.write_text(CUSTOM)
    with backend(tmp_path / "data", environment={"PYROVER_BACKEND_FILES_OAL": str(script)}) as (_, addresses):
        send(addresses["grpc"], 1)
        for name in ("custom_write_count", "custom_other_count"):
            answer = patient.post(f"{addresses['http']}/graphql", json=question).json()
            assert "errors" not in answer
            assert answer["data"]["services"] == [{"name": "shop"}]
            assert name in {metric["name"] for metric in answer["data"]["listMetrics"]}
            script.write_text(CUSTOM.replace("custom_write", "custom_other"))
            assert patient.post(f"{addresses['http']}/api/reload").status_code == 200
        counted = patient.get(f"{addresses['http']}/metrics").text
        assert "pyrover_graphql_seconds_count 2.0" in counted


def test_sums_by_the_hour_are_as_their_names_say_or_as_skywalkings(tmp_path: Path) -> None:
    """Some metrics named `..._cpm` are sums in SkyWalking's scripts, which gives their totals at longer steps."""
    query = {"name": "kubernetes_service_read_package_cpm", "entity": service_id("shop"), "start": "-2h"}
    log = read_log()
    log.read.l2Metrics.totalPackageCount = 120
    sent = message(log, node="n", remote="10.0.0.2")
    sent.connection.local.kubernetes.serviceName = "shop"
    found = {}
    for word in ("false", "true"):
        with backend(tmp_path, environment={"PYROVER_BACKEND_COMPATIBILITY_SUMS_PER_STEP": word}) as (_, addresses):
            if word == "false":
                with grpc.insecure_channel(addresses["grpc"]) as channel:
                    EBPFAccessLogServiceStub(channel).collect(iter([sent]), timeout=120)
            answer = patient.get(f"{addresses['http']}/api/metrics", params={**query, "step": "hour"})
            (series,) = answer.json()["series"]
            found[word] = [point["value"] for point in series["points"] if point["value"] is not None]
    assert found == {"false": [2], "true": [120]}


def test_a_reload_while_it_starts_does_not_end_it(tmp_path: Path) -> None:
    process = start(*ANY_PORTS, "--data", str(tmp_path))
    assert process.stderr is not None
    assert process.stdout is not None
    while "listening on" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline().startswith("pyrover-backend is ready")
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 0
