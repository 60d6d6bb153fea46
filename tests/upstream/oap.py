"""Apache SkyWalking's own backend (OAP), started and stopped.

Its programs come as libraries, without the files of settings that its distribution has: these are written here, with
what access logs need and no more. Metrics are made by the script of this project, as both have the same grammar.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from backend.entities.components import HTTP, HTTPS, MUTUAL_TLS, TCP, TLS, ZTUNNEL
from tests.e2e.programs import ROOT, program
from tests.ports import free_ports
from tests.upstream.asking import Asked, Unanswered
from tests.waiting import until

LIBRARIES: Final = ROOT / ".upstream" / "libraries"
SCRIPT: Final = ROOT / "backend" / "config" / "oal" / "ebpf.oal"
PERSISTED_SECONDS: Final = 3
"""How often it stores what it has added up."""
_VERSION: Final = "query { result: version }"
_COMPONENTS: Final = {"http": HTTP, "tcp": TCP, "https": HTTPS, "tls": TLS, "mtls": MUTUAL_TLS, "ztunnel": ZTUNNEL}
_LOGGING: Final = """<Configuration status="WARN">
  <Appenders><Console name="Console"><PatternLayout pattern="%d %c{1} %p %m%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="Console"/></Root></Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class Oap:
    """A running one.

    Attributes:
        grpc: Where it takes access logs, HOST:PORT.
        graphql: Answers questions.
        log: What it says.
    """

    grpc: str
    graphql: Asked
    log: Path

    def until_answering(self, is_alive: Callable[[], bool]) -> None:
        """Wait until it answers questions; its programs take a while to start."""
        until(lambda: not is_alive() or self.answers(), f"SkyWalking's backend answers; its log: {self.log}", pause=0.2)
        assert is_alive(), f"SkyWalking's backend ended; its log ends with\n{self.log.read_text()[-4000:]}"

    def answers(self) -> bool:
        """Whether it answers questions now."""
        try:
            self.graphql(_VERSION)
        except Unanswered:
            return False
        return True


@contextmanager
def oap(folder: Path, cluster: str) -> Iterator[Oap]:
    """One with an empty store in memory, ready.

    Args:
        folder: For its settings and its log.
        cluster: URL of the API server that it is to ask.
    """
    grpc, rest = free_ports(2)
    settings = folder / "settings"
    write_settings(settings, grpc, rest)
    log = folder / "oap.log"
    environment = os.environ | {
        "KUBERNETES_MASTER": cluster,
        "KUBERNETES_AUTH_TRYKUBECONFIG": "false",
        "KUBERNETES_AUTH_TRYSERVICEACCOUNT": "false",
    }
    command = ["java", "-Xmx2g", "-cp", f"{settings}:{LIBRARIES}/*"]
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab"))
        process = stack.enter_context(
            program(
                [*command, "org.apache.skywalking.oap.server.starter.OAPServerStartUp"],
                stdout=output,
                stderr=output,
                env=environment,
            )
        )
        running = Oap(f"127.0.0.1:{grpc}", Asked(f"http://127.0.0.1:{rest}/graphql"), log)
        running.until_answering(lambda: process.poll() is None)
        yield running


def write_settings(folder: Path, grpc: int, rest: int) -> None:
    """Everything that it reads when it starts."""
    (folder / "oal").mkdir(parents=True)
    (folder / "openapi-definitions").mkdir()
    (folder / "oal" / "disable.oal").write_text("// nothing\n")
    (folder / "oal" / "core.oal").write_text("// nothing\n")
    # Release 10.1 knows no decorators; they say who is told of values, and change none.
    (folder / "oal" / "ebpf.oal").write_text(re.sub(r'\.decorator\("\w+"\)', "", SCRIPT.read_text()))
    (folder / "log4j2.xml").write_text(_LOGGING)
    files: dict[str, object] = {
        "application.yml": _application(grpc, rest),
        "endpoint-name-grouping.yml": {"grouping": []},
        "service-apdex-threshold.yml": {"default": 500},
        "alarm-settings.yml": {"rules": {}, "hooks": {}},
        "component-libraries.yml": {name: {"id": number, "languages": "All"} for name, number in _COMPONENTS.items()},
    }
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))


def _application(grpc: int, rest: int) -> Mapping[str, object]:
    core = {
        "role": "Mixed",
        "restHost": "127.0.0.1",
        "restPort": rest,
        "restContextPath": "/",
        "gRPCHost": "127.0.0.1",
        "gRPCPort": grpc,
        "downsampling": ["Hour", "Day"],
        "persistentPeriod": PERSISTED_SECONDS,
        "enableDataKeeperExecutor": False,
    }
    database = {
        "properties": {
            "jdbcUrl": "jdbc:h2:mem:skywalking-oap-db;DB_CLOSE_DELAY=-1;DATABASE_TO_UPPER=FALSE",
            "dataSource.user": "sa",
        },
        "metadataQueryMaxSize": 5000,
        "maxSizeOfBatchSql": 100,
        "asyncBatchPersistentPoolSize": 1,
    }
    recognition = {"uriRecognitionServerAddr": "", "uriRecognitionServerPort": 17128}
    modules: dict[str, tuple[str, object]] = {
        "cluster": ("standalone", None),
        "core": ("default", core),
        "storage": ("h2", database),
        "receiver-sharing-server": ("default", None),
        "receiver-ebpf": ("default", None),
        "query": ("graphql", {"maxQueryComplexity": 1_000_000}),
        "alarm": ("default", None),
        "telemetry": ("none", None),
        "configuration": ("none", None),
        "ai-pipeline": ("default", recognition),
    }
    return {module: {"selector": provider, provider: given} for module, (provider, given) in modules.items()}
