#!/usr/bin/env bash
# roundup.sh PORT DIRECTORY: the issue tracker Roundup at http://127.0.0.1:PORT/tracker/, in the foreground.
# The tracker is made in DIRECTORY the first time. CALLS=n allows n requests in ten seconds and answers 429 to more.
set -euo pipefail
port=$1 home=$2
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
python_tools roundup roundup==2.6.0
bin=$TOOLS/roundup/bin

if [ ! -e "$home/made" ]; then
  mkdir -p "$home"
  # Mail goes to a file, and the password costs few rounds: every request has to check it.
  settings=tracker_web=http://127.0.0.1:$port/tracker/,mail_domain=tracker.test,mail_host=127.0.0.1,mail_debug=mail.txt
  settings+=,password_pbkdf2_default_rounds=1000,web_api_calls_per_interval=${CALLS:-0},web_api_interval_in_sec=10
  "$bin/roundup-admin" -i "$home/tracker" install classic sqlite "$settings" </dev/null >/dev/null
  "$bin/roundup-admin" -i "$home/tracker" initialise admin </dev/null
  touch "$home/made"
fi

as=()
if [ "$(id -u)" = 0 ]; then # it does not run as root
  chmod 755 "$home"
  chown -R nobody "$home/tracker"
  as=(-u nobody)
fi
exec "$bin/roundup-server" "${as[@]}" -n 127.0.0.1 -p "$port" "tracker=$home/tracker"
