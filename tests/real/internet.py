"""internet.py DIRECTORY: the names and servers of internet.sh, until it is killed.

A name server on port 53, which answers for `moving.test` as for the name that DIRECTORY/moving holds; web servers on 80 and 443. Every web server lists DIRECTORY/items at any path, but sends
`/to?URL` on to that URL; each request is told in DIRECTORY/heard: the address it came to, its path, what it was allowed with.
What is posted is told there too, and taken. Each connection is told in DIRECTORY/connected: the address it came to.
"""

import http.server
import pathlib
import socket
import ssl
import sys
import threading

HOME = pathlib.Path(sys.argv[1])
PUBLIC, LOOPBACK, METADATA = "93.184.216.34", "127.0.0.1", "169.254.169.254"

# What a name leads to; each answer in turn, for ever.
NAMES = {
    "public": [[PUBLIC]],
    "inside": [[LOOPBACK]],
    "metadata": [[METADATA]],
    "mixed": [[PUBLIC, LOOPBACK]],
    "flips": [[PUBLIC], [LOOPBACK]],
    "empty": [[]],
}
NAMES.update({name: [[PUBLIC]] for name in ("good", "misnamed", "old", "expired", "early", "selfsigned")})
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


def answer_names():
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((LOOPBACK, 53))
    (HOME / "listening").touch()
    asked = {}
    while True:
        question, asker = listener.recvfrom(512)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        question = question[: at + 5]
        name, is_ipv4 = labels[0].lower(), question[at + 1 : at + 3] == b"\0\1"
        if name == "moving":
            name = (HOME / "moving").read_text()
        if name == "silent":
            continue
        code, addresses = NO_ERROR, []
        if name == "failing":
            code = SERVER_FAILURE
        elif name not in NAMES:
            code = NO_SUCH_NAME
        elif is_ipv4:
            answers = NAMES[name]
            addresses = answers[asked.get(name, 0) % len(answers)]
            asked[name] = asked.get(name, 0) + 1
        head = question[:2] + bytes([0x85, 0x80 | code]) + question[4:6] + len(addresses).to_bytes(2, "big") + bytes(4)
        records = [b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address) for address in addresses]
        listener.sendto(head + question[12:] + b"".join(records), asker)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def hear(self):
        address = self.connection.getsockname()[0]
        with (HOME / "heard").open("a") as heard:
            heard.write(f"{address} {self.path} {self.headers.get('authorization', '-')}\n")

    def answer(self, code, body):
        path, _, to = self.path.partition("?")
        self.send_response(302 if path == "/to" else code)
        if path == "/to":
            self.send_header("Location", to)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.hear()
        self.answer(200, (HOME / "items").read_bytes())

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.hear()
        self.answer(200, b"{}")

    def log_message(self, *_):
        pass


def encryption(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HOME / f"{name}.pem", HOME / f"{name}.key")
    if name == "old":
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return context


class Plain(http.server.ThreadingHTTPServer):
    def get_request(self):
        connection, asker = super().get_request()
        with (HOME / "connected").open("a") as connected:
            connected.write(connection.getsockname()[0] + "\n")
        return connection, asker


class PlainOverSix(Plain):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


class Encrypted(Plain):
    """One for each name, on a port of its own, so that each shakes hands in its own way."""

    def __init__(self, port, name):
        super().__init__(("0.0.0.0", port), Web)
        self.encryption = encryption(name)

    def finish_request(self, request, client_address):
        with self.encryption.wrap_socket(request, server_side=True) as encrypted:
            self.RequestHandlerClass(encrypted, client_address, self)

    def handle_error(self, request, client_address):
        pass


servers = [Plain(("0.0.0.0", 80), Web)]
if socket.has_ipv6:
    servers.append(PlainOverSix(("::", 80), Web))
ports = {"good": 443, "misnamed": 444, "old": 445, "expired": 446, "early": 447, "selfsigned": 448}
servers += [Encrypted(port, name) for name, port in ports.items()]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
answer_names()
