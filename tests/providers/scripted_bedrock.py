"""A Bedrock on loopback: checks signatures and requests as AWS would, and answers what it is told.

Both the gateway and AWS's own SDK are its clients, so that the bytes that it serves are what the SDK accepts.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.providers.wires.bedrock import CREDENTIALS, validate

_PATH = re.compile(r"/model/(?P<model>[^/]+)/(?P<action>converse|converse-stream|invoke)")
_SHAPES = {"converse": "ConverseRequest", "converse-stream": "ConverseStreamRequest"}


@dataclass
class ScriptedBedrock:
    """What the service answers, and what it was asked. A streamed body is sent in `pieces`."""

    region: str = "eu-west-1"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Sequence[bytes] = ()
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Model, action and body of each request that was accepted."""
    url: str = ""

    def respond(self, *pieces: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.pieces, self.headers = status, pieces, headers or {}


def signature(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    region: str,
    *,
    token: str | None = CREDENTIALS["AWS_SESSION_TOKEN"],
) -> str:
    """What botocore's signer says of a request, from the headers that it claims to have signed."""
    claimed = re.search(r"SignedHeaders=([^,]+)", headers["authorization"])
    assert claimed is not None
    given = {name: headers[name] for name in claimed[1].split(";")}
    signed_at = datetime.strptime(given.pop("x-amz-date"), "%Y%m%dT%H%M%SZ")
    given.pop("x-amz-security-token", None)
    request = AWSRequest(method, url, data=body, headers=given)
    credentials = Credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"], token)
    with patch("botocore.auth.get_current_datetime", lambda: signed_at):
        SigV4Auth(credentials, "bedrock", region).add_auth(request)
    return str(request.headers["Authorization"])


@contextmanager
def scripted_bedrock() -> Iterator[ScriptedBedrock]:
    service = ScriptedBedrock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            expected = signature("POST", service.url + self.path, headers, body, service.region)
            found = _PATH.fullmatch(self.path)
            if headers["authorization"] != expected or found is None:
                self._send(403, {"x-amzn-errortype": "InvalidSignatureException"}, [b'{"message":"no"}'])
                return
            model, action = unquote(found["model"]), found["action"]
            parsed = json.loads(body)
            if action in _SHAPES:
                validate({"modelId": model, **parsed}, _SHAPES[action])
            service.asked.append((model, action, parsed))
            self._send(service.status, service.headers, service.pieces)

        def _send(self, status: int, headers: Mapping[str, str], pieces: Sequence[bytes]) -> None:
            self.send_response(status)
            for name, value in {"x-amzn-requestid": "aws-1", "content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in (*pieces, b""):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        yield service
        server.shutdown()
