"""Targets: files that users write, and what the kernel and the tools of containers write."""

from pathlib import Path

from agent.config_loading import ConfigurationError, load_configuration
from agent.discovery import cgroups, procfs, socket_table
from agent.discovery.container_names import ContainerNames
from agent.discovery.procfs import ProcHost
from agent.tls.mappings import mapped_files
from backend.alarms import loading as alarms
from backend.alarms.errors import AlarmError
from backend.dashboards import reading as dashboards
from backend.dashboards.model import DashboardError
from backend.entities.addresses.table import read_names
from backend.entities.grouping_rules import GroupingError, load_rules
from backend.oal.apdex import ApdexError, load_thresholds
from backend.oal.loader import load
from backend.query.catalog import Catalog
from backend.server import loading as settings
from backend.server.settings import SettingsError
from common.kubernetes.access import AccessError
from common.kubernetes.kubeconfig import from_kubeconfig
from common.yaml_file import YamlFileError
from tests.fuzz.registry import Target, file, text

_ROOT = Path(__file__).parents[2]
_YAML = (
    b"&a [*a]",
    b"*a",
    b"<<: *a",
    b"!!python/object:os.system {}",
    b"? [a]\n: b\n",
    b"- ",
    b": ",
    b"{",
    b"[" * 60,
    b"1" * 5_000,
    b"0x_",
    b"2001-12-14t21:59:43.10-99:99",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\t",
    b"|\n",
    b".nan",
    b"null",
)
_CATALOG = Catalog(load(skip_unsupported=True).definitions)
_ID = b"0123456789abcdef" * 4


def _cgroups(data: bytes) -> None:
    paths = list(procfs._parse_cgroups(data.decode(errors="surrogateescape")))
    for read in (cgroups.container_id, cgroups.pod_uid, cgroups.is_in_kubernetes, cgroups.systemd_unit):
        read(paths)


def _sockets(lines: str) -> None:
    split = lines.splitlines()
    for parse in (socket_table.parse_socket_table, socket_table.parse_fib_trie, socket_table.parse_if_inet6):
        list(parse(split))


def _process(root: Path) -> None:
    """A /proc with one process, whose files are all the same bytes."""
    data = root.read_bytes()
    process = root.parent / "7"
    process.mkdir()
    for name in ("stat", "cgroup", "cmdline", "maps", "comm", "status"):
        (process / name).write_bytes(data)
    host = ProcHost(str(root.parent))
    host.process(7)
    host.sockets()
    list(mapped_files(str(root.parent), 7))


def _containers(path: Path) -> None:
    folder = path.parent / "docker" / "containers" / _ID.decode()
    folder.mkdir(parents=True)
    (folder / "config.v2.json").write_bytes(path.read_bytes())
    ContainerNames(path.parent).name(_ID.decode())


TARGETS = (
    Target(
        "backend-settings",
        file(lambda path: settings.load(path, {"A": "b"}, {})),
        (SettingsError,),
        (
            settings.STANDARD.read_bytes(),
            b"grpc_port: 11800\nstore:\n  kind: clickhouse\n  clickhouse_host: ${A:b}\n",
            b"core:\n  default:\n    gRPCHost: ${A:${SW:1}}\n    timeZone: '+0800'\n",
        ),
        (*_YAML, b"${", b"${A:${", b"}"),
    ),
    Target(
        "agent-configuration",
        file(lambda path: load_configuration(path, {"A": "b"})),
        (ConfigurationError,),
        (
            b"core:\n  backend:\n    addr: a:1\n    authentication: ${A:}\naccess_log:\n  flush:\n    period: 5s\n",
            b"discovery:\n  service_rules:\n    - command_line: '^a(?P<b>.)'\n      service: '{b}'\n      port: 80\n",
        ),
        (*_YAML, b"(?P<a", b"9" * 30 + b"h", b"{0}", b"${A:"),
    ),
    Target(
        "alarms",
        file(lambda path: alarms.load(path, _CATALOG)),
        (AlarmError,),
        (
            (_ROOT / "backend/config/alarm-settings.yml").read_bytes()[:3_000],
            (
                b"rules:\n  a_rule:\n    expression: sum(kubernetes_service_read_cpm > 5) >= 1\n    period: 9\n"
                b"    hooks: [webhook.a]\n"
                b"hooks:\n  webhook:\n    a:\n      is-default: true\n      urls: ['http://a.test/']\n"
            ),
        ),
        _YAML,
    ),
    Target(
        "dashboards",
        lambda data: dashboards.read_content(data, "fuzz.yml"),
        (DashboardError,),
        tuple(path.read_bytes() for path in sorted((_ROOT / "backend/config/dashboards").glob("*.yml"))[:2]),
        _YAML,
    ),
    Target(
        "endpoint-groups",
        file(load_rules),
        (GroupingError,),
        (b"grouping:\n  - service-name: a\n    rules:\n      - endpoint-name: /a/{id}\n        regex: '/a/(.*)'\n",),
        (*_YAML, b"(?=a)", b"{" * 30, b"(" * 60),
    ),
    Target(
        "addresses",
        file(read_names),
        (YamlFileError, SettingsError),
        (b"10.0.0.0/8: a\n'::1':\n  service: b\n",),
        _YAML,
    ),
    Target("apdex", file(load_thresholds), (ApdexError,), (b"default: 500\nshop: 200\n",), _YAML),
    Target(
        "kubeconfig",
        file(lambda path: from_kubeconfig([path])),
        (AccessError,),
        (
            (
                b"current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
                b"clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
                b"users: [{name: u, user: {token: t}}]\n"
            ),
        ),
        (*_YAML, b"server: 'https://[", b"insecure-skip-tls-verify: true", b"exec: {command: /nowhere}"),
    ),
    Target(
        "cgroups",
        _cgroups,
        (),
        (
            b"0::/system.slice/nginx.service\n",
            b"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod01234567_89ab_cdef_0123_456789abcdef.slice/"
            b"cri-containerd-" + _ID + b".scope\n",
            b"12:devices:/docker/"
            + _ID
            + b"\n1:name=systemd:/user.slice/user-0.slice/user@0.service/app-a\\x2db.service\n",
        ),
        (b":", b"/", b"\\x", b"\\xff", b"@", b"a" * 5_000, b".slice", b"-" * 3_000),
    ),
    Target(
        "proc-net",
        text(_sockets),
        (),
        (
            (
                b"sl local rem st tx rx tr tm ret uid timeout inode\n"
                b"0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 123 1 0\n"
            ),
            b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.1\n        /32 host LOCAL\n",
            b"00000000000000000000000000000001 01 80 10 80 lo\n",
        ),
        (b":", b"FFFFFFFFFFFFFFFF", b"|-- ", b"/32 host LOCAL\n", b"-1", b"9" * 30),
    ),
    Target(
        "proc-process",
        file(_process, "input"),
        (),
        (
            b"7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 1\n",
            b"00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/a (deleted)\n",
            b"Name:\ta\nNSpid:\t7\t1\nTgid:\t7\nUid:\t0\t0\t0\t0\n",
        ),
        (b"(", b")", b"\n", b"\x00", b"9" * 5_000, b"-1", b"ffffffffffffffffffffff-0 r-xp "),
    ),
    Target(
        "container-names",
        file(_containers, "input"),
        (),
        (b'{"Name": "/a", "Config": {"Labels": {"b": "c"}}}',),
        (b"{", b"[" * 5_000),
    ),
)
