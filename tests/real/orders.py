"""What orders.sh does: each order list is changed as its server's own users do it. Kinto through kinto-http, Datasette
in its database, json-server over HTTP."""

import contextlib
import json
import sqlite3
import sys
import urllib.request


class Kinto:
    def __init__(self, port, _directory):
        import kinto_http

        url = f"http://127.0.0.1:{port}/v1"
        self.client = kinto_http.Client(server_url=url, auth=("admin", "admin-pw"), bucket="shop", collection="orders")
        if "user" not in self.client.server_info():
            ask(f"{url}/accounts/admin", "PUT", {"data": {"password": "admin-pw"}})
            self.client.create_bucket(if_not_exists=True)
            self.client.create_collection(if_not_exists=True)

    def create(self, title):
        return self.client.create_record(data={"title": title})["data"]["id"]

    def edit(self, key, title):
        self.client.patch_record(id=key, data={"title": title})

    def remove(self, key):
        self.client.delete_record(id=key)

    def list(self):
        return [(record["id"], record["title"]) for record in self.client.get_records()]


class Datasette:
    NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

    def __init__(self, _port, directory):
        self.file = f"{directory}/shop.db"

    def run(self, statement, *values):
        with contextlib.closing(sqlite3.connect(self.file, timeout=20)) as shop, shop:
            return shop.execute(statement, values).fetchall()

    def create(self, title):
        return self.run(f"insert into orders (title, updated_at) values (?, {self.NOW}) returning id", title)[0][0]

    def edit(self, key, title):
        self.run(f"update orders set title = ?, updated_at = {self.NOW} where id = ?", title, key)

    def remove(self, key):
        self.run("delete from orders where id = ?", key)

    def list(self):
        return self.run("select id, title from orders")


class JsonServer:
    def __init__(self, port, _directory):
        self.orders = f"http://127.0.0.1:{port}/orders"

    def create(self, title):
        return ask(self.orders, "POST", {"title": title})["id"]

    def edit(self, key, title):
        ask(f"{self.orders}/{key}", "PATCH", {"title": title})

    def remove(self, key):
        ask(f"{self.orders}/{key}", "DELETE")

    def list(self):
        return [(order["id"], order["title"]) for order in ask(self.orders, "GET")]


def ask(url, method, body=None):
    """The answer's JSON; any status but 2xx is an exception."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def main(server, port, directory, verb, *arguments):
    client = {"kinto": Kinto, "datasette": Datasette, "jsonserver": JsonServer}[server](port, directory)
    if verb == "list":
        for key, title in client.list():
            print(key, title)
    elif verb == "create":
        print(client.create(*arguments))
    else:
        {"edit": client.edit, "remove": client.remove}[verb](*arguments)


main(*sys.argv[1:])
