"""docs/agent.md says what is."""

import re
from pathlib import Path

import pytest

from agent.config import Configuration
from agent.config_loading import load_configuration
from agent.discovery.naming import Naming
from agent.protocols.http1_losses import Loss as Http1Loss
from agent.protocols.http2_losses import Loss as Http2Loss
from tests.agent.synthetic import facts

PAGE = (Path(__file__).parents[2] / "docs" / "agent.md").read_text()
HTTP = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
EXAMPLE, RULES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def _load(tmp_path: Path, text: str) -> Configuration:
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    return load_configuration(file, {})


def test_the_configuration_shown_is_one(tmp_path: Path) -> None:
    shown = _load(tmp_path, EXAMPLE)
    assert shown.core.backend.addr == "backend-0.example:11800,backend-1.example:11800"
    assert (shown.core.cluster_name, shown.core.backend.enable_TLS, shown.access_log.flush.period) == (
        "east",
        True,
        2.0,
    )


@pytest.mark.parametrize("cause", [*Http1Loss, *Http2Loss])
def test_every_loss_of_exchanges_is_explained(cause: str) -> None:
    assert re.search(rf"^\| `{cause}` \| \w", HTTP, re.MULTILINE)


@pytest.mark.parametrize(
    ("executable", "arguments", "service"),
    [
        ("/usr/bin/java", "java -jar shop-cart.jar", "shop-cart"),
        ("/usr/bin/python3.11", "/usr/bin/python3.11 /srv/app/pay.py --port 1", "pay.py"),
        ("/usr/bin/python3.11", "python3 pay.py", "pay.py"),
        ("/opt/search/bin/node", "node", "search"),
        ("/usr/bin/other", "other", "other"),
    ],
)
def test_the_rules_shown_do_what_they_seem_to(tmp_path: Path, executable: str, arguments: str, service: str) -> None:
    naming = Naming("node-1", _load(tmp_path, RULES).rules())
    assert naming.identify(facts(1, executable, arguments=arguments), ()).service == service
