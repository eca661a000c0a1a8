"""Webhook receivers as Flask tutorials write them, one to a path; see README.md for the table.

receiver.py PORT SECRET
"""
import base64
import hashlib
import hmac
import json
import sys
import time
from collections import Counter

from flask import Flask, Response, abort, jsonify, request
from gidgethub import ValidationFailure
from gidgethub.sansio import validate_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.serving import make_server

SECRET = sys.argv[2]
# What Standard Webhooks calls a secret is base64; any other string stands for its own bytes.
STANDARD = SECRET if SECRET.startswith("whsec_") else base64.b64encode(SECRET.encode()).decode()

app = Flask(__name__)
ledger = []
refused = Counter()


def digest(message):
    return hmac.new(SECRET.encode("utf-8"), message, hashlib.sha256)


def accept():
    event = request.get_json()
    ledger.append(
        {
            "path": request.path.lstrip("/"),
            "id": request.headers.get("Webhook-Id"),
            "type": event.get("type"),
            "key": event.get("key"),
            "sha256": hashlib.sha256(request.get_data()).hexdigest(),
        }
    )
    return {"received": True}


@app.after_request
def count_refusals(answer):
    if request.method == "POST" and answer.status_code >= 400:
        refused[request.path.lstrip("/")] += 1
    return answer


@app.route("/plain-hex", methods=["POST"])
def plain_hex():
    theirs = request.headers.get("X-Webhook-Signature", "")
    if not hmac.compare_digest(digest(request.get_data()).hexdigest(), theirs):
        return jsonify(error="invalid signature"), 401
    return accept()


@app.route("/agent-hex", methods=["POST"])
def agent_hex():
    theirs = request.headers.get("X-Agent-Signature")
    if theirs is None:
        return jsonify(error="signature missing"), 400
    if digest(request.data).hexdigest() != theirs:
        return jsonify(error="signature mismatch"), 403
    return accept()


@app.route("/platform", methods=["POST"])
def platform():
    expected = f"sha256={digest(request.data).hexdigest()}"
    if not hmac.compare_digest(expected, request.headers.get("X-MyPlatform-Signature", "")):
        abort(403)
    return accept()


@app.route("/base64", methods=["POST"])
def encoded():
    expected = base64.b64encode(digest(request.get_data()).digest())
    if not hmac.compare_digest(expected, request.headers.get("X-Body-Hmac", "").encode()):
        abort(401)
    return accept()


@app.route("/timestamped", methods=["POST"])
def timestamped():
    sent = request.headers["X-Timestamp"]  # a missing one is a 400, an odd one a 500
    if abs(time.time() - int(sent)) > 300:
        return jsonify(error="too old"), 400
    message = sent.encode() + b"." + request.get_data()
    if not hmac.compare_digest(digest(message).hexdigest(), request.headers["X-Signature"]):
        abort(401)
    return accept()


@app.route("/hub", methods=["POST"])
def hub():
    theirs = request.headers.get("x-hub-signature-256")
    if not theirs:
        return jsonify(detail="x-hub-signature-256 header is missing!"), 403
    if not hmac.compare_digest("sha256=" + digest(request.data).hexdigest(), theirs):
        return jsonify(detail="Request signatures didn't match!"), 403
    return accept()


@app.route("/split", methods=["POST"])
def split():
    # No care for a header without "=": it answers 500, and so do many.
    algorithm, theirs = request.headers["X-Hub-Signature-256"].split("=")
    if algorithm != "sha256":
        abort(501)
    if not hmac.compare_digest(digest(request.data).hexdigest(), theirs):
        abort(401)
    return accept()


@app.route("/redump", methods=["POST"])
def redump():
    # Signs what it parsed, not what it got. It works as long as the sender is compact, keeps its order and writes UTF-8.
    again = json.dumps(request.get_json(), separators=(",", ":"), ensure_ascii=False)
    if request.headers.get("X-Hub-Signature-256") != "sha256=" + digest(again.encode()).hexdigest():
        abort(401)
    return accept()


@app.route("/library", methods=["POST"])
def library():
    try:
        validate_event(request.get_data(), signature=request.headers["X-Hub-Signature-256"], secret=SECRET)
    except ValidationFailure as failure:
        return jsonify(error=str(failure)), 401
    return accept()


@app.route("/standard", methods=["POST"])
def standard():
    try:
        Webhook(STANDARD).verify(request.get_data(as_text=True), dict(request.headers))
    except WebhookVerificationError as failure:
        return jsonify(error=str(failure)), 400
    return accept()


@app.route("/hits")
def hits():
    return Counter(entry["path"] for entry in ledger)


@app.route("/refused")
def refusals():
    return refused


@app.route("/ledger")
def book():
    return Response(json.dumps(ledger), content_type="application/json")


server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
