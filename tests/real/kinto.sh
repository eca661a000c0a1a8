#!/usr/bin/env bash
# kinto.sh PORT DIRECTORY: the JSON store Kinto at http://127.0.0.1:PORT/v1/, in the foreground, all in memory.
set -euo pipefail
port=$1 home=$2
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
python_tools kinto kinto==26.5.0 kinto-http==11.11.0
bin=$TOOLS/kinto/bin
mkdir -p "$home"
[ -e "$home/kinto.ini" ] || "$bin/kinto" init --ini "$home/kinto.ini" --backend memory --cache-backend memory --host 127.0.0.1 >/dev/null
exec "$bin/kinto" start --ini "$home/kinto.ini" --port "$port"
