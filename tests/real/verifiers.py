"""One path to each official library for Python; see README.md.

verifiers.py PORT SECRET OTHER PUBLIC
"""
import base64
import datetime
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import gidgethub.sansio
import standardwebhooks.webhooks
import stripe
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from slack_sdk.signature import SignatureVerifier

SECRET, OTHER, PUBLIC = sys.argv[2:5]
STRANGER = "whsec_" + base64.b64encode(b"nobody has ever seen this secret").decode()
STRANGERS_PUBLIC = "whpk_/JR3MPSesBQnpm4FBzMpTZ5SDlRceicSWngGNOCGCic="
ledger = []


def public_key(text):
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.removeprefix("whpk_")))


def signed_message(key, body, request, algorithm, key_id):
    class Keys(HTTPSignatureKeyResolver):
        def resolve_public_key(self, given):
            assert given == key_id, given
            return key

    verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=Keys())
    parts = ("@method", "@authority", "@path", "@query", "content-type", "content-digest", "webhook-id", "webhook-timestamp")
    minutes = datetime.timedelta(minutes=5)
    assert verifier.verify(request, max_age=minutes, require_components=parts, body=body.encode())


# Each raises unless the library takes the request.


def stripe_event(key, body, request):
    event = stripe.Webhook.construct_event(body, request.headers["stripe-signature"], key)
    assert event.object == "event" and event.type and event.data.object, event
    assert isinstance(event.created, int) and event.id == request.headers["webhook-id"], event


def slack(key, body, request):
    assert SignatureVerifier(key).is_valid_request(body, request.headers)


def github(key, body, request):
    event = gidgethub.sansio.Event.from_http(request.headers, body.encode(), secret=key)
    assert event.event == "issues", event.event


def ed25519(key, body, request):
    # No library knows `v1a` yet: as the specification says it.
    headers = request.headers
    message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    entry = next(it for it in headers["webhook-signature"].split(" ") if it.startswith("v1a,"))
    public_key(PUBLIC if key == SECRET else STRANGERS_PUBLIC).verify(base64.b64decode(entry[4:]), message)


LIBRARIES = {
    "standardwebhooks": lambda key, body, request: standardwebhooks.webhooks.Webhook(key).verify(body, request.headers),
    "svix": lambda key, body, request: svix.webhooks.Webhook(key).verify(body, request.headers),
    "stripe": stripe_event,
    "slack": slack,
    "gidgethub": github,
    "http-hmac": lambda key, body, request: signed_message(key.encode(), body, request, algorithms.HMAC_SHA256, "bell"),
    "http-ed25519": lambda key, body, request: signed_message(
        public_key(PUBLIC if key == SECRET else STRANGERS_PUBLIC), body, request, algorithms.ED25519, PUBLIC
    ),
    "ed25519": ed25519,
}


def takes(library, key, body, request):
    try:
        library(key, body, request)
        return True
    except Exception as failure:  # whatever a library raises is a refusal
        return repr(failure)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, ledger)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = f"http://{headers['host']}{self.path}"
        request = SimpleNamespace(method=self.command, url=url, headers=headers)
        path = self.path.split("?")[0].lstrip("/")
        library = LIBRARIES[path.removesuffix("-rotating")]
        entry = {
            "path": path,
            "right": takes(library, SECRET, body, request),
            "other": takes(library, OTHER, body, request),
            "stranger": takes(library, STRANGER, body, request),
            "changed": takes(library, SECRET, body.replace('"open"', '"shut"'), request),
        }
        ledger.append(entry)
        self.answer(200 if entry["right"] is True else 401, entry)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
