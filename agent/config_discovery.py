"""The part of the configuration that says what processes of a cluster are called, and of which something is told."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from agent.config_durations import Duration
from agent.config_key import Key
from agent.discovery.kubernetes.analyzers import Analyzer
from agent.discovery.kubernetes.templates import Filter, Template, TemplateError

_CANONICAL: Final = (
    '{{.Pod.LabelValue "service.istio.io/canonical-name,app.kubernetes.io/name,app"}}.{{.Pod.Namespace}}'
)
_PROXY: Final = '.Pod.HasContainer "istio-proxy"'


class AnalyzerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Names the processes in pods of which all filters hold. Every text is a template (docs/discovery.md)."""

    active: Annotated[bool, Key("", "whether it is asked")] = True
    filters: Annotated[tuple[str, ...], Key("", "all have to hold")] = ()
    layer: Annotated[str, Key("", "layer of the service")] = "K8S_SERVICE"
    service_name: Annotated[str, Key("", "name of the service")]
    instance_name: Annotated[str, Key("", "name of the instance")] = "{{.Pod.Name}}"
    process_name: Annotated[str, Key("", "name of the process")] = "{{.Process.ExeName}}"
    labels: Annotated[str, Key("", "separated by commas")] = ""


ANALYZERS: Final = (
    AnalyzerSettings(
        filters=(_PROXY, 'eq .Container.Name "istio-proxy"'),
        layer="MESH_DP",
        service_name=_CANONICAL,
        labels="mesh-envoy",
    ),
    AnalyzerSettings(
        filters=(_PROXY, 'ne .Container.Name "istio-proxy"'),
        layer="MESH",
        service_name=_CANONICAL,
        labels="mesh-application",
    ),
    AnalyzerSettings(
        filters=(".Pod.HasServiceName",),
        service_name="{{.Pod.ServiceName}}.{{.Pod.Namespace}}",
        labels="k8s-service",
    ),
)
"""Those of SkyWalking Rover."""


class Kubernetes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The cluster that this host is a node of."""

    active: Annotated[
        bool,
        Key("ROVER_PROCESS_DISCOVERY_KUBERNETES_ACTIVE", "whether processes are named by the pods that they are in"),
    ] = False
    node_name: Annotated[
        str,
        Key("", "as the cluster calls this node, `spec.nodeName`; empty: `node.name`, which has a variable for it"),
    ] = ""
    namespaces: Annotated[
        str,
        Key("ROVER_PROCESS_DISCOVERY_KUBERNETES_NAMESPACES", "separated by commas: only pods of these; empty: all"),
    ] = ""
    host_processes: Annotated[
        bool,
        Key("ROVER_PROCESS_DISCOVERY_KUBERNETES_HOST_PROCESSES", "whether processes outside of pods are told of, too"),
    ] = False
    kubeconfig: Annotated[
        str,
        Key(
            "ROVER_PROCESS_DISCOVERY_KUBERNETES_KUBECONFIG",
            "file that says how to ask the API server; empty: by the service account of the agent's pod",
        ),
    ] = ""
    analyzers: Annotated[
        tuple[AnalyzerSettings, ...],
        Key("", "who names processes, in order; every text is a template (discovery.md)"),
    ] = ANALYZERS


class ProcessDiscovery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the backend is told of processes, and by whom they are named."""

    heartbeat_period: Annotated[
        Duration,
        Key("ROVER_PROCESS_DISCOVERY_HEARTBEAT_PERIOD", "how often the backend is told which processes there are"),
    ] = Duration(20.0)
    properties_report_period: Annotated[
        int,
        Meta(ge=1),
        Key("ROVER_PROCESS_DISCOVERY_PROPERTIES_REPORT_PERIOD", "each so many heartbeats everything is told again"),
    ] = 10
    kubernetes: Kubernetes = Kubernetes()


def analyzers(settings: Kubernetes) -> tuple[Analyzer, ...]:
    """The active analyzers, read.

    Raises:
        msgspec.ValidationError: a template cannot be read; the message says where and why.
    """
    for at, each in enumerate(settings.analyzers):
        texts = {"layer": each.layer, "service_name": each.service_name, "instance_name": each.instance_name}
        texts |= {"process_name": each.process_name, "labels": each.labels}
        for name, text in texts.items():
            _check(Template, text, f"analyzers[{at}].{name}")
        for number, text in enumerate(each.filters):
            _check(Filter, text, f"analyzers[{at}].filters[{number}]")
    return tuple(
        Analyzer.read(
            each.filters,
            each.layer,
            service=each.service_name,
            instance=each.instance_name,
            process=each.process_name,
            labels=each.labels,
        )
        for each in settings.analyzers
        if each.active
    )


def _check(kind: type[Template] | type[Filter], text: str, where: str) -> None:
    try:
        kind(text)
    except TemplateError as error:
        place = f"$.process_discovery.kubernetes.{where}"
        raise msgspec.ValidationError(f"Not a template: {error} - at `{place}`") from error
