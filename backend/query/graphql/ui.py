"""Questions of the web client for its menu and its dashboards."""

import uuid
from collections.abc import Callable, Mapping, Sequence

import msgspec

from backend.query.graphql import shapes
from backend.query.graphql.context import Context
from backend.query.graphql.questions import Answer
from backend.query.graphql.service_book import layers_of
from backend.query.graphql.templates import Template, TemplateError

_MESH = "https://istio.io/latest/docs/overview/what-is-istio/"
_KUBERNETES = "https://kubernetes.io/docs/concepts/services-networking/service/"
MENU = (
    (
        ("Kubernetes", "kubernetes", "", "Services of Kubernetes, as their connections tell of them.", _KUBERNETES),
        (("Service", "kubernetes_service", "K8S_SERVICE", "Services and their pods.", _KUBERNETES),),
    ),
    (
        ("Service Mesh", "service_mesh", "", "Services of a service mesh.", _MESH),
        (
            ("Services", "service_mesh_service", "MESH", "Services that the mesh connects.", _MESH),
            ("Data Plane", "service_mesh_data_plane", "MESH_DP", "The proxies of the mesh.", _MESH),
        ),
    ),
)
"""Title, key of its translations, layer, description and link of each line, and of those below it. The layers are those
that agents report."""


def get_menu_items(context: Context) -> list[shapes.MenuItem]:
    """The menu; lines are active whose layer has a service."""
    active = {layer for service in context.sources.services.all() for layer in layers_of(service)}
    return [_item(line, active, below) for line, below in MENU]


def get_all_templates(context: Context, *, including_disabled: bool | None = None) -> list[Template]:
    """Templates, by id."""
    return [template for template in context.sources.templates.all() if including_disabled or not template.disabled]


def get_template(context: Context, *, id: str) -> Template | None:  # noqa: A002 - the operation's name for it
    """The template of an id."""
    return next((template for template in context.sources.templates.all() if template.id == id), None)


def add_template(context: Context, *, setting: Mapping[str, str]) -> shapes.Change:
    """Keep a new template, under an id that nobody has."""

    def new(_: Template | None) -> Template:
        return Template(identity, _checked(setting["configuration"]), _now(context))

    identity = str(uuid.uuid4())
    return _changed(context, identity, new)


def change_template(context: Context, *, setting: Mapping[str, str]) -> shapes.Change:
    """Keep another text of a template; one that was disabled is shown again."""

    def changed(template: Template | None) -> Template:
        return Template(_known(template, setting["id"]).id, _checked(setting["configuration"]), _now(context))

    return _changed(context, setting["id"], changed)


def disable_template(context: Context, *, id: str) -> shapes.Change:  # noqa: A002 - the operation's name for it
    """Show a template no more."""

    def disabled(template: Template | None) -> Template:
        return msgspec.structs.replace(_known(template, id), disabled=True, update_time=_now(context))

    return _changed(context, id, disabled)


def _item(
    line: tuple[str, str, str, str, str], active: set[str], below: Sequence[tuple[str, str, str, str, str]] = ()
) -> shapes.MenuItem:
    title, key, layer, description, link = line
    items = [_item(one, active) for one in below]
    shown = layer in active or any(item.activate for item in items)
    # The client has icons of the lines that have others below them.
    return shapes.MenuItem(title, key if items else "", layer, shown, description, link, key, items)


def _changed(context: Context, identity: str, change: Callable[[Template | None], Template]) -> shapes.Change:
    try:
        context.sources.templates.put(identity, change)
    except TemplateError as error:
        return shapes.Change(identity, status=False, message=str(error))
    return shapes.Change(identity, status=True)


def _known(template: Template | None, identity: str) -> Template:
    if template is None:
        raise TemplateError(f"there is no template with the id {identity!r}: getAllTemplates lists them")
    return template


def _checked(configuration: str) -> str:
    try:
        msgspec.json.decode(configuration)
    except (msgspec.DecodeError, RecursionError) as error:
        raise TemplateError(f"the configuration is not JSON: {error}") from None
    return configuration


def _now(context: Context) -> int:
    return int(context.sources.clock() * 1_000)


QUERIES: Mapping[str, Answer] = {
    "getMenuItems": get_menu_items,
    "getAllTemplates": get_all_templates,
    "getTemplate": get_template,
}
"""By operation."""
MUTATIONS: Mapping[str, Answer] = {
    "addTemplate": add_template,
    "changeTemplate": change_template,
    "disableTemplate": disable_template,
}
"""By operation."""
