#!/usr/bin/env bash
# verifiers.sh python|node PORT SECRET OTHER PUBLIC: a receiver on 127.0.0.1, in the foreground, with one path to each
# official library. Port 0 takes any free one. Its first line on standard output is "listening on PORT".
# verifiers.sh webhook PORT HOOKS: adnanh's webhook, with a file of hooks.
set -euo pipefail
kind=$1 port=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/tools.sh"

# Debian's package without its service; nothing is installed on the machine.
make_webhook() { apt-get download "$1" && dpkg -x "$1"_*.deb .; }

case $kind in
  python)
    python_tools verifiers-python standardwebhooks==1.1.0 svix==2.9.1 stripe==16.1.0 slack_sdk==3.47.0 \
      http-message-signatures==3.0.0 gidgethub==6.0.0
    exec "$TOOLS/verifiers-python/bin/python" -u "$here/verifiers.py" "${@:2}" ;;
  node)
    # The newest that run on Node 20.
    node_tools verifiers-node standardwebhooks@1.1.1 svix@1.99.1 stripe@23.1.0 @octokit/webhooks@14.2.0 \
      @shopify/shopify-api@13.1.0 @slack/bolt@5.1.0 http-message-signatures@1.0.6
    # Node looks for packages from where the file lies, so it runs as a copy beside them.
    cp "$here/verifiers.mjs" "$TOOLS/verifiers-node/receiver.$$.mjs"
    mv "$TOOLS/verifiers-node/receiver.$$.mjs" "$TOOLS/verifiers-node/receiver.mjs"
    exec node "$TOOLS/verifiers-node/receiver.mjs" "${@:2}" ;;
  webhook)
    once webhook webhook make_webhook
    exec "$TOOLS/webhook/usr/bin/webhook" -ip 127.0.0.1 -port "$port" -urlprefix "" -hooks "$3" -verbose ;;
  *) echo "verifiers.sh: python, node or webhook, not $kind" >&2; exit 2 ;;
esac
