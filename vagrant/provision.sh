#!/usr/bin/env bash
# Makes a Debian 12 machine ready for working on pyrover: what the make targets need, and the kernel's file systems.
#
#   provision.sh CHECKOUT    as root; CHECKOUT is the folder of pyrover, whose owner will work in it
#
# Run it as often as you like: what is there is left as it is. The Vagrantfile runs it at every start.
set -euo pipefail

say() { printf 'provision: %s\n' "$*"; }
fail() {
  printf 'provision: %s\n' "$*" >&2
  exit 1
}

check() {
  [ -n "$checkout" ] || fail "usage: provision.sh CHECKOUT"
  [ "$(id -u)" -eq 0 ] || fail "installing packages and mounting need root: sudo $0 $checkout"
  local system
  system=$(. /etc/os-release && echo "${ID:-unknown} ${VERSION_ID:-}")
  [ "$system" = "debian 12" ] ||
    fail "this is for Debian 12, and this machine is '${system% }': use the box that the Vagrantfile names"
  [ -x "$checkout/scripts/setup" ] ||
    fail "$checkout is not a checkout of pyrover: if it is empty, 'vagrant rsync' copies it"
  read -r owner group < <(stat -c '%u %g' "$checkout")
  home=$(getent passwd "$owner" | cut -d: -f6) ||
    fail "the owner of $checkout, $owner, is no user of this machine: chown it to whoever will work there"
}

install_make() { # scripts/setup installs everything else
  ! command -v make >/dev/null || return 0
  say "installing make"
  apt-get update -q >/dev/null || fail "apt-get update failed: see that this machine reaches its package archive"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q make >/dev/null || fail "apt-get could not install make"
}

mount_missing() { # mount_missing TYPE FOLDER
  local type=$1 folder=$2
  ! findmnt --types "$type" --mountpoint "$folder" >/dev/null || return 0
  [ -d "$folder" ] || fail "this kernel has no $folder for $type: start the kernel that came with the box"
  say "mounting $type at $folder"
  mount -t "$type" "$type" "$folder" || fail "$type cannot be mounted at $folder (the reason is above)"
}

give_back() { # what root wrote, here or in 'sudo make test', could not be renewed by whoever works in the checkout
  find "$checkout" ! -user "$owner" -exec chown --no-dereference "$owner:$group" {} +
}

set_up() {
  setpriv --reuid "$owner" --regid "$group" --init-groups env HOME="$home" "$checkout/scripts/setup" test ||
    fail "scripts/setup did not finish (the reason is above); mend that, then 'vagrant provision' goes on"
}

report() {
  local findings
  if ! findings=$("$checkout/.venv/bin/pyrover-agent" doctor); then
    printf '%s\n' "$findings" >&2
    fail "the agent cannot run here: see the lines marked NO"
  fi
  sed '/^$/q' <<<"$findings" # the first paragraph is about the machine; the rest is about hooks
}

checkout=${1:-}
check
install_make
give_back
set_up
mount_missing tracefs /sys/kernel/tracing
mount_missing bpf /sys/fs/bpf
report
give_back
say "ready: cd $checkout, then 'sudo make test' or 'make run'"
