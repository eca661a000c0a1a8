#!/usr/bin/env bash
# cloudevents.sh python|node PORT SECRET: a receiver of CloudEvents on 127.0.0.1, in the foreground, that reads them with the
# official SDK. Port 0 takes any free one. Its first line on standard output is "listening on PORT".
set -euo pipefail
kind=$1 port=$2 secret=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/tools.sh"
case $kind in
  python)
    python_tools cloudevents-python cloudevents==2.2.0 standardwebhooks==1.1.0
    # A copy beside the packages: here it would be taken for the package of its name.
    cp "$here/cloudevents.py" "$TOOLS/cloudevents-python/receiver.$$.py"
    mv "$TOOLS/cloudevents-python/receiver.$$.py" "$TOOLS/cloudevents-python/receiver.py"
    exec "$TOOLS/cloudevents-python/bin/python" -u "$TOOLS/cloudevents-python/receiver.py" "$port" "$secret" ;;
  node)
    node_tools cloudevents-node cloudevents@10.0.0 standardwebhooks@1.1.1
    # Node looks for packages from where the file lies, so it runs as a copy beside them.
    cp "$here/cloudevents.mjs" "$TOOLS/cloudevents-node/receiver.$$.mjs"
    mv "$TOOLS/cloudevents-node/receiver.$$.mjs" "$TOOLS/cloudevents-node/receiver.mjs"
    exec node "$TOOLS/cloudevents-node/receiver.mjs" "$port" "$secret" ;;
  *) echo "cloudevents.sh: python or node, not $kind" >&2; exit 2 ;;
esac
