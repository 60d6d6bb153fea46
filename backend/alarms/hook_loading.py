"""Reads the hooks of an alarm settings file. No message has a value of a hook: any may be a secret."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.alarms.calling import address_of
from backend.alarms.errors import AlarmError
from backend.alarms.fields import Fields
from backend.alarms.grpc_hook import GrpcHook
from backend.alarms.hooks import Hook
from backend.alarms.pagerduty import DEFAULT_TEMPLATE as PAGERDUTY_TEMPLATE
from backend.alarms.pagerduty import URL, PagerdutyHook
from backend.alarms.sending import check_headers, target_of
from backend.alarms.slack import DEFAULT_TEMPLATE, BlockTemplate, SlackHook
from backend.alarms.webhook import Webhook

MAXIMUM_HOOKS = 100
"""Most hooks of a file."""
MAXIMUM_ADDRESSES = 20
"""Most addresses of a hook."""
LARGEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a file."""

    by_name: Mapping[str, Hook]
    """By type and name, such as webhook.default."""
    defaults: tuple[str, ...]
    """Names of those that are told of alarms whose rule names no hooks."""


def load_hooks(content: Fields) -> Hooks:
    """The hooks of a file. Raises AlarmError."""
    by_name: dict[str, Hook] = {}
    defaults: list[str] = []
    for kind in content.names():
        make = _KINDS.get(kind)
        if make is None:
            raise AlarmError(f"{content.place(kind)}: there are no such hooks: use {', '.join(_KINDS)}")
        of_kind = content.section(kind)
        for name in of_kind.names():
            fields = of_kind.section(name)
            hook = f"{kind}.{name}"
            if fields.flag("is-default"):
                defaults.append(hook)
            by_name[hook] = make(fields)
            fields.end()
    if len(by_name) > MAXIMUM_HOOKS:
        raise AlarmError(f"{content.where}: there are {len(by_name):,} hooks, more than {MAXIMUM_HOOKS}: merge some")
    return Hooks(by_name, tuple(defaults))


def _webhook(fields: Fields) -> Hook:
    urls, recovery_urls = _urls(fields, "urls"), _urls(fields, "recovery-urls")
    if not urls and not recovery_urls:
        raise AlarmError(f"{fields.where}: there is no address: give it urls")
    headers = fields.texts_by_name("headers")
    with fields.at("headers"):
        check_headers(headers)
    return Webhook(urls, recovery_urls, headers)


def _slack(fields: Fields) -> Hook:
    urls = _urls(fields, "webhooks")
    if not urls:
        raise AlarmError(f"{fields.where}: there is no address: give it webhooks")
    recovery = fields.text("recovery-text-template")
    template = fields.text("text-template") or DEFAULT_TEMPLATE
    with fields.at("text-template"):
        block = BlockTemplate(template)
    with fields.at("recovery-text-template"):
        return SlackHook(urls, block, BlockTemplate(recovery) if recovery else None)


def _pagerduty(fields: Fields) -> Hook:
    keys = fields.texts("integration-keys")
    if not keys:
        raise AlarmError(f"{fields.where}: there is no integration: give it integration-keys")
    _few(fields, "integration-keys", keys)
    url = fields.text("url") or URL
    with fields.at("url"):
        target_of(url)
    template = fields.text("text-template") or PAGERDUTY_TEMPLATE
    if "%s" not in template:
        raise AlarmError(f"{fields.place('text-template')}: it has no %s, for which the alarm is filled in: add it")
    return PagerdutyHook(keys, template, url)


def _grpc(fields: Fields) -> Hook:
    host = fields.text("target-host")
    if not host:
        raise AlarmError(f"{fields.where}: there is no server: give it target-host and target-port")
    port = fields.whole("target-port", 0, 1, LARGEST_PORT)
    if not port:
        raise AlarmError(f"{fields.where}: there is no port: give it target-port")
    with fields.at("target-host"):
        return GrpcHook(address_of(host, port))


def _urls(fields: Fields, name: str) -> tuple[str, ...]:
    urls = fields.texts(name)
    _few(fields, name, urls)
    for url in urls:
        with fields.at(name):
            target_of(url)
    return urls


def _few(fields: Fields, name: str, values: tuple[str, ...]) -> None:
    if len(values) > MAXIMUM_ADDRESSES:
        raise AlarmError(
            f"{fields.place(name)}: there are {len(values):,}, more than {MAXIMUM_ADDRESSES}: make further hooks"
        )


_KINDS: Mapping[str, Callable[[Fields], Hook]] = {
    "webhook": _webhook,
    "slack": _slack,
    "pagerduty": _pagerduty,
    "gRPC": _grpc,
}
"""By type."""
