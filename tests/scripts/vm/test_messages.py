"""The lines between a machine and the one who booted it."""

from hypothesis import given
from hypothesis import strategies as st

from scripts.vm.messages import MARK, Message, Outcome, Step, read, write

messages = st.builds(
    Message, st.sampled_from(Step), st.text(), st.text(), st.sampled_from(Outcome), st.floats(0, 1e6), st.text()
)


@given(messages)
def test_what_is_written_is_read(message: Message) -> None:
    found = [read(line) for line in write(message).split("\n") if line]
    assert found == [message]


@given(messages, st.text().filter(lambda text: "\n" not in text))
def test_a_line_that_another_writer_left_open_hides_nothing(message: Message, before: str) -> None:
    lines = (before + write(message)).split("\n")
    assert [found for line in lines if (found := read(line))] == [message]


@given(messages, st.data())
def test_a_line_that_is_cut_is_passed_over(message: Message, data: st.DataObject) -> None:
    line = write(message).strip("\n")
    assert read(line[: data.draw(st.integers(0, len(line) - 1))]) is None


@given(st.text())
def test_other_lines_are_passed_over(text: str) -> None:
    assert read(text) is None
    assert read(MARK + text) is None


def test_an_object_of_other_fields_is_passed_over() -> None:
    assert read(MARK + '{"step": "done"}') is None
    assert read(write(Message(Step.DONE)).strip().replace('"done"', '"dance"')) is None
