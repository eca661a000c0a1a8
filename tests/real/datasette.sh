#!/usr/bin/env bash
# datasette.sh PORT DIRECTORY: Datasette at http://127.0.0.1:PORT/, in the foreground, over the table `orders` of DIRECTORY/shop.db.
set -euo pipefail
port=$1 home=$2
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
python_tools datasette datasette==1.0a41
mkdir -p "$home"
python3 - "$home/shop.db" <<'PY'
import sqlite3, sys
shop = sqlite3.connect(sys.argv[1])
shop.execute("pragma journal_mode = wal")
shop.execute("create table if not exists orders (id integer primary key, title text, updated_at text)")
PY
exec "$TOOLS/datasette/bin/datasette" serve "$home/shop.db" -h 127.0.0.1 -p "$port" --setting default_cache_ttl 0
