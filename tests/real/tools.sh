# Sourced by the scripts beside it: environments of pinned packages, made once, safe against two makers at a time.

TOOLS=${DOORBELL_TEST_TOOLS:-${TMPDIR:-/tmp}/doorbell-test-tools}
mkdir -p "$TOOLS"

# once NAME WANTED MAKER: runs MAKER in the new directory $TOOLS/NAME unless it was made from the same WANTED before.
once() {
  local home=$TOOLS/$1 wanted=$2 maker=$3
  (
    flock 9
    [ "$(cat "$home/.made-from" 2>/dev/null)" = "$wanted" ] && exit 0
    rm -rf "$home" && mkdir -p "$home" && cd "$home"
    "$maker" $wanted >"$TOOLS/$1.log" 2>&1 || { cat "$TOOLS/$1.log" >&2; echo "could not install: $wanted" >&2; exit 1; }
    echo "$wanted" >.made-from
  ) 9>"$TOOLS/$1.lock"
}

make_python() { python3 -m venv . && bin/pip install --quiet --disable-pip-version-check "$@"; }
make_node() { echo '{"private": true}' >package.json && npm install --no-audit --no-fund --no-progress "$@"; }

# python_tools NAME PACKAGE==VERSION… makes $TOOLS/NAME/bin/python; node_tools NAME PACKAGE@VERSION… $TOOLS/NAME/node_modules.
python_tools() { local name=$1; shift; once "$name" "$*" make_python; }
node_tools() { local name=$1; shift; once "$name" "$*" make_node; }
