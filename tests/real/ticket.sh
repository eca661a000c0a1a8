#!/usr/bin/env bash
# ticket.sh PORT create TITLE | edit ID TITLE | retire ID | list | titles: a client for the tracker that roundup.sh runs.
set -euo pipefail
site=http://127.0.0.1:$1 verb=$2
shift 2
issues=$site/tracker/rest/data/issue

# Any answer but 2xx ends the script with its status; "too many requests" is waited out.
ask() {
  curl --globoff --silent --show-error --fail --retry 8 --max-time 60 --user admin:admin \
    --header 'X-Requested-With: rest' --header "Origin: $site" --header "Referer: $site/tracker/" \
    --header 'Content-Type: application/json' "$@"
}
quoted() { python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$1"; }
# A change has to name the version that it changes.
version() { ask --output /dev/null --write-out '%header{etag}' "$issues/$1"; }

case $verb in
  create) ask --data "{\"title\": $(quoted "$1")}" "$issues" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["id"])' ;;
  edit) ask --request PUT --header "If-Match: $(version "$1")" --data "{\"data\": $(quoted "$2")}" "$issues/$1/title" >/dev/null ;;
  retire) ask --request DELETE --header "If-Match: $(version "$1")" "$issues/$1" >/dev/null ;;
  list) ask "$issues?@fields=title,status&@verbose=2&@sort=id&@page_size=1000" ;;
  titles) "$0" "${site##*:}" list | python3 -c 'import json, sys; [print(each["id"], each["title"]) for each in json.load(sys.stdin)["data"]["collection"]]' ;;
  *) echo "ticket.sh: no such verb: $verb" >&2; exit 2 ;;
esac
