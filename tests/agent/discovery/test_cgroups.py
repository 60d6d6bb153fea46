import pytest

from agent.discovery.cgroups import container_id, systemd_unit

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
