"""A DynamoDB in a process of its own: moto, one request at a time, since its threads would see each other's half-done
updates. Prints its port; ends with its standard input."""

import logging
import sys
from threading import Thread

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from functions.embedded_aws import AtomicMoto


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, AtomicMoto(), threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
