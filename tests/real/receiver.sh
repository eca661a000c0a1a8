#!/usr/bin/env bash
# receiver.sh flask|express PORT SECRET: a receiver on 127.0.0.1, in the foreground. Port 0 takes any free one.
# Its first line on standard output is "listening on PORT".
set -euo pipefail
kind=$1 port=$2 secret=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/tools.sh"
case $kind in
  flask)
    python_tools flask flask==3.1.3 standardwebhooks==1.1.0 gidgethub==6.0.0
    exec "$TOOLS/flask/bin/python" -u "$here/receiver.py" "$port" "$secret" ;;
  express)
    node_tools express express@5.3.0 standardwebhooks@1.1.1 @octokit/webhooks-methods@5.1.0
    # Node looks for packages from where the file lies, so it runs as a copy beside them.
    cp "$here/receiver.mjs" "$TOOLS/express/receiver.$$.mjs"
    mv "$TOOLS/express/receiver.$$.mjs" "$TOOLS/express/receiver.mjs"
    exec node "$TOOLS/express/receiver.mjs" "$port" "$secret" ;;
  *) echo "receiver.sh: flask or express, not $kind" >&2; exit 2 ;;
esac
