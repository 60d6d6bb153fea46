import pytest

from agent.discovery.cgroups import container_id, container_ids, is_in_kubernetes, pod_uid, systemd_unit

ID = "3f1c9a" + "0123456789abcdef" * 4
ID = ID[:64]
SHORT = ID[:12]


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/docker/{ID}", SHORT),
        (f"/system.slice/docker-{ID}.scope", SHORT),
        (f"/kubepods/burstable/pod0e3/{ID}", SHORT),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0e3.slice/cri-containerd-{ID}.scope", SHORT),
        (f"/system.slice/containerd.service/kubepods-besteffort-pod0e3.slice:cri-containerd:{ID}", SHORT),
        (f"/kubepods.slice/kubepods-pod0e3.slice/crio-{ID}.scope", SHORT),
        (f"/kubepods.slice/kubepods-pod0e3.slice/crio-{ID}.scope/container", SHORT),
        (f"/machine.slice/libpod-{ID}.scope", SHORT),
        (f"/machine.slice/libpod-{ID}.scope/container", SHORT),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container", SHORT),
        (f"/system.slice/web.service/libpod-payload-{ID}", SHORT),
        (f"/docker/{ID}/system.slice/nginx.service", SHORT),
        (f"/machine.slice/libpod-conmon-{ID}.scope", ""),
        (f"/kubepods.slice/kubepods-pod0e3.slice/crio-conmon-{ID}.scope", ""),
        ("/system.slice/nginx.service", ""),
        (f"/docker/{ID[:63]}", ""),
        (f"/docker/{ID}f", ""),
        ("/", ""),
    ],
)
def test_container_id(path: str, container: str) -> None:
    assert container_id([path]) == container


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1"),
        (r"/system.slice/systemd-fsck@dev-disk-by\x2duuid.service", "systemd-fsck@dev-disk-by-uuid"),
        ("/system.slice/postgresql.service/worker", "postgresql"),
        ("/user.slice/user-1000.slice/session-3.scope", ""),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", ""),
        ("/user.slice/user-1000.slice/user@1000.service", ""),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-1.service", "app-firefox-1"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-x.scope", ""),
        ("/system.slice", ""),
        ("/init.scope", ""),
        (f"/docker/{ID}/system.slice/nginx.service", "nginx"),
    ],
)
def test_systemd_unit(path: str, unit: str) -> None:
    assert systemd_unit([path]) == unit


def test_the_first_path_that_tells_something_counts() -> None:
    assert systemd_unit(["/", "/user.slice", "/system.slice/a.service"]) == "a"
    assert container_id(["/", f"/docker/{ID}"]) == SHORT


UID = "0e3b1c9a-7c1d-4c51-9d3e-1f2a3b4c5d6e"
STATIC = "0123456789abcdef" * 2
UNDERSCORES = UID.replace("-", "_")
KIND = "9" * 64


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        (f"/kubepods/pod{UID}/{ID}", UID),
        (f"/kubepods/burstable/pod{UID}/{ID}", UID),
        (f"/kubepods/besteffort/pod{STATIC}/{ID}", STATIC),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice/cri-containerd-{ID}.scope", UID),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORES}.slice/crio-{ID}.scope", UID),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/docker-{ID}.scope", STATIC),
        (f"/system.slice/containerd.service/kubepods-besteffort-pod{UNDERSCORES}.slice:cri-containerd:{ID}", UID),
        (f"/docker/{KIND}/kubelet/kubepods/burstable/pod{UID}/{ID}", UID),
        (
            f"/system.slice/docker-{KIND}.scope/kubelet.slice/kubelet-kubepods-pod{UNDERSCORES}.slice/crio-{ID}.scope",
            UID,
        ),
        (f"/../../kubepods-burstable-pod{UNDERSCORES}.slice/cri-containerd-{ID}.scope", UID),
        (f"/kubepods/pod{UID}", UID),
        (f"/machine.slice/libpod-{ID}.scope", ""),
        (f"/docker/{ID}", ""),
        (f"/kubepods/pod{UID}0/{ID}", ""),
        (f"/kubepods/pod{UID[:-1]}/{ID}", ""),
        ("/system.slice/podman.service", ""),
        ("/user.slice/pods", ""),
    ],
)
def test_pod_uid(path: str, uid: str) -> None:
    assert pod_uid([path]) == uid
    assert is_in_kubernetes([path]) is bool(uid)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"/docker/{KIND}/kubelet/kubepods/burstable/pod{UID}/{ID}", [ID, KIND]),
        (f"/system.slice/docker-{KIND}.scope/kubelet.slice/cri-containerd-{ID}.scope", [ID, KIND]),
        (f"/docker/{KIND}/docker/{ID}", [ID, KIND]),
        (f"/kubepods/pod{UID}/crio-conmon-{ID}.scope", []),
        ("/system.slice", []),
    ],
)
def test_nested_containers_the_innermost_first(path: str, found: list[str]) -> None:
    assert list(container_ids([path])) == found


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        (f"/../cri-containerd-{ID}.scope", True),
        (f"/../crio-{ID}.scope/container", True),
        (f"/../docker-{ID}.scope", False),
        (f"/system.slice/libpod-{ID}.scope", False),
    ],
)
def test_a_container_for_kubernetes_is_known_without_the_path_above_it(path: str, inside: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_in_kubernetes([path]) is inside
