"""Tokens and certificates as files, out of Secrets: the programs read them again when they change."""

from typing import Final

from deploy.manifests.nodes import Condition, Node, Noted, When

TOKENS: Final = "pyrover-tokens"
"""Secret of the tokens: `token` of agents, `http-token` of people, and `metrics-token`, one of these, of Prometheus."""
CERTIFICATE: Final = "pyrover-backend-tls"
"""Secret of the backend's certificate, as cert-manager writes it: `tls.crt`, `tls.key`, `ca.crt`."""

TOKENS_ARE_FILES: Final = (Condition("security.tokens", "files"),)
TOKEN_IS_A_VARIABLE: Final = (Condition("security.tokens", "variable"),)
TLS: Final = (Condition("security.tls", "files"),)

_FOLDER: Final = "/secrets"
_READABLE: Final = 0o440


def of_the_backend() -> list[Node]:
    """Variables that name its files."""
    return [
        *_named(TOKENS_ARE_FILES, {f"PYROVER_BACKEND_{name}_FILE": path("tokens", key) for name, key in _TOKENS}),
        *_named(
            TLS,
            {
                f"PYROVER_BACKEND_{port}_TLS_{name}": value
                for port in ("GRPC", "HTTP")
                for name, value in (
                    ("ENABLED", "true"),
                    ("CERTIFICATE", path("tls", "tls.crt")),
                    ("KEY", path("tls", "tls.key")),
                )
            },
        ),
    ]


def of_the_agent() -> list[Node]:
    """Variables that name its files."""
    return [
        *_named(TOKENS_ARE_FILES, {"ROVER_BACKEND_AUTHENTICATION_FILE": path("tokens", "token")}),
        *_named(TLS, {"ROVER_BACKEND_ENABLE_TLS": "true", "ROVER_BACKEND_CA_PEM_PATH": path("authorities", "ca.crt")}),
    ]


def path(volume: str, key: str) -> str:
    """Where a key of a Secret is."""
    return f"{_FOLDER}/{volume}/{key}"


def volumes_of_the_backend() -> list[Node]:
    """Its Secrets."""
    return [
        When(TOKENS_ARE_FILES, _volume("tokens", TOKENS, [key for _, key in _TOKENS])),
        When(TLS, _volume("tls", CERTIFICATE, ["tls.crt", "tls.key"])),
    ]


def volumes_of_the_agent() -> list[Node]:
    """Its Secrets, or what it needs of them."""
    return [
        When(TOKENS_ARE_FILES, Noted("Not what people need.", _volume("tokens", TOKENS, ["token"]))),
        When(TLS, Noted("By whom the backend is vouched for.", _volume("authorities", CERTIFICATE, ["ca.crt"]))),
    ]


def mounts(*names: str) -> list[Node]:
    """Of these volumes. Each as a folder: a file alone would not be replaced with its Secret."""
    tests = {"tokens": TOKENS_ARE_FILES}
    return [
        When(tests.get(name, TLS), {"name": name, "mountPath": f"{_FOLDER}/{name}", "readOnly": True}) for name in names
    ]


_TOKENS: Final = (("TOKEN", "token"), ("HTTP_TOKEN", "http-token"))


def _named(tests: tuple[Condition, ...], variables: dict[str, str]) -> list[Node]:
    return [When(tests, {"name": name, "value": value}) for name, value in variables.items()]


def _volume(name: str, secret: str, keys: list[str]) -> Node:
    items = [{"key": key, "path": key} for key in keys]
    return {"name": name, "secret": {"secretName": secret, "defaultMode": _READABLE, "items": items}}
