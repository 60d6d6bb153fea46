import logging

import pytest

from agent.config_level import Level, apply


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("trace", logging.DEBUG),
        ("DEBUG", logging.DEBUG),
        ("Info", logging.INFO),
        ("WARN", logging.WARNING),
        ("warning", logging.WARNING),
        ("ERROR", logging.ERROR),
        ("FATAL", logging.CRITICAL),
        ("PANIC", logging.CRITICAL),
    ],
)
def test_levels(name: str, number: int) -> None:
    assert Level.parse(name).number == number


@pytest.mark.parametrize("value", ["", "LOUD", 5, None, True])
def test_what_is_no_level(value: object) -> None:
    with pytest.raises(ValueError, match="is no level"):
        Level.parse(value)


@pytest.mark.usefixtures("kept_levels")
def test_messages_below_the_level_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    apply(Level.parse("ERROR"))
    for name in ("agent.reporting.reporter", "common.grpc.failover"):
        logging.getLogger(name).warning("not told")
        logging.getLogger(name).error("told")
    logging.getLogger("another").warning("told")
    assert caplog.messages == ["told"] * 3
