"""Starts the DynamoDB of `dynamodb_server`, and tells the variables that lead to it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def dynamodb(faults: float = 0.0) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The variables that lead to a DynamoDB, and to the same one where it fails in such a share of its calls."""
    command = [sys.executable, "-m", "tests.stores.dynamodb_server", str(faults)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ports = [int(server.stdout.readline()) for _ in range(2)]
        credentials = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        well, faulty = ({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **credentials} for port in ports)
        yield well, faulty
        server.stdin.close()
