"""One backend for all attacks: what one leaves behind is there at the next."""

from collections.abc import Iterator

import pytest

from tests.hostile.attacked import Attacked, attacked


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with attacked(tmp_path_factory.mktemp("attacked")) as found:
        yield found
