"""The local server as the process that `make run` starts: how it begins, what it logs, how it ends."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.providers.wires import gemini
from tests.sdk.curl import needs_curl, shell
from tests.sdk.server import TOKEN, LocalServer, run_to_the_end, running
from tests.sdk.vendor import KEY, Gate, Vendor, in_two, serving

AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
PROMPT = "a-prompt-that-nobody-may-read"
CHAT = "/v1/chat/completions"


def chat(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], **fields}


def awaited(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def served() -> Iterator[Vendor]:
    with serving() as vendor:
        yield vendor


@pytest.fixture
def vendor(served: Vendor) -> Vendor:
    """A vendor that says its plain answer."""
    answer = gemini.wire.answers["text"]
    served.say(answer.body, [answer.stream])
    return served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, served: Vendor) -> Iterator[LocalServer]:
    with running(tmp_path_factory.mktemp("server"), **served.environment()) as server:
        yield server


@pytest.fixture
def client(server: LocalServer, vendor: Vendor) -> Iterator[httpx.Client]:
    with (
        server.shown(),
        httpx.Client(
            base_url=server.url, headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=60.0
        ) as client,
    ):
        yield client


# --- starting


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalServer, float]]:
    """A server for which nothing is set, and how many seconds it took to answer."""
    began = time.monotonic()
    with running(tmp_path_factory.mktemp("newcomer")) as server:
        answer = httpx.get(f"{server.url}/v1/models", headers=AUTHORIZED, trust_env=False)
        assert answer.status_code == 200
        yield server, time.monotonic() - began


def test_it_answers_soon_after_its_start(newcomer: tuple[LocalServer, float], capsys: Any) -> None:
    _, seconds = newcomer
    with capsys.disabled():
        print(f"\npython -m functions answers after {seconds:.1f} s")
    assert seconds < 30


def test_its_banner_tells_all_that_a_newcomer_needs(newcomer: tuple[LocalServer, float]) -> None:
    server, _ = newcomer
    table = server.banner.partition("\ncurl ")[0]
    told = dict(line.split(None, 1) for line in table.splitlines() if line)
    assert told.keys() == {"Gateway", "OpenAPI", "Key", "Providers", "AWS"}
    assert told["Key"] == TOKEN
    assert told["Providers"] == "sandbox"
    assert told["AWS"].startswith("http://127.0.0.1:")
    assert "/v1/chat/completions" in httpx.get(told["OpenAPI"], trust_env=False).json()["paths"]


@needs_curl
def test_the_curl_line_that_it_prints_works_as_printed(newcomer: tuple[LocalServer, float], tmp_path: Path) -> None:
    server, _ = newcomer
    with server.shown():
        answer = shell(server.banner[server.banner.index("curl ") :], tmp_path)
    assert answer.status == 200
    *chunks, done = answer.frames()
    assert done == "[DONE]"
    assert "Hello" in "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"GATEWAY_MAX_BODY": "abc"}, "GATEWAY_MAX_BODY"),
        ({"GATEWAY_SANDBOX": "perhaps"}, "GATEWAY_SANDBOX"),
        ({"GATEWAY_CATALOG": "/nowhere/catalog.toml"}, "/nowhere/catalog.toml"),
        ({"PORT": "abc"}, "PORT"),
        ({"PORT": "99999"}, "PORT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "=".join(*value.items()),
)
def test_a_wrong_setting_is_one_line_that_names_it(settings: dict[str, str], named: str, tmp_path: Path) -> None:
    assert_refused(run_to_the_end(tmp_path, **{"PORT": "0", **settings}), named)


def test_a_catalog_that_is_no_toml_is_one_line_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text("[[models]\nid = \n", "utf-8")
    assert_refused(run_to_the_end(tmp_path, PORT="0", GATEWAY_CATALOG=str(path)), str(path))


def test_it_warns_of_upstream_models_that_are_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text("[[models]]\nid = 'sandbox/chat'\nretires = 2020-01-01\n", "utf-8")
    with running(tmp_path, GATEWAY_CATALOG=str(path)) as server:
        (warning,) = [line for line in server.banner.splitlines() if line.startswith("Warning ")]
        assert "sandbox retired chat on 2020-01-01" in warning
        assert "sandbox/chat" in warning
        answer = httpx.get(f"{server.url}/v1/models/sandbox/chat", headers=AUTHORIZED, trust_env=False)
        assert answer.json()["retired"] is True


def test_a_port_that_is_taken_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(run_to_the_end(tmp_path, PORT=port), port)


def assert_refused(result: Any, named: str) -> None:
    assert result.returncode != 0
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert named in line
    assert "Traceback" not in line


def test_an_empty_name_of_the_limits_table_turns_limits_off(tmp_path: Path) -> None:
    with running(tmp_path, GATEWAY_LIMITS_TABLE="") as server, server.shown():
        answer = httpx.post(
            f"{server.url}{CHAT}",
            json=chat("sandbox/chat"),
            headers={"authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )
        assert answer.status_code == 200


# --- answering


def test_a_foreign_host_is_refused_by_server_and_embedded_aws(client: httpx.Client, server: LocalServer) -> None:
    aws = dict(line.split(None, 1) for line in server.banner.splitlines() if line.startswith("AWS"))["AWS"]
    for url in (f"{server.url}/v1/models", aws):
        answer = client.get(url, headers={"host": "evil.example"})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/v1/models", headers={"host": "localhost"}).status_code == 200


def test_a_body_that_is_too_large_is_refused_while_it_is_still_being_sent(client: httpx.Client) -> None:
    answer = client.post(CHAT, content=bytes(33 * 2**20), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "32 MB" in answer.json()["error"]["message"]


# --- logging


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_one_log_line_with_its_id_model_and_tokens(
    server: LocalServer, client: httpx.Client, stream: bool
) -> None:
    request_id = f"logged-{stream}"
    client.post(CHAT, json=chat(gemini.MODEL, stream=stream), headers={"x-request-id": request_id})
    (line,) = server.logged(request_id)
    usage = gemini.wire.answers["text"].means.usage
    expected = {
        "level": "INFO",
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "key_id": "local",
        "model": gemini.MODEL,
        "backend": f"gemini/{gemini.UPSTREAM}",
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
    assert {name: line[name] for name in expected} == expected
    assert isinstance(line["duration_ms"], int)


@pytest.mark.parametrize(
    ("path", "key", "body", "status"),
    [
        (CHAT, "sk-unknown-token", chat(gemini.MODEL), 401),
        (CHAT, TOKEN, chat("nobody/nothing"), 404),
        ("/v1/nowhere", TOKEN, {}, 404),
        (CHAT, TOKEN, chat(gemini.MODEL, temperature=9), 400),
        (CHAT, TOKEN, chat("sandbox/fail-429"), 429),
        (CHAT, TOKEN, chat("sandbox/fail-401"), 502),
        ("/ai/chat", TOKEN, chat("sandbox/fail-500"), 502),
    ],
    ids=["key", "model", "path", "field", "rate", "vendor-key", "vendor"],
)
def test_a_refused_request_is_one_log_line_too(
    server: LocalServer, client: httpx.Client, path: str, key: str, body: dict[str, Any], status: int
) -> None:
    answer = client.post(path, json=body, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == status
    request_id = answer.headers["x-request-id"]

    def told(message: str) -> list[dict[str, Any]]:
        return [line for line in server.logged(request_id) if line["message"] == message]

    (line,) = awaited(lambda: told("request"), "the request is not logged")
    assert (line["path"], line["status"]) == (path, status)
    # A provider's failure is a line of its own.
    calls = told("provider call failed")
    assert [(line["provider"], line["level"]) for line in calls] == [("sandbox", "WARNING")] * (status in (429, 502))
    assert_nothing_private(server, key)


def test_what_it_writes_holds_no_token_key_or_prompt(server: LocalServer, client: httpx.Client, vendor: Vendor) -> None:
    answers = [
        client.post(CHAT, json=chat(model, stream=stream))
        for model in (gemini.MODEL, "sandbox/chat", "sandbox/fail-midstream")
        for stream in (False, True)
    ]
    answers.append(client.post(CHAT, content=json.dumps(chat("sandbox/chat"))[:-1]))
    vendor.say(f"<html>{KEY} {PROMPT}</html>".encode())
    answers.append(client.post(CHAT, json=chat(gemini.MODEL)))
    assert answers[-1].status_code == 502
    for answer in answers:
        server.logged(answer.headers["x-request-id"])
    assert_nothing_private(server, TOKEN)


def assert_nothing_private(server: LocalServer, token: str) -> None:
    """The banner alone shows a token: its own."""
    written = server.stdout().removeprefix(server.banner) + server.stderr()
    for private in (token, KEY, PROMPT, gemini.GREETING):
        assert private not in written
    assert KEY not in server.banner


# --- batches

needs_procfs = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are read from /proc")


def workers(server: LocalServer) -> list[int]:
    """The processes that the server has started and that live."""
    children = Path(f"/proc/{server.pid}/task").glob("*/children")
    return [int(pid) for found in children for pid in found.read_text().split()]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def run_batch(client: httpx.Client) -> str:
    """How a batch of one line has ended."""
    line = {"custom_id": "a", "method": "POST", "url": "/v1/inference/chat", "body": chat("sandbox/chat")}
    batch = client.post("/v1/inference/batch", json={"requests": [line]}).json()["data"]

    def ended() -> Any:
        now = client.get(f"/v1/inference/batch/{batch['id']}").json()["data"]
        return now["completed_at"] and now

    return str(awaited(ended, "the batch does not end")["status"])


@needs_procfs
def test_batches_are_answered_by_a_process_of_their_own_which_is_started_anew(
    server: LocalServer, client: httpx.Client
) -> None:
    (worker,) = workers(server)
    assert run_batch(client) == "completed"
    os.kill(worker, signal.SIGKILL)
    awaited(lambda: workers(server) not in ([worker], []), "no other worker is started")
    assert run_batch(client) == "completed"


@needs_procfs
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_worker_ends_with_the_server_however_that_ends(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as server:
        (worker,) = awaited(lambda: workers(server), "no worker is started")
        os.kill(server.pid, number)
        awaited(server.has_ended, "the server does not end")
        awaited(lambda: not lives(worker), "the worker outlives the server")


# --- ending


def test_ctrl_c_ends_it_amid_an_open_stream(tmp_path: Path) -> None:
    answer = gemini.wire.answers["text"]
    gate = Gate()
    with serving() as vendor, running(tmp_path, **vendor.environment()) as server, server.shown():
        vendor.say(pieces=in_two(answer.stream, gemini.GREETING[:7]), between=gate)
        with (
            httpx.Client(trust_env=False, timeout=60.0) as client,
            client.stream(
                "POST",
                f"{server.url}{CHAT}",
                json=chat(gemini.MODEL, stream=True),
                headers={"authorization": f"Bearer {TOKEN}", "x-request-id": "open"},
            ) as response,
        ):
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            try:
                status = server.stop()
            finally:
                gate.open()
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        assert status == 0
        assert "Traceback" not in server.stderr()
        (line,) = server.logged("open")
        assert line["status"] == 200
