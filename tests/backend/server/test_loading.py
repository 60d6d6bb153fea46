import logging
from pathlib import Path

import pytest

from backend.server.declarations import SETTINGS
from backend.server.loading import load
from backend.server.settings import Settings, SettingsError


def written(folder: Path, text: str) -> Path:
    file = folder / "backend.yml"
    file.write_text(text)
    return file


def test_without_anything_the_ports_are_those_of_skywalking() -> None:
    settings = load(None, {}, {})
    assert (settings.grpc_port, settings.http_port, settings.token) == (11800, 12800, "")
    assert settings.limits.message_bytes == 50 * 1024 * 1024
    assert settings == Settings()


def test_each_place_wins_over_those_before(tmp_path: Path) -> None:
    upstream = {"SW_CORE_GRPC_PORT": "2", "SW_CORE_REST_PORT": "20"}
    assert load(None, upstream, {}).grpc_port == 2
    file = written(tmp_path, "grpc_port: 3\n")
    assert (load(file, upstream, {}).grpc_port, load(file, upstream, {}).http_port) == (3, 20)
    modules = written(tmp_path, "core:\n  default:\n    gRPCPort: 4\n")
    assert load(modules, upstream, {}).grpc_port == 4
    own = {**upstream, "PYROVER_BACKEND_GRPC_PORT": "5", "PATH": "/bin"}
    assert load(modules, own, {}).grpc_port == 5
    assert load(modules, own, {"grpc_port": 6, "http_port": None}).grpc_port == 6


def test_the_short_form_has_sections(tmp_path: Path) -> None:
    file = written(tmp_path, "host: from-file\nlimits: {message_bytes: 1000}\nlimits.waiting_logs: 5\ntimes:\n")
    settings = load(file, {"PYROVER_BACKEND_LIMITS_BUFFERED_BYTES": "5000"}, {})
    assert (settings.host, settings.times) == ("from-file", Settings().times)
    assert (settings.limits.message_bytes, settings.limits.buffered_bytes) == (1000, 5000)


def test_both_forms_may_be_in_one_file(tmp_path: Path) -> None:
    file = written(tmp_path, "token: sesame\ncore:\n  default:\n    restPort: 5\nstorage:\n  selector: clickhouse\n")
    settings = load(file, {}, {})
    assert (settings.token, settings.http_port, settings.store.kind) == ("sesame", 5, "clickhouse")


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, "# nothing\n"), {}, {}) == Settings()


def test_who_says_where_to_listen_is_not_overruled_by_an_earlier_place(tmp_path: Path) -> None:
    modules = "core:\n  default:\n    restHost: 0.0.0.0\n    host: 10.0.0.1\n"
    file = written(tmp_path, modules)
    environment = {"SW_CORE_GRPC_HOST": "0.0.0.0"}
    within = load(file, environment, {})
    assert (within.host, within.http_host, within.grpc_host) == ("10.0.0.1", "0.0.0.0", "")
    asked = load(file, environment, {"host": "127.0.0.1"})
    assert (asked.host, asked.http_host, asked.grpc_host, asked.prometheus.host) == ("127.0.0.1", "", "", "")


def test_each_setting_is_set_by_its_variable_and_by_its_key(tmp_path: Path) -> None:
    """Another value than the default for every single setting, in each of the three ways."""
    others = {
        "store.kind": "clickhouse",
        "prometheus.kind": "prometheus",
        "kubernetes.watch": "never",
        "times.zone": "+05:45",
        "store.duckdb_memory": "512MB",
        "entities.excluded_namespaces": "kube-system, istio-system",
    }
    for setting in SETTINGS:
        default = setting.default
        other = others.get(setting.path) or ("true" if default is False else "other" if default == "" else "7777")
        if setting.path == "limits.buffered_bytes":
            other = str(2**40)
        read = setting.allowed.read(other)
        assert read != default
        module, *rest = setting.key.split(".")
        lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate((module, *rest))]
        quoted = f'"{other}"' if isinstance(default, str) else other
        given = [
            load(None, {setting.variable: other}, {}),
            load(written(tmp_path, "\n".join(lines) + f" {quoted}\n"), {}, {}),
            load(written(tmp_path, f"{setting.path}: {quoted}\n"), {}, {}),
        ]
        if setting.upstream:
            given.append(load(None, {setting.upstream: other}, {}))
        for settings in given:
            found: object = settings
            for name in setting.path.split("."):
                found = getattr(found, name)
            assert found == read, setting.path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grpc_prot: 1", "'grpc_prot'; did you mean 'grpc_port'?"),
        ("limits: {mesage_bytes: 1}", "'limits.mesage_bytes'; did you mean 'limits.message_bytes'?"),
        ("zzz: 1", "known are host, http_host"),
        ("1: 2", "there is no setting '1'"),
        ("grpc_port: many", "backend.yml: grpc_port is 'many'; it must be a whole number from 0 to 65535"),
        ("limits: 5", "limits is 5; it must hold keys and values"),
        ("[1, 2]", "must hold keys and values"),
        ("a: b: c", "is not YAML"),
        ("grpc_port: 65536", "grpc_port is 65536; it must be a whole number from 0 to 65535"),
        ("grpc_port: 1.5", "grpc_port is 1.5"),
        ("grpc_port: true", "grpc_port is True"),
        ("grpc_port: [1]", "grpc_port is [1]"),
        ("grpc_port: 12800", "they must differ"),
        ("receivers: {ebpf_port: 11800}", "grpc_port and receivers.ebpf_port are both 11800"),
        ("prometheus: {kind: prometheus, port: 12800}", "http_port and prometheus.port are both 12800"),
        (
            "token: 12",
            'token is 12; it must be printable ASCII without spaces at its ends (a number in quotes, such as "123")',
        ),
        ("limits: {buffered_bytes: 0}", "limits.buffered_bytes is 0; it must be a whole number of at least 1"),
        ("times: {retention_days: -1}", "times.retention_days is -1; it must be a number above 0 and at most 36,500"),
        ("times: {retention_days: 1.0e+12}", "it must be a number above 0 and at most 36,500"),
        ("times: {retention_days_of_metadata: 36501}", "it must be a number above 0 and at most 36,500"),
        ("times: {clock_difference_seconds: 1.0e+20}", "it must be a number above 0 and at most 86,400"),
        (
            "receiver-ebpf: {default: {gRPCSslEnabled: [a]}}",
            "receiver-ebpf.default.gRPCSslEnabled is ['a']; leave it off",
        ),
        ("a: !!bool perhaps", "is not YAML: 'perhaps'"),
        ("times: {retention_days: .inf}", "times.retention_days is inf"),
        ("times: {retention_days: .nan}", "times.retention_days is nan"),
        ("http_token: 'sesame '", "http_token is 'sesame '; it must be printable ASCII without spaces at its ends"),
        ("token: sésame", "token is 'sésame'; it must be printable ASCII"),
        ("store: {duckdb_memory: 5}", "store.duckdb_memory is 5; it must be a number and MB or GB, such as 512MB"),
        ("share_ports: perhaps", "share_ports is 'perhaps'; it must be true or false"),
        ("store: {kind: banyandb}", "store.kind is 'banyandb'; it must be duckdb or clickhouse"),
        ("entities: {excluded_namespaces: [1]}", "it must be words with commas between them, or a list"),
        ("limits: {message_bytes: 2000, buffered_bytes: 1000}", "no such message could be taken"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text), {}, {})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PYROVER_BACKEND_GRPCPORT": "1"}, "did you mean 'PYROVER_BACKEND_GRPC_PORT'?"),
        ({"PYROVER_BACKEND_HTTP_PORT": "x"}, "environment: PYROVER_BACKEND_HTTP_PORT is 'x'; it must be"),
        ({"SW_CORE_REST_PORT": "x"}, "environment: core.default.restPort is 'x' (from SW_CORE_REST_PORT); it must be"),
        (
            {"SW_STORAGE": "banyandb"},
            "storage.selector is 'banyandb' (from SW_STORAGE); it must be duckdb or clickhouse",
        ),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, environment, {})
    assert words in str(caught.value)


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(SettingsError, match="command line: --grpc-port is -1; it must be a whole number from 0"):
        load(None, {}, {"grpc_port": -1})


def test_what_is_empty_has_its_default_but_for_text() -> None:
    environment = {"SW_CORE_GRPC_PORT": "", "SW_CORE_GRPC_MAX_MESSAGE_SIZE": "0", "PYROVER_BACKEND_SHARE_PORTS": ""}
    assert load(None, environment, {}) == Settings()


def test_a_token_of_digits_stays_as_it_is_written(tmp_path: Path) -> None:
    file = written(tmp_path, "receiver-sharing-server:\n  default:\n    authentication: ${TOKEN:}\n")
    assert load(file, {"TOKEN": "012"}, {}).token == "012"  # noqa: S105 - no secret
    assert load(file, {"TOKEN": '"quoted"'}, {}).token == "quoted"  # noqa: S105 - no secret


def test_two_ports_of_the_systems_choice_may_both_be_0() -> None:
    settings = load(None, {}, {"grpc_port": 0, "http_port": 0})
    assert (settings.grpc_port, settings.http_port) == (0, 0)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.yml", {}, {})


def test_what_is_passed_over_is_in_the_log_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = written(tmp_path, "core:\n  default:\n    prepareThreads: 2\n")
    with caplog.at_level(logging.WARNING):
        load(file, {}, {})
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}: core.default.prepareThreads is a setting of SkyWalking's that means nothing here; it is passed over"
    ]


def test_the_zone_is_an_offset_from_utc(tmp_path: Path) -> None:
    assert load(None, {}, {}).zone_minutes == 0
    assert load(written(tmp_path, 'times: {zone: "-0330"}\n'), {}, {}).zone_minutes == -210
    modules = written(tmp_path, 'core:\n  default:\n    timeZone: "+05:45"\n')
    assert load(modules, {}, {}).zone_minutes == 345
    assert load(modules, {"PYROVER_BACKEND_TIMES_ZONE": "+0800"}, {}).zone_minutes == 480
    for wrong in ("+1900", "0800", "Europe/Berlin"):
        with pytest.raises(SettingsError, match=r'it must be an offset from UTC .* such as "\+0800"'):
            load(None, {"PYROVER_BACKEND_TIMES_ZONE": wrong}, {})
    with pytest.raises(SettingsError, match="in quotes"):
        load(written(tmp_path, "times: {zone: +0530}\n"), {}, {})
