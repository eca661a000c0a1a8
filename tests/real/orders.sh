#!/usr/bin/env bash
# orders.sh SERVER PORT DIRECTORY create TITLE | edit ID TITLE | remove ID | list: a client of kinto.sh, datasette.sh, jsonserver.sh.
# `create` prints the new id, `list` an id and a title a line.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/tools.sh"
python=python3
[ "$1" != kinto ] || python=$TOOLS/kinto/bin/python
exec "$python" "$here/orders.py" "$@"
