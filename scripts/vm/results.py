"""What the machines told, as lines for people, and whether all is well."""

from dataclasses import dataclass, field
from typing import Final

from scripts.vm.messages import Message, Outcome, Step

STAGES_FOLDER: Final = "tests/vm/"
NO_PROBES: Final = "kprobes or fentry"
"""How the reason of such a test ends that tracepoints alone are not enough for."""
_WORDS: Final = {Outcome.PASSED: "passed", Outcome.FAILED: "FAILED", Outcome.SKIPPED: "skipped"}


@dataclass
class Results:
    """Of one kernel."""

    series: str
    ended: list[Message] = field(default_factory=list)
    current: str = ""
    """What began last and did not end."""
    is_done: bool = False

    def add(self, message: Message) -> str | None:
        """Take a message; the line to print for it."""
        if message.step is Step.DONE:
            self.is_done = True
            return None
        if message.step is Step.BEGIN:
            self.current = f"{message.mode} {message.name}"
            return None
        self.current = ""
        message = held_to_its_place(message)
        self.ended.append(message)
        line = (
            f"{self.series:<5} {message.mode:<11}{_WORDS[message.outcome]:<8}{message.seconds:6.1f} s  {message.name}"
        )
        if message.outcome is Outcome.SKIPPED or (message.text and "::" not in message.name):
            line += f": {message.text}"
        return line

    @property
    def final(self) -> list[Message]:
        """What was said last of each check or test: those that fail run twice."""
        return list({(message.mode, message.name): message for message in self.ended}.values())

    @property
    def failed(self) -> list[Message]:
        """What went wrong."""
        return [message for message in self.final if message.outcome is Outcome.FAILED]

    def summary(self) -> list[str]:
        """A line for each mode."""
        found = []
        for mode in dict.fromkeys(message.mode for message in self.ended):
            of_mode = [message for message in self.final if message.mode == mode]
            counts = [
                f"{sum(message.outcome is outcome for message in of_mode)} {outcome.value}"
                for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED)
            ]
            tries = [message for message in self.ended if message.mode == mode]
            minutes = sum(message.seconds for message in tries) / 60
            again = f", {len(tries) - len(of_mode)} ran twice" if len(tries) > len(of_mode) else ""
            found.append(f"{self.series:<5} {mode:<11}{', '.join(counts)}{again} in {minutes:.1f} min")
        return found

    def failures(self) -> list[str]:
        """Everything that is known about each failure."""
        found = []
        for message in self.failed:
            found += ["", f"---- Linux {self.series}, {message.mode}: {message.name}", message.text]
        return found


def held_to_its_place(message: Message) -> Message:
    """The tests that were written for the machines must run there: skipped is failed, but for what the mode lacks."""
    is_without_probes = message.mode == "tracepoint" and message.text.endswith(NO_PROBES)
    if message.outcome is Outcome.SKIPPED and message.name.startswith(STAGES_FOLDER) and not is_without_probes:
        text = f"skipped ({message.text}), but the machines have all that these tests need"
        return Message(message.step, message.mode, message.name, Outcome.FAILED, message.seconds, text)
    return message
