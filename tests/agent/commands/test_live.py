import io

from agent.commands.live import Figures, LiveLine, format_end, format_figures


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _figures(**changes: object) -> Figures:
    values = {
        "events": 12,
        "connections": 3,
        "captured": 4567,
        "delivered": 4567,
        "waiting": 0,
        "losses": {},
        "incomplete": {},
        "troubles": {},
        "problem": "",
    }
    return Figures(**{**values, **changes})  # type: ignore[arg-type]


def test_the_line() -> None:
    assert format_figures(_figures(), 1234.4) == "1,234 events/s | 3 connections | 4,567 logs sent | 0 waiting"


def test_losses_are_named_by_cause_and_left_out_when_there_are_none() -> None:
    line = format_figures(_figures(losses={"ring_full": 1200, "refused": 0, "queue_full": 3}), 0)
    assert line.endswith("| lost: ring_full 1,200, queue_full 3")


def test_what_logs_lack_is_shown() -> None:
    line = format_figures(_figures(incomplete={"peer_unreadable": 2, "bytes_unreadable": 0}), 0)
    assert line.endswith("| incomplete: peer_unreadable 2")


def test_what_went_wrong_on_connections_is_shown_where_something_did() -> None:
    line = format_figures(_figures(troubles={"packages_sent_again": 1234, "packages_dropped": 0}), 0)
    assert line.endswith("0 waiting | packages_sent_again 1,234")


def test_a_problem_is_shown() -> None:
    assert format_figures(_figures(problem="UNAVAILABLE: no route"), 0).endswith("| UNAVAILABLE: no route")


def test_the_end_says_what_became_of_everything() -> None:
    done = _figures(captured=5000, delivered=4567, losses={"refused": 433, "shutdown": 0})
    assert format_end(done) == "5,000 logs captured, 4,567 delivered, lost: refused 433"
    assert format_end(_figures(captured=1, delivered=1)) == "1 logs captured, 1 delivered"


def test_the_end_says_what_waits_and_why() -> None:
    done = _figures(captured=5000, delivered=4000, waiting=1000)
    told = format_end(done, ["not delivered: gone", "not delivered: refused"])
    assert told == (
        "5,000 logs captured, 4,000 delivered, 1,000 kept for the next start\n"
        "not delivered: gone\nnot delivered: refused"
    )


def test_a_terminal_has_one_line_that_is_written_again() -> None:
    stream = _Terminal()
    line = LiveLine(stream)
    line.show(_figures())
    line.show(_figures())
    line.end()
    assert stream.getvalue().count("\r\x1b[2K") == 2
    assert stream.getvalue().count("\n") == 1


def test_elsewhere_each_is_a_line_of_its_own() -> None:
    stream = io.StringIO()
    line = LiveLine(stream)
    line.show(_figures())
    line.show(_figures())
    line.end()
    assert len(stream.getvalue().splitlines()) == 2
    assert "\r" not in stream.getvalue()
    assert not line.due()
