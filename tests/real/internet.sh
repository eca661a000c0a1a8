#!/usr/bin/env bash
# internet.sh DIRECTORY COMMAND…: runs COMMAND on an internet of its own: no network but what internet.py serves there, with
# names, web servers, certificates and a cloud's metadata address. What the web servers heard is appended to DIRECTORY/heard.
set -euo pipefail
if [ "${1-}" != --within ]; then
  exec unshare --user --map-root-user --mount --net --pid --fork --kill-child --mount-proc "$0" --within "$@"
fi
shift
home=$1
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$home"

ip link set lo up
ip address add 93.184.216.34/32 dev lo   # public
ip address add 169.254.169.254/32 dev lo # where clouds keep their secrets
ip address add fd00:ec2::254/128 dev lo 2>/dev/null || true
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$home/resolv.conf"
printf 'hosts: files dns\n' >"$home/nsswitch.conf"
mount --bind "$home/resolv.conf" /etc/resolv.conf
mount --bind "$home/nsswitch.conf" /etc/nsswitch.conf

# Certificates: the authority's own, and those it signs. certificate NAME FOR FROM TO, both days as openssl reads them.
cd "$home"
new_key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch -keyout "$1.key" "${@:2}" 2>/dev/null; }
certificate() {
  new_key "$1" -subj "/CN=$2" -addext "subjectAltName=DNS:$2" -out "$1.csr"
  openssl ca -batch -config ca.conf -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.pem" -notext \
    -startdate "${3}000000Z" -enddate "${4}000000Z" 2>openssl.log || { cat openssl.log >&2; exit 1; }
}
if [ ! -e made ]; then
  printf '%s\n' '[ca]' 'default_ca = own' '[own]' 'database = issued' 'new_certs_dir = .' 'policy = names' 'default_md = sha256' \
    'rand_serial = yes' 'unique_subject = no' 'copy_extensions = copy' '[names]' 'commonName = supplied' >ca.conf
  : >issued
  new_key ca -x509 -subj '/CN=an authority of its own' -days 30 -out ca.pem
  new_key selfsigned -x509 -subj '/CN=selfsigned.test' -addext 'subjectAltName=DNS:selfsigned.test' -days 30 -out selfsigned.pem
  now=$(date -u -d yesterday +%Y%m%d) then=$(date -u -d '30 days' +%Y%m%d)
  certificate good good.test "$now" "$then"
  certificate misnamed another.test "$now" "$then"
  certificate old old.test "$now" "$then"
  certificate expired expired.test 20250101 20250201
  certificate early early.test "$then" "$(date -u -d '60 days' +%Y%m%d)"
  touch made
fi
cd - >/dev/null

python3 -W ignore "$here/internet.py" "$home" &
served=$!
trap 'kill "$served" 2>/dev/null || true' EXIT
# The name servers are the last to listen.
for _ in $(seq 200); do
  [ ! -e "$home/listening" ] || break
  kill -0 "$served"
  sleep 0.05
done
rm "$home/listening"
code=0
"$@" || code=$?
exit "$code"
