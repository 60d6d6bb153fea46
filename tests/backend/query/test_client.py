import pytest

from backend.commands.query import TOKEN
from backend.query import shapes
from backend.query.client import AskingError, Client
from backend.storage.memory import MemoryStorage
from tests.backend.console.served import serving

SECRET = "open sesame"  # noqa: S105 - it opens nothing


def test_a_backend_that_asks_for_a_token_answers_who_has_it() -> None:
    with serving(MemoryStorage(), token=SECRET) as address:
        answer = Client(address, SECRET).get(shapes.Services, "/api/services", {})
        assert answer.services == []
        assert Client(f"http://{address}", SECRET).get(shapes.Services, "/api/services", {}).services == []
        for token in ("", "open", "of agents"):
            with pytest.raises(AskingError) as caught:
                Client(address, token).get(shapes.Services, "/api/services", {})
            assert "a token is needed" in caught.value.error
            assert TOKEN in caught.value.hint
