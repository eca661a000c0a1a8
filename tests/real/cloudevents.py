"""Reads CloudEvents with the official SDK for Python; see README.md.

cloudevents.py PORT SECRET
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook

SECRET = sys.argv[2]
ledger = []


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
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            Webhook(SECRET).verify(body.decode(), headers)
            event = from_http_event(HTTPMessage(headers=headers, body=body))
        except Exception as failure:  # whatever the SDK throws is a refusal
            return self.answer(400, {"error": repr(failure)})
        data = event.get_data()
        ledger.append(
            {
                "path": self.path.lstrip("/"),
                "id": event.get_id(),
                "source": event.get_source(),
                "type": event.get_type(),
                "subject": event.get_subject(),
                "time": event.get_time().isoformat(),
                "seq": event.get_extension("seq"),
                "data": json.loads(data) if isinstance(data, (str, bytes)) else data,
            }
        )
        self.answer(200, {"received": True})

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
