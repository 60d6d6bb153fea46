"""`pyrover-backend query` as a process of its own, asking a real server about the little world."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import polars as pl
import pytest

from backend.entities.ids import service_relation_id
from backend.storage.interface import Flush, MetricSchema
from backend.storage.memory import MemoryStorage
from tests.backend.query import world
from tests.backend.query.serving import serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    storage = MemoryStorage()
    world.fill(storage)
    with serving(storage) as address:
        yield address


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """A backend that has seen nothing."""
    with serving(MemoryStorage()) as address:
        yield address


def query(address: str, *arguments: str, status: int = 0) -> tuple[str, str]:
    """Run the command; its output and its errors."""
    command = [sys.executable, "-m", "backend.cli", "query", *arguments, "--address", address]
    # A proxy in the environment is for other things.
    environment = {"PATH": "", "http_proxy": "http://192.0.2.1:9"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def rows(output: str) -> list[list[str]]:
    """Cells of a plain table: two blanks or more are between them."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in output.splitlines()]


def test_services_as_a_plain_table(address: str) -> None:
    output, _ = query(address, "services")
    assert "\x1b" not in output
    assert rows(output)[:4] == [
        [
            "Service",
            "Instances",
            "Reads/min",
            "Writes/min",
            "In",
            "Out",
            "Read time",
            "Write time",
            "Failures",
            "Connects/min",
        ],
        ["api", "2", "316", "316", "10.5 KiB/s", "5.3 KiB/s", "2.5 ms", "80 µs", "0", "10.5"],
        ["db", "1", "105", "52.6", "105 B/s", "10.3 KiB/s", "400 µs", "50 µs", "-", "-"],
        ["frontend", "1", "632", "1,263", "21.1 KiB/s", "1.1 KiB/s", "1 ms", "50 µs", "30", "31.6"],
    ]
    assert rows(output)[4] == ["2027-01-15 07:46 to 2027-01-15 08:00 UTC, 9.5 minutes observed"]


def test_services_for_programs_is_the_answer_of_the_api(address: str) -> None:
    answer = json.loads(query(address, "services", "--json", "--last", "1m")[0])
    assert [service["traffic"]["totals"]["reads"] for service in answer["services"]] == [300, 100, 600]
    assert answer["span"]["observed_minutes"] == 0.5


def test_instances_by_name_and_by_id(address: str) -> None:
    by_name, _ = query(address, "instances", "--service", "api", "--json")
    by_id, _ = query(address, "instances", "--service", world.API, "--json")
    assert by_name == by_id
    assert [instance["name"] for instance in json.loads(by_name)["instances"]] == ["api-1", "api-2"]
    table, _ = query(address, "instances", "--service", "api")
    assert [row[0] for row in rows(table)[1:3]] == ["api-1", "api-2"]


def test_endpoints_of_a_service_and_of_all(address: str) -> None:
    heading = ["Endpoint", "Calls/min", "Success", "Mean time", "Request body", "Response body"]
    heading += [f"{digit}xx" for digit in range(1, 6)]
    output, _ = query(address, "endpoints", "--service", "api")
    assert rows(output)[:3] == [
        heading,
        ["GET:/orders", "211", "99.50 %", "12.5 ms", "0 B", "2 KiB", "0", "1,900", "0", "80", "10"],
        ["POST:/orders", "42.1", "100 %", "400 µs", "512 B", "64 B", "0", "400", "0", "0", "0"],
    ]
    output, _ = query(address, "endpoints")
    assert rows(output)[0] == ["Service", *heading]
    assert [row[:2] for row in rows(output)[1:4]] == [
        ["api", "GET:/orders"],
        ["frontend", "GET:/"],
        ["api", "POST:/orders"],
    ]
    output, _ = query(address, "endpoints", "--service", "db")
    assert output == "No HTTP call was seen in this time.\n"


def test_endpoints_for_programs_are_the_answer_of_the_api(address: str) -> None:
    answer = json.loads(query(address, "endpoints", "--service", "api", "--json", "--last", "1m")[0])
    assert [endpoint["totals"]["calls"] for endpoint in answer["endpoints"]] == [200, 40]


def test_metrics_of_an_endpoint_by_its_name(address: str) -> None:
    name = "kubernetes_service_endpoint_call_time"
    output, _ = query(address, "metrics", name, "--service", "api", "--endpoint", "GET:/orders", "--last", "2m")
    assert rows(output)[1] == ["2027-01-15 07:59", "12 ms"]
    _, errors = query(address, "metrics", name, "--service", "api", "--endpoint", "GET:/order", status=1)
    assert "did you mean GET:/orders" in errors
    _, errors = query(address, "metrics", name, "--service", "api", status=1)
    assert "--endpoint NAME" in errors


def test_topology(address: str) -> None:
    output, _ = query(address, "topology")
    assert rows(output)[:4] == [
        ["From", "To", "Protocol", "Sent", "Received", "Failures", "Connects/min", "Seen by"],
        ["Unknown", "frontend", "https", "105 B/s", "2.1 KiB/s", "-", "-", "server"],
        ["api", "db", "tcp", "105 B/s", "10.3 KiB/s", "0", "10.5", "both"],
        ["frontend", "api", "http", "1.1 KiB/s", "5.3 KiB/s", "0", "31.6", "both"],
    ]


def test_topology_of_instances(address: str) -> None:
    output, _ = query(address, "topology", "--service", "frontend", "--to", "api", "--json")
    assert len(json.loads(output)["calls"]) == 2
    _, errors = query(address, "topology", "--service", "frontend", status=1)
    assert "--to" in errors


def test_metrics_over_time(address: str) -> None:
    output, _ = query(
        address, "metrics", "kubernetes_service_read_package_size", "--service", "frontend", "--last", "2m"
    )
    assert rows(output) == [
        ["Time (UTC)", "kubernetes_service_read_package_size"],
        ["2027-01-15 07:59", "1.2 MiB"],
        ["2027-01-15 08:00 (not over)", "1.2 MiB"],
        ["one row per minute"],
    ]


def test_metrics_of_a_relation_and_of_instances(address: str) -> None:
    name = "kubernetes_service_relation_server_read_package_size"
    arguments = ("--service", "Unknown", "--to", "frontend", "--last", "1m", "--json")
    (series,) = json.loads(query(address, "metrics", name, *arguments)[0])["series"]
    assert series["entity"] == service_relation_id(world.UNKNOWN, world.FRONTEND)
    assert [point["value"] for point in series["points"]] == [6000]
    instance = ("metrics", "kubernetes_service_instance_write_cpm", "--service", "api", "--instance", "api-1", "--json")
    (series,) = json.loads(query(address, *instance, "--last", "1m")[0])["series"]
    assert [point["value"] for point in series["points"]] == [300]
    relation = "kubernetes_service_instance_relation_connect_cpm"
    ends = ("--service", "api", "--to", "db", "--instance", "api-1", "--to-instance", "db-1")
    output, _ = query(address, "metrics", relation, *ends)
    assert output == f"{relation} has no data for it in this time.\n"


def test_expressions_over_time(address: str) -> None:
    output, _ = query(address, "metrics", "kubernetes_service_read_cpm / 200", "--service", "api", "--last", "2m")
    assert rows(output) == [
        ["Time (UTC+0000)", "Value"],
        ["2027-01-15 07:59", "1.5"],
        ["2027-01-15 08:00 (not over)", "1.5"],
        ["one value per minute"],
    ]
    arguments = ("--service", "api", "--step", "hour", "--zone", "+0530", "--last", "10m")
    output, _ = query(address, "metrics", "kubernetes_service_read_cpm", *arguments)
    assert rows(output)[:2] == [["Time (UTC+0530)", "Value"], ["2027-01-15 13:00 (not over)", "50"]]


def test_expressions_that_give_one_number(address: str) -> None:
    output, _ = query(address, "metrics", "avg(kubernetes_service_read_cpm) + 0.25", "--service", "api")
    assert rows(output) == [["Value"], ["300.25"]]
    output, _ = query(address, "metrics", "max(kubernetes_service_read_cpm)", "--service", "api")
    assert rows(output) == [["Time (UTC+0000)", "Value"], ["2027-01-15 07:51", "300"]]


def test_expressions_with_labels(stored_times: str) -> None:
    text = "kubernetes_service_percentile{p='50,99'}"
    output, _ = query(stored_times, "metrics", f"{text} + 1", "--service", "api", "--last", "1m")
    assert rows(output)[:2] == [["Time (UTC+0000)", "p=50", "p=99"], ["2027-01-15 08:00 (not over)", "8", "31"]]
    output, _ = query(stored_times, "metrics", f"avg({text})", "--service", "api", "--last", "1m")
    assert rows(output) == [["Labels", "Value"], ["p=50", "7"], ["p=99", "30"]]


@pytest.fixture(scope="module")
def stored_times() -> Iterator[str]:
    """A backend that has seen two calls of api, of 7 and of 30 ms."""
    storage = MemoryStorage()
    metric = "kubernetes_service_percentile"
    times = pl.DataFrame(
        [(metric, str(time), world.API, world.NOW_MINUTE, 1, 0) for time in (7, 30)], MetricSchema, orient="row"
    )
    storage.write(Flush("times", times))
    with serving(storage) as address:
        yield address


def test_rankings(address: str) -> None:
    output, _ = query(address, "metrics", "top_n(kubernetes_service_read_cpm, 2, des) / 100")
    assert rows(output) == [["Of", "Value"], ["frontend", "6"], ["api", "3"]]


def test_an_expression_of_a_relation_for_programs(address: str) -> None:
    text = "sum(kubernetes_service_relation_server_read_package_size)"
    answer = json.loads(
        query(address, "metrics", text, "--service", "Unknown", "--dest-service", "frontend", "--json")[0]
    )
    assert answer["result"] == {
        "type": "SINGLE_VALUE",
        "error": None,
        "results": [
            {"metric": {"labels": []}, "values": [{"id": None, "value": "60000", "owner": None, "traceID": None}]}
        ],
    }


def test_an_expression_without_data(address: str, nobody: str) -> None:
    arguments = ("metrics", "kubernetes_service_close_cpm * 2", "--service", "api")
    output, _ = query(address, *arguments)
    assert output == "The expression gives no value for it in this time.\n"
    output, _ = query(nobody, *arguments)
    assert output.startswith("There is no data yet: ")
    _, errors = query(address, "metrics", "kubernetes_service_read_cpm * 2", "--service", "apy", status=1)
    assert "no service 'apy' was seen in this time\n  did you mean api?" in errors


def test_metrics_alone_lists_names(address: str) -> None:
    output, _ = query(address, "metrics")
    assert ["kubernetes_service_write_cpm", "K8SService", "per minute"] in rows(output)
    listed = json.loads(query(address, "metrics", "--json")[0])["metrics"]
    assert len(rows(output)) == len(listed) + 2


def test_hours(address: str) -> None:
    arguments = ("metrics", "kubernetes_service_read_cpm", "--service", "api", "--step", "hour", "--start=-2h")
    answer = json.loads(query(address, *arguments, "--json")[0])
    assert [point["value"] for point in answer["series"][0]["points"]] == [None, 9 * 300 // 60, 300 // 60]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("instances", "--service", "frnt"), ["'frnt'", "did you mean frontend?"]),
        (("instances", "--service", "xyzzy"), ["there are Unknown, api, db, frontend"]),
        (("metrics", "kubernetes_service_wrote_cpm", "--service", "api"), ["kubernetes_service_write_cpm"]),
        (("metrics", "kubernetes_service_read_cpm"), ["--service NAME"]),
        (("metrics", "kubernetes_service_relation_connect_cpm", "--service", "api"), ["--to NAME"]),
        (
            ("metrics", "kubernetes_service_instance_read_cpm", "--service", "api", "--instance", "api1"),
            ["did you mean api-1"],
        ),
        (
            ("metrics", "kubernetes_service_read_cpm +", "--service", "api"),
            ["the expression is wrong at column 30", "the end cannot stand here"],
        ),
        (("metrics", "kubernetes_service_instance_read_cpm + 1", "--service", "api"), ["metric of an instance"]),
        (("services", "--start", "tomorrow"), ["'tomorrow' is not a time", "RFC 3339"]),
        (("services", "--last", "5m", "--start=-5m"), ["give one of them"]),
    ],
)
def test_what_cannot_be_asked_says_what_to_do(address: str, arguments: tuple[str, ...], words: list[str]) -> None:
    output, errors = query(address, *arguments, status=1)
    assert output == ""
    assert all(word in errors for word in words), errors
    assert "Traceback" not in errors


def test_wrong_spans_are_wrong_usage(address: str) -> None:
    _, errors = query(address, "services", "--last", "soon", status=2)
    assert "'soon' is not a span" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("services",),
        ("instances", "--service", "api"),
        ("endpoints", "--service", "api"),
        ("topology", "--service", "api", "--to", "db"),
        ("metrics", "kubernetes_service_read_cpm", "--service", "api"),
    ],
)
def test_no_data_yet_is_no_failure(nobody: str, arguments: tuple[str, ...]) -> None:
    output, _ = query(nobody, *arguments)
    assert output == "There is no data yet: start an agent with 'pyrover-agent run', and make some traffic.\n"
    answer = json.loads(query(nobody, *arguments, "--json")[0])
    assert [] in answer.values()


def test_data_that_is_older_than_the_span(address: str) -> None:
    output, _ = query(address, "services", "--start", "2027-01-15T01:00:00Z", "--end", "2027-01-15T02:00:00Z")
    assert "3 services are known from earlier: try a longer --last." in output


def test_status(address: str) -> None:
    output, _ = query(address, "status")
    assert ["Logs received", "-"] in rows(output)


def test_agents(address: str) -> None:
    assert query(address, "agents")[0] == "No agent was heard within the hour.\n"
    assert json.loads(query(address, "agents", "--json")[0])["agents"] == []


def test_a_backend_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    _, errors = query(address, "services", status=1)
    assert errors == (
        f"pyrover-backend query: no answer from {address}: Connection refused\n"
        f"  is pyrover-backend serve running on {address}? --address names another\n"
    )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:notaport",
        "[::1",
        "127.0.0.1:99999",
        "",
        ":",
        ":12800",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "h:0",
    ],
)
def test_addresses_that_are_none(address: str) -> None:
    _, errors = query(address, "services", status=1)
    assert errors == (
        f"pyrover-backend query: --address: {address!r} is no address of a backend\n"
        "  write HOST:PORT, such as 127.0.0.1:12800, with https:// before it where it is encrypted\n"
    )


def test_a_host_that_has_no_address() -> None:
    _, errors = query("no such host", "services", status=1)
    first, second = errors.splitlines()
    assert first.startswith("pyrover-backend query: no answer from no such host: ")
    assert "Errno" not in first
    assert second == "  is pyrover-backend serve running on no such host? --address names another"


def test_something_else_that_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "backend.cli", "query", "services", "--address", address]
        for answer, words in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", "is not this version of pyrover-backend"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!", "answers 404 Not Found"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer from"),
        ):
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as asking:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
                _, errors = asking.communicate()
            assert asking.returncode == 1
            assert words in errors, errors
