from pathlib import Path

from agent.kernel.drop_reasons import read_drop_reasons
from tests.agent.kernel.btf_writer import Writer
from tests.agent.kernel.test_btf import needs_btf


def test_names_are_those_of_the_enum_without_their_prefix(tmp_path: Path) -> None:
    writer = Writer()
    writer.integer("u32", 4)
    writer.enum("other", {"SKB_DROP_REASON_OTHER": 1})
    writer.enum("skb_drop_reason", {"SKB_CONSUMED": 1, "SKB_DROP_REASON_TCP_CSUM": 5, "SKB_DROP_REASON_MAX": 77})
    file = tmp_path / "vmlinux"
    file.write_bytes(writer.file())
    assert read_drop_reasons(file) == {1: "SKB_CONSUMED", 5: "TCP_CSUM", 77: "MAX"}


def test_a_kernel_that_does_not_say_has_no_names(tmp_path: Path) -> None:
    assert read_drop_reasons(tmp_path / "absent") == {}
    file = tmp_path / "vmlinux"
    file.write_bytes(Writer().file())
    assert read_drop_reasons(file) == {}


@needs_btf
def test_this_kernel_knows_the_common_reasons() -> None:
    names = read_drop_reasons()
    assert {"NOT_SPECIFIED", "NETFILTER_DROP", "TCP_CSUM"} <= set(names.values())
