"""Rings every path of a receiver with a right and with wrong signatures: is it fit to judge by?

knock.py URL SECRET. Ends with 0 if each path took the right one and refused every other.
"""
import base64
import hashlib
import hmac
import json
import sys
import time
import urllib.error
import urllib.request

URL, SECRET = sys.argv[1].rstrip("/"), sys.argv[2]
BODY = json.dumps(
    {"type": "tickets.created", "key": "1", "data": {"title": "Grüße 🔔", "n": 0, "tags": []}},
    separators=(",", ":"),
    ensure_ascii=False,
).encode()


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256)


def own(header, shape):
    return lambda key, body, now: {header: shape(mac(key, body))}


def hub(key, body, now):
    return {"X-Hub-Signature-256": "sha256=" + mac(key, body).hexdigest()}


def timestamped(key, body, now):
    return {"X-Timestamp": str(now), "X-Signature": mac(key, f"{now}.".encode() + body).hexdigest()}


def standard(key, body, now):
    # A whsec_ secret is base64; every other is taken as it is.
    if key.startswith(b"whsec_"):
        key = base64.b64decode(key.removeprefix(b"whsec_"))
    signature = base64.b64encode(mac(key, f"evt_1.{now}.".encode() + body).digest()).decode()
    return {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": "v1," + signature}


PATHS = {
    "plain-hex": own("X-Webhook-Signature", lambda m: m.hexdigest()),
    "agent-hex": own("X-Agent-Signature", lambda m: m.hexdigest()),
    "platform": own("X-MyPlatform-Signature", lambda m: "sha256=" + m.hexdigest()),
    "base64": own("X-Body-Hmac", lambda m: base64.b64encode(m.digest()).decode()),
    "timestamped": timestamped,
    "hub": hub,
    "split": hub,
    "redump": hub,
    "library": hub,
    "standard": standard,
}


def post(path, body, headers):
    headers = {"Content-Type": "application/json", "webhook-id": "evt_1", **headers}
    request = urllib.request.Request(f"{URL}/{path}", body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def get(path):
    with urllib.request.urlopen(f"{URL}/{path}", timeout=10) as answer:
        return json.load(answer)


def main():
    key, other, now = SECRET.encode(), b"whsec_" + base64.b64encode(b"another secret"), int(time.time())
    tampered = BODY.replace(b'"key":"1"', b'"key":"2"')
    wrongs, wrong_count = [], 0
    before, refused_before = get("hits"), get("refused")
    for path, sign in PATHS.items():
        right = post(path, BODY, sign(key, BODY, now))
        if right != 200:
            wrongs.append(f"{path}: refused a right signature with {right}")
        attempts = {
            "another secret": (BODY, sign(other, BODY, now)),
            "another body": (tampered, sign(key, BODY, now)),
            "no signature": (BODY, {}),
        }
        if path in ("timestamped", "standard"):
            attempts["an old signature"] = (BODY, sign(key, BODY, now - 3600))
        for name, (body, headers) in attempts.items():
            status = post(path, body, headers)
            if status < 400:
                wrongs.append(f"{path}: took {name} with {status}")
        wrong_count += len(attempts)
    hits, refused = get("hits"), get("refused")
    for path in PATHS:
        if hits.get(path, 0) - before.get(path, 0) != 1:
            wrongs.append(f"{path}: does not count what it took: {hits}")
    if sum(refused.values()) - sum(refused_before.values()) != wrong_count:
        wrongs.append(f"does not count what it refused: {refused}, {wrong_count} were")
    if {entry["id"] for entry in get("ledger")} != {"evt_1"}:
        wrongs.append("does not keep the ids")
    for wrong in wrongs:
        print(wrong)
    print(f"{len(PATHS)} paths, {wrong_count} wrong signatures, {len(wrongs)} complaints")
    return 1 if wrongs else 0


sys.exit(main())
