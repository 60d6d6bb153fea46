"""The part of the configuration that says what processes of a cluster are called, and of which something is told."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from agent.config_durations import Duration
from agent.discovery.kubernetes.analyzers import Analyzer
from agent.discovery.kubernetes.templates import Filter, Template, TemplateError

_CANONICAL: Final = (
    '{{.Pod.LabelValue "service.istio.io/canonical-name,app.kubernetes.io/name,app"}}.{{.Pod.Namespace}}'
)
_PROXY: Final = '.Pod.HasContainer "istio-proxy"'


class AnalyzerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Names the processes in pods of which all filters hold. Every text is a template (docs/discovery.md)."""

    active: bool = True
    filters: tuple[str, ...] = ()
    layer: str = "K8S_SERVICE"
    service_name: str
    instance_name: str = "{{.Pod.Name}}"
    process_name: str = "{{.Process.ExeName}}"
    labels: str = ""
    """Separated by commas."""


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

    active: bool = False
    node_name: str = ""
    """As the cluster calls this node; `node.name` when empty."""
    namespaces: str = ""
    """Separated by commas: only pods of these; empty for all."""
    host_processes: bool = False
    """Whether processes outside of pods are told of as well."""
    kubeconfig: str = ""
    """File that says how to ask the API server; empty for the service account of the agent's pod."""
    analyzers: tuple[AnalyzerSettings, ...] = ANALYZERS


class ProcessDiscovery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the backend is told of processes, and by whom they are named."""

    heartbeat_period: Duration = Duration(20.0)
    properties_report_period: Annotated[int, Meta(ge=1)] = 10
    """Each so many heartbeats everything is told again."""
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
