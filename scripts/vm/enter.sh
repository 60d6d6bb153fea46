#!/bin/sh
# Inside a machine, as root: runs scripts.vm.inside on a copy of the host's file system that can be written everywhere.
#
#   scripts/vm/enter.sh PLAN
#
# virtme-ng mounts the host's root by 9p without a cache, which makes every import a hundred slow round trips. Here it
# is mounted once more, cached, below a layer in memory that takes all writes. Kernel modules are where modprobe looks.
set -eu

checkout=$(pwd)
modules=$(readlink -f "/lib/modules/$(uname -r)")
mount -t tmpfs -o size=75% changes /mnt
mkdir /mnt/host /mnt/upper /mnt/work /mnt/root
mount -t 9p -o ro,trans=virtio,version=9p2000.L,access=any,msize=524288,cache=loose pyrover-root /mnt/host
mount -t overlay -o lowerdir=/mnt/host,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
for folder in dev proc run sys; do
  mount --rbind "/$folder" "/mnt/root/$folder"
done
mkdir -p /mnt/root/lib/modules
ln -sfn "$modules" "/mnt/root/lib/modules/$(uname -r)"
ip link set lo up
exec chroot /mnt/root /bin/sh -c 'cd "$1" && exec .venv/bin/python -m scripts.vm.inside "$2"' sh "$checkout" "$1"
