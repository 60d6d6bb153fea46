"""How a developer narrows `make vm-test`."""

import pytest

from scripts.vm.__main__ import Asked, parse_arguments, plan_for
from scripts.vm.plan import Plan


def test_nothing_asked_for_is_every_kernel() -> None:
    assert parse_arguments(["--kernels", "", "--modes", ""]) == Asked(("6.1", "6.12"), (), (), ())


def test_the_rest_is_for_pytest() -> None:
    arguments = ["--kernels", "6.1", "--modes", "kprobe fentry", "tests/vm/test_x.py", "-k", "a or b", "-x"]
    expected = Asked(("6.1",), ("kprobe", "fentry"), ("tests/vm/test_x.py", "-k", "a or b", "-x"), ())
    assert parse_arguments(arguments) == expected


def test_a_command_runs_instead_of_gate_and_tests() -> None:
    asked = parse_arguments(["--kernels", "6.12", "--run", "bench.stage_cost --rounds 1"])
    assert plan_for("6.12", asked) == Plan((), (), (), ("bench.stage_cost", "--rounds", "1"))


@pytest.mark.parametrize("arguments", [["--kernels", "6.2"], ["--modes", "uprobe"]])
def test_an_unknown_name_is_refused_with_those_there_are(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(arguments)
    assert "there are" in capsys.readouterr().err
