#!/usr/bin/env bash
# A machine of its own, to try a service on: systemd as process 1 in a container whose root is a copy-on-write view of this
# machine's. All that it writes is in memory and goes with it; it has a network of its own with nothing but loopback.
#
#   systemd_box.sh boot DIRECTORY               starts it; DIRECTORY keeps its log and process ids
#   systemd_box.sh run  DIRECTORY COMMAND…      runs a command in it, with this standard input
#   systemd_box.sh copy DIRECTORY FILE PATH     puts a file of this machine at a path of the box, with its mode
#   systemd_box.sh halt DIRECTORY
#
# Wants root, cgroups of version 2 and Debian's packages systemd and systemd-container.
set -euo pipefail
verb=$1 directory=$2
shift 2

fail() { echo "systemd_box.sh: $*" >&2; exit 1; }

# Process 1 of the box, as this machine numbers it: the child of nspawn that lives in another pid namespace.
first_process() {
  local child
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
    [ "$(readlink "/proc/$child/ns/pid")" != "$(readlink /proc/self/ns/pid)" ] && { echo "$child"; return; }
  done
  return 1
}

# Enters the box. It enters as this machine's root, so what reaches beyond the box is dropped.
enter() {
  local init=$1
  shift
  nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup \
    setpriv --bounding-set=-net_admin,-sys_module,-sys_boot,-sys_rawio,-sys_time \
    env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 TERM=dumb SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 "$@"
}

boot() {
  [ "$(id -u)" = 0 ] || fail "only root can mount an overlay and start a container"
  command -v systemd-nspawn >/dev/null || fail "systemd-nspawn is missing: apt-get install systemd-container"
  mkdir -p "$directory"
  directory=$(cd "$directory" && pwd)
  mkdir -p "$directory/root"
  # Its mounts live in a mount namespace of their own and end with it, whatever happens.
  AT=$directory/root SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid unshare --mount --propagation private bash -euc '
    mount -t tmpfs -o size=1g,mode=755 box "$AT"
    mkdir "$AT/written" "$AT/work" "$AT/seen"
    mount -t overlay -o "lowerdir=/,upperdir=$AT/written,workdir=$AT/work" box "$AT/seen"
    # Nothing of this machine starts in there: no disks, no timers, no services that wait for either.
    : >"$AT/seen/etc/fstab"
    rm -rf "$AT"/seen/etc/systemd/system/*.wants
    exec systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --private-network \
      --machine="doorbell-box-$$" --directory="$AT/seen" --boot -- --unit=basic.target
  ' >"$directory/log" 2>&1 </dev/null &
  local nspawn=$! init state=absent waited
  for waited in $(seq 300); do
    sleep 0.2
    kill -0 "$nspawn" 2>/dev/null || fail "the box ended while it booted: $(tail -n 5 "$directory/log")"
    init=$(first_process "$nspawn") || continue
    state=$(enter "$init" systemctl is-system-running 2>/dev/null) || true
    case $state in running | degraded) break ;; esac
  done
  echo "$nspawn $init" >"$directory/pids"
  case $state in running | degraded) echo "booted: $state" ;; *) fail "the box is '$state' after a minute" ;; esac
}

halt() {
  local nspawn init waited
  read -r nspawn init <"$directory/pids" || return 0
  kill -TERM "$nspawn" 2>/dev/null || true # it passes this on as an orderly power-off
  for waited in $(seq 100); do
    kill -0 "$nspawn" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$nspawn" "$init" 2>/dev/null || true
  rm -f "$directory/pids"
}

# The box's process 1, or an end with a reason.
running() { read -r _ init 2>/dev/null <"$directory/pids" || fail "no box runs in $directory"; }

case $verb in
  boot) boot ;;
  run) running; enter "$init" "$@" ;;
  copy) running; enter "$init" install -D -m "$(stat -c %a "$1")" /dev/stdin "$2" <"$1" ;;
  halt) halt ;;
  *) fail "no such verb: $verb" ;;
esac
