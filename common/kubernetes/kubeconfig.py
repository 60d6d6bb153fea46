"""Access to a cluster by the files that kubectl uses.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. Of several files the first one that names a
cluster, user or context counts, as for kubectl. What is not supported is said instead of left out, since a program
would ask as somebody else then: authProvider (removed from Kubernetes), proxy-url and impersonation.
"""

import base64
import binascii
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from common.client_certificate import load_client_certificate
from common.kubernetes.access import Access, AccessError, Server, bearer, bearer_of, parse_server, read_file, trusting
from common.kubernetes.credential_program import CredentialProgram, Program
from common.yaml_file import YamlFileError, read_mapping

_EXAMPLE: Final = "current-context: production"


class _Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    server: str
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    proxy_url: str = ""


class _User(msgspec.Struct, frozen=True, rename="kebab"):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    exec: Program | None = None
    auth_provider: Any = None
    act_as: str = msgspec.field(default="", name="as")


class _Context(msgspec.Struct, frozen=True):
    cluster: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """An entry, and where it stands."""

    content: Any
    file: Path

    def path(self, name: str) -> Path:
        """A file that it names: below the folder of the file in which it stands."""
        return self.file.parent / name


def from_kubeconfig(files: Sequence[Path], context: str = "") -> Access:
    """As the user of a context, against its cluster.

    Args:
        files: the first one that says something counts.
        context: its name; empty for the current one.

    Raises:
        AccessError: a file or the context cannot be used.
    """
    contents = [(path, _read(path)) for path in files]
    where = ", ".join(map(str, files))
    name = context or next((text for _, content in contents if (text := content.get("current-context"))), "")
    if not name:
        raise AccessError(f"{where}: has no current-context: name a context, or set one (kubectl config use-context)")
    chosen = _entry(contents, "contexts", "context", name, _Context)
    cluster = _entry(contents, "clusters", "cluster", chosen.content.cluster, _Cluster)
    if chosen.content.user:
        user = _entry(contents, "users", "user", chosen.content.user, _User)
    else:
        user = _Found(_User(), chosen.file)
    _refuse_unsupported(cluster, user)
    server = parse_server(cluster.content.server, cluster.content.tls_server_name)
    return _access_of(server, cluster, user)


def _access_of(server: Server, cluster: _Found, user: _Found) -> Access:
    program = CredentialProgram(user.content.exec, user.file) if user.content.exec is not None else None

    def context() -> ssl.SSLContext:
        made = _trust(cluster)
        if program is not None:
            credential = program.credential()
            certificate, key = credential.certificate.encode(), credential.key.encode()
        else:
            certificate = _content(user, "client-certificate", "client_certificate")
            key = _content(user, "client-key", "client_key")
        if certificate or key:
            _show(made, certificate, key, str(user.file))
        return made

    def authorization() -> str:
        said = user.content
        if said.token_file:
            return bearer(user.path(said.token_file))
        if said.token:
            return bearer_of(said.token, str(user.file))
        if said.username:
            return "Basic " + base64.b64encode(f"{said.username}:{said.password}".encode()).decode()
        token = program.credential().token if program is not None else ""
        return bearer_of(token, str(user.file)) if token else ""

    return Access(server, context, authorization)


def _trust(cluster: _Found) -> ssl.SSLContext:
    if cluster.content.insecure_skip_tls_verify:
        made = ssl.create_default_context()
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        return made
    authorities = _content(cluster, "certificate-authority", "certificate_authority")
    return trusting(authorities.decode(errors="replace") if authorities else None, str(cluster.file))


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes, source: str) -> None:
    """Have the client say who it is by a certificate; `source` says where that came from, for the error."""
    if not certificate or not key:
        raise AccessError(f"{source}: a client's certificate and its key are of use only together: name both")
    try:
        load_client_certificate(context, certificate, key)
    except ssl.SSLError as error:
        raise AccessError(f"{source}: the client's certificate and key cannot be used: {error}") from error


def _content(found: _Found, key: str, attribute: str) -> bytes:
    """What an entry has in itself, or in the file that it names."""
    data = getattr(found.content, f"{attribute}_data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise AccessError(f"{found.file}: {key}-data must be in Base64: {error}") from error
    name = getattr(found.content, attribute)
    return read_file(found.path(name)) if name else b""


def _refuse_unsupported(cluster: _Found, user: _Found) -> None:
    for found, key, value in (
        (cluster, "proxy-url", cluster.content.proxy_url),
        (user, "auth-provider", user.content.auth_provider),
        (user, "as", user.content.act_as),
    ):
        if value:
            raise AccessError(f"{found.file}: {key} is not supported; use a context without it")


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_mapping(path, _EXAMPLE)
    except YamlFileError as error:
        raise AccessError(str(error)) from error


def _entry(
    contents: Sequence[tuple[Path, Mapping[str, Any]]], group: str, key: str, name: str, kind: type[msgspec.Struct]
) -> _Found:
    for path, content in contents:
        entries = content.get(group) or []
        if not isinstance(entries, list):
            raise AccessError(f"{path}: {group} must be a list")
        for entry in entries:
            if isinstance(entry, dict) and entry.get("name") == name:
                try:
                    return _Found(msgspec.convert(entry.get(key), kind), path)
                except msgspec.ValidationError as error:
                    raise AccessError(f"{path}: {group}: {name}: {error}") from error
    where = ", ".join(str(path) for path, _ in contents)
    raise AccessError(f"{where}: {group} has no entry named {name!r}")
