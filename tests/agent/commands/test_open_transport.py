"""The configured backend as a transport, or a word about what is wrong with it."""

from pathlib import Path

import pytest

from agent.commands.run import open_transport
from agent.config import Backend, ConfigurationError


def test_a_backend_in_plain_text_is_not_asked_for_before_there_is_a_batch() -> None:
    open_transport(Backend(addr="no-such-name.invalid:11800", authentication="secret")).close()


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (Backend(addr="backend"), "core.backend: 'backend' is not HOST:PORT, such as "),
        (Backend(authentication="ä"), "core.backend: the authentication must be printable ASCII"),
        (Backend(authentication="a\r\nb"), "core.backend: the authentication must be printable ASCII"),
        (Backend(enable_TLS=True, ca_pem_path="/no/such/file"), "core.backend: /no/such/file cannot be read: No such"),
        (Backend(enable_TLS=True, ca_pem_path="{garbage}"), "core.backend: the certificates of the authorities cannot"),
        (Backend(enable_TLS=True, client_pem_path="{garbage}"), "core.backend: a client's certificate and its key are"),
    ],
)
def test_what_cannot_be_used_is_named(backend: Backend, message: str, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"garbage")
    settings = {name: getattr(backend, name) for name in backend.__struct_fields__}
    paths = {name: value.format(garbage=garbage) for name, value in settings.items() if name.endswith("_path")}
    with pytest.raises(ConfigurationError) as caught:
        open_transport(Backend(**settings | paths))
    assert str(caught.value).startswith(message)
