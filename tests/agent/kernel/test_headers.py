"""agent/kernel/headers.py: views that compile, and errors that say what does not fit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.kernel import headers
from agent.kernel.btf import VMLINUX, Btf
from agent.kernel.headers import Field, HeadersError, View, render_views, version_code, write_tree
from tests.agent.kernel.btf_writer import STRUCT, TYPEDEF, Writer

needs_btf = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel does not describe itself")
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@needs_btf
@needs_compiler
@pytest.mark.parametrize("machine", headers.MACHINES)
def test_the_views_of_this_kernel_compile(tmp_path: Path, machine: str) -> None:
    """The views assert the place of every field themselves, so that compiling is checking."""
    write_tree(tmp_path, machine, "6.1.0-18-amd64", 4096)
    source = tmp_path / "views.c"
    source.write_text(
        "#include <linux/types.h>\n#include <linux/version.h>\n#include <linux/kconfig.h>\n#include <asm/page.h>\n"
        + render_views(Btf.read())
        + '_Static_assert(LINUX_VERSION_CODE == KERNEL_VERSION(6, 1, 0), "");\n'
        + '_Static_assert(PAGE_SIZE == 4096, "");\n'
        + "long used(struct pt_regs *registers) { return sizeof(*registers) + FILE_REFERENCES_OF_ONE; }\n"
    )
    subprocess.run(
        ["cc", "-nostdinc", "-ffreestanding", "-Wall", "-Werror", "-fsyntax-only", f"-I{tmp_path}/include", source],
        check=True,
    )


@needs_compiler
def test_the_registers_have_the_size_of_the_kernel(tmp_path: Path) -> None:
    """x86_64: 21 registers; arm64: 31 and sp, pc, pstate, orig_x0, syscallno with its padding."""
    for machine, size in (("x86_64", 21 * 8), ("aarch64", 34 * 8 + 16)):
        root = tmp_path / machine
        root.mkdir()
        write_tree(root, machine, "6.1", 4096)
        (root / "size.c").write_text(
            f'#include <linux/types.h>\n_Static_assert(sizeof(struct pt_regs) == {size}, "");\n'
        )
        subprocess.run(["cc", "-nostdinc", "-fsyntax-only", f"-I{root}/include", root / "size.c"], check=True)


def test_an_unknown_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadersError, match="machine s390x is not supported; known are x86_64, aarch64"):
        write_tree(tmp_path, "s390x", "6.1", 4096)


@pytest.mark.parametrize(
    ("release", "numbers"),
    [
        ("6.1.0-18-amd64", (6, 1, 0)),
        ("6.12.117+deb13-cloud-amd64", (6, 12, 117)),
        ("5.15.300", (5, 15, 255)),
        ("6.8", (6, 8, 0)),
        ("6.18.44-fc-v669", (6, 18, 44)),
        ("6.9.0rc1", (6, 9, 0)),
    ],
)
def test_version_code(release: str, numbers: tuple[int, int, int]) -> None:
    assert version_code(release) == numbers


def small_kernel(*, u16_size: int = 2) -> Btf:
    writer = Writer()
    number = writer.add(TYPEDEF, "u16", writer.integer("short", u16_size))
    writer.aggregate(STRUCT, "thing", 16, [("port", number, 32)])
    return Btf(writer.file())


def test_a_view_leaves_out_what_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        headers, "VIEWS", (View("thing", (Field("port", "u16", 2), Field("other", "u16", 2, optional=True))),)
    )
    text = headers._render_view(small_kernel(), headers.VIEWS[0])
    assert "port" in text
    assert "other" not in text


def test_a_kernel_without_network_namespaces_has_nothing_to_tell_them_by() -> None:
    """include/net/net_namespace.h: possible_net_t is a struct without members there, and the fields of it remain."""
    views = tuple(
        View(view.structure, tuple(field for field in view.fields if field.c_type == "possible_net_t"))
        for view in headers.VIEWS
        if any(field.c_type == "possible_net_t" for field in view.fields)
    )
    assert [view.structure for view in views] == ["sock_common", "net_device"]
    writer = Writer()
    empty = writer.add(TYPEDEF, "possible_net_t", writer.aggregate(STRUCT, "", 0, []))
    writer.aggregate(STRUCT, "sock_common", 8, [("skc_net", empty, 64)])
    writer.aggregate(STRUCT, "net_device", 8, [("nd_net", empty, 64)])
    kernel = Btf(writer.file())
    for view in views:
        assert headers._render_view(kernel, view) == f"struct {view.structure} {{\n}};"
    assert not kernel.has("sock_common", "skc_net.net")  # what HAVE_NETWORK_NAMESPACES asks


@pytest.mark.parametrize(
    ("field", "kernel", "says"),
    [
        (Field("other", "u16", 2), small_kernel(), "struct thing of this kernel has no member other"),
        (Field("port", "u16", 2), small_kernel(u16_size=4), "member port of struct thing has 4 bytes"),
    ],
)
def test_a_kernel_that_does_not_fit(monkeypatch: pytest.MonkeyPatch, field: Field, kernel: Btf, says: str) -> None:
    monkeypatch.setattr(headers, "VIEWS", (View("thing", (field,)),))
    with pytest.raises(HeadersError, match=says):
        render_views(kernel)


def test_a_kernel_without_a_reference_count() -> None:
    with pytest.raises(HeadersError, match="neither f_ref nor f_count"):
        list(headers._defines(small_kernel()))
