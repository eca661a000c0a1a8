#!/usr/bin/env bash
# jsonserver.sh PORT DIRECTORY: json-server at http://127.0.0.1:PORT/orders, in the foreground, over DIRECTORY/shop.json.
set -euo pipefail
port=$1 home=$2
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
node_tools jsonserver json-server@0.17.4
mkdir -p "$home"
[ -e "$home/shop.json" ] || echo '{"orders": []}' >"$home/shop.json"
exec node "$TOOLS/jsonserver/node_modules/json-server/lib/cli/bin.js" --host 127.0.0.1 --port "$port" "$home/shop.json"
