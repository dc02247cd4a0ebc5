"""`make bench`: the CPU time and latency that the gateway adds to a request, compared with a plain FastAPI+httpx proxy.

The gateway (with and without limits), the proxy and the vendor stub are separate processes on loopback. They take turns
at the same requests, one at a time, in each of ROUNDS rounds, so that a machine whose speed drifts affects all alike.
CPU time is that of the measured process only, less its idle CPU time, since the local server polls the batch queue.
DynamoDB is one in memory, in a process that is not measured.
TREE=PATH measures another checkout of this project as well. Linux only.
"""

import base64
import http.client
import json
import math
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.bench_images import PNG
from scripts.bench_vendors import DIMENSIONS, TOKENS, WORD
from scripts.benchmark import SHORT, report, table, whole_number
from scripts.emulator import ROOT, cpu_seconds, free_port
from scripts.serving import Server, application, gateway, isolated

ROUNDS = whole_number("ROUNDS", usual=20, short=1)
REQUESTS = whole_number("REQUESTS", usual=16, short=2)
"""Requests of a kind in a round; of slow kinds there are fewer."""
TREE = os.environ.get("TREE")
PICTURE_BYTES = 1_500_000
_REQUESTS_A_STREAM = 16
_REQUESTS_A_PICTURE = 8
_MOST_SECONDS = 1800.0
"""No round begins later than this."""
_ANSWER_SECONDS = 30.0
_SETTLE_SECONDS = 0.1
"""For what a process still does for a request whose answer has left."""
_IDLE_SECONDS = 5.0
_DIRECT, _PLAIN, _GATEWAY, _OTHER = "directly", "FastAPI+httpx", "gateway", "TREE"
# One that the gateway, too, asks by chat completions.
_OPENAI_MODEL = "mistral-medium-latest"
_LIMITED = ", limits"
_NEW_KEY = ["keys", "create", "bench", "--requests-per-minute", "60000", "--tokens-per-minute", "100000000"]
_NEW_KEY += ["--concurrency", "1000", "--budget-month", "1000000"]


@dataclass(frozen=True)
class Scenario:
    """A request, and how often a subject gets it in a round.

    The vendors' stand-in answers the same body at `vendor_path`. The answer has to hold `expected` `times` times.
    `tokens` are those of a stream, 0 for a whole answer. `beside` names the scenario in which the plain proxy did what
    this one is compared with: the proxy translates nothing.
    """

    name: str
    path: str
    vendor_path: str
    body: bytes
    requests: int
    beside: str
    expected: bytes = WORD.encode()
    times: int = TOKENS
    tokens: int = 0


@dataclass(frozen=True)
class Subject:
    """What requests are sent to, on a port of loopback. The CPU time of the process `pid` is taken."""

    name: str
    port: int
    key: str = "none"
    pid: int | None = None


@dataclass(frozen=True)
class Times:
    """Seconds from a request until the answer's end, or a stream's first token, and from one token to the next."""

    wait: float
    step: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One turn of a subject: CPU seconds a request or streamed token, and the times of each request."""

    cpu: float
    times: list[Times]


_EMBEDDING = Scenario(
    name="embedding",
    path="/v1/embeddings",
    vendor_path="/v1/embeddings",
    body=b'{"model": "text-embedding-3-small", "input": "What can be seen from the coast at night?"}',
    requests=REQUESTS,
    beside="embedding",
    expected=b",",
    times=DIMENSIONS,
)
_OPENING = _EMBEDDING
"""What opens a turn's connections, the subject's own ones with the vendors among them."""
Samples = dict[tuple[str, str], list[Sample]]
"""By the names of scenario and subject, a sample a round."""


def main() -> None:
    """Prints the tables. Exits with a one-line message if a server does not start or responds unexpectedly."""
    trees = {_GATEWAY: ROOT} | ({_OTHER: _other_tree(TREE)} if TREE else {})
    scenarios = _scenarios()
    with ExitStack() as stack:
        permit_port = free_port()
        vendors = stack.enter_context(application("scripts.bench_vendors:app", {"PERMIT_PORT": str(permit_port)}))
        subjects = [Subject(_DIRECT, vendors.port), stack.enter_context(_plain(vendors))]
        for name, tree in trees.items():
            subjects += stack.enter_context(_gateways(name, tree, vendors))
        client = stack.enter_context(Client(permit_port))
        samples = _measure(client, scenarios, subjects)
    names = [subject.name for subject in subjects if subject.pid]
    print(_times([scenario for scenario in scenarios if not scenario.tokens], names, samples), end="\n\n")
    print(_times([scenario for scenario in scenarios if scenario.tokens], names, samples), end="\n\n")
    report("bench", _ratios(scenarios, samples))


def _other_tree(path: str) -> Path:
    tree = Path(path).resolve()
    if not (tree / "functions" / "__main__.py").exists():
        sys.exit(f"TREE={path} is not a checkout of this project")
    return tree


# ---- The requests ----------------------------------------------------------------------------------------------------


def _scenarios() -> list[Scenario]:
    openai, anthropic = "/v1/chat/completions", "/v1/messages"
    gemini = "/v1beta/models/bench:generateContent"
    gemini_stream = "/v1beta/models/bench:streamGenerateContent"
    picture = PNG + random.Random(1).randbytes(PICTURE_BYTES)  # noqa: S311 - the same picture each time
    return [
        _chat("chat", _OPENAI_MODEL, openai),
        _chat("chat to Anthropic", "claude-haiku-4-5", anthropic),
        _chat("chat to Gemini", "gemini-2.5-flash", gemini),
        _chat(
            "chat with a picture",
            _OPENAI_MODEL,
            openai,
            picture=picture,
            requests=max(1, REQUESTS // _REQUESTS_A_PICTURE),
        ),
        _EMBEDDING,
        _stream("stream", _OPENAI_MODEL, openai),
        _stream("stream from Anthropic", "claude-haiku-4-5", anthropic),
        _stream("stream from Gemini", "gemini-2.5-flash", gemini_stream),
    ]


def _chat(
    name: str, model: str, vendor_path: str, *, picture: bytes | None = None, requests: int = REQUESTS
) -> Scenario:
    body = {"model": model, "messages": _messages(picture)}
    return Scenario(
        name=name,
        path="/v1/chat/completions",
        vendor_path=vendor_path,
        body=json.dumps(body).encode(),
        requests=requests,
        beside=name if picture else "chat",
    )


def _stream(name: str, model: str, vendor_path: str) -> Scenario:
    body = {"model": model, "messages": _messages(), "stream": True, "stream_options": {"include_usage": True}}
    return Scenario(
        name=name,
        path="/v1/chat/completions",
        vendor_path=vendor_path,
        body=json.dumps(body).encode(),
        requests=max(1, REQUESTS // _REQUESTS_A_STREAM),
        beside="stream",
        tokens=TOKENS,
    )


def _messages(picture: bytes | None = None) -> list[dict[str, object]]:
    question: object = f"Say {WORD} as often as you can."
    if picture:
        url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        question = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}]
    return [
        {"role": "system", "content": "You are a patient guide who answers in plain words. " * 8},
        {"role": "user", "content": "What can be seen from the coast at night? " * 6},
        {"role": "assistant", "content": "Ships, stars, and the beam that turns above the rocks. " * 6},
        {"role": "user", "content": question},
    ]


# ---- What is measured ------------------------------------------------------------------------------------------------


@contextmanager
def _plain(vendors: Server) -> Iterator[Subject]:
    environment = {"OPENAI_BASE_URL": f"{vendors.url}/v1", "OPENAI_API_KEY": "bench", "PROXY_KEY": "bench"}
    with application("scripts.bench_proxy:app", environment) as server:
        yield Subject(_PLAIN, server.port, "bench", server.pid)


@contextmanager
def _gateways(name: str, tree: Path, vendors: Server) -> Iterator[list[Subject]]:
    """The gateway of a checkout without and with limits."""
    with _aws(tree) as aws_url:
        environment = {
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "OPENAI_BASE_URL": f"{vendors.url}/v1",
            "MISTRAL_BASE_URL": f"{vendors.url}/v1",
            "ANTHROPIC_BASE_URL": vendors.url,
            "GEMINI_BASE_URL": vendors.url,
            **{f"{vendor}_API_KEY": "bench" for vendor in ("OPENAI", "MISTRAL", "ANTHROPIC", "GEMINI")},
        }
        key = _new_key(tree, environment)
        with gateway({**environment, "GATEWAY_LIMITS_TABLE": ""}, tree) as free, gateway(environment, tree) as limited:
            yield [
                Subject(name, free.port, key, free.pid),
                Subject(name + _LIMITED, limited.port, key, limited.pid),
            ]


@contextmanager
def _aws(tree: Path) -> Iterator[str]:
    """The URL of an AWS with what a checkout's gateway needs in it: that of another gateway, which is not measured."""
    with gateway({}, tree) as owner:
        found = re.search(r"^AWS +(\S+)$", owner.output(), re.MULTILINE)
        if not found:
            sys.exit(f"{tree}: the local server does not print where its AWS is:\n{owner.output()[-3000:]}")
        with application("scripts.bench_aws:app", {"MOTO_URL": found[1]}) as server:
            yield server.url


def _new_key(tree: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "shared.cli", "--json", *_NEW_KEY]
    made = subprocess.run(  # noqa: S603 - our own words
        command, cwd=tree, env=isolated(environment), capture_output=True, text=True, check=False
    )
    if made.returncode:
        sys.exit(f"no key could be made:\n{made.stderr}")
    return str(json.loads(made.stdout)["token"])


# ---- Measuring -------------------------------------------------------------------------------------------------------


class Client:
    """Who sends the requests, one at a time, and tells the vendors' stand-in at `permit_port` of each token."""

    def __init__(self, permit_port: int) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", permit_port))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def sample(self, scenario: Scenario, subject: Subject, idle: float) -> Sample:
        """One turn. `idle` is the CPU time a second that the subject has without a request."""
        connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=_ANSWER_SECONDS)
        try:
            self._ask(connection, subject, _OPENING)
            time.sleep(_SETTLE_SECONDS)
            began, before = time.monotonic(), _cpu_seconds(subject)
            times = [self._ask(connection, subject, scenario) for _ in range(scenario.requests)]
            time.sleep(_SETTLE_SECONDS)
            cpu = _cpu_seconds(subject) - before - idle * (time.monotonic() - began)
            return Sample(cpu / (scenario.requests * max(1, scenario.tokens)), times)
        except (OSError, http.client.HTTPException) as error:
            sys.exit(f"{scenario.name}, {subject.name}: {error!r}")
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, subject: Subject, scenario: Scenario) -> Times:
        path = scenario.vendor_path if subject.name == _DIRECT else scenario.path
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {subject.key}"}
        began = time.perf_counter()
        connection.request("POST", path, scenario.body, headers)
        answer = connection.getresponse()
        body = b""
        tokens: list[float] = []
        while len(tokens) < scenario.tokens and (piece := answer.read1()):
            body += piece
            if new := body.count(scenario.expected) - len(tokens):
                tokens += [time.perf_counter()] * new
                self._socket.send(b".")
        body += answer.read()
        end = time.perf_counter()
        if answer.status != 200 or body.count(scenario.expected) < scenario.times:
            sys.exit(f"{scenario.name}, {subject.name}: status {answer.status}, {body[:1000]!r}")
        return Times(tokens[0] - began, (tokens[-1] - tokens[0]) / (len(tokens) - 1)) if tokens else Times(end - began)


def _measure(client: Client, scenarios: list[Scenario], subjects: list[Subject]) -> Samples:
    samples: Samples = {}
    began = time.monotonic()
    idle = dict.fromkeys((subject.name for subject in subjects), 0.0)
    for turn in range(1 if SHORT else 0, ROUNDS + 1):
        if turn == 1 and not SHORT:
            idle = _idle(subjects)
        if turn > 1 and time.monotonic() - began > _MOST_SECONDS:
            print(f"stopped after {turn - 1} rounds", file=sys.stderr)
            break
        for scenario in scenarios:
            for subject in _in_turn(subjects, turn):
                if subject.name == _PLAIN and scenario.beside != scenario.name:
                    continue
                sample = client.sample(scenario, subject, idle[subject.name])
                if turn:  # the first turn only warms up
                    samples.setdefault((scenario.name, subject.name), []).append(sample)
        if sys.stderr.isatty():
            print(f"\r{turn}/{ROUNDS} rounds", end="\n" if turn == ROUNDS else "", file=sys.stderr, flush=True)
    return samples


def _idle(subjects: list[Subject]) -> dict[str, float]:
    """The CPU seconds a second that each has without any request."""
    before = [_cpu_seconds(subject) for subject in subjects]
    time.sleep(_IDLE_SECONDS)
    after = [_cpu_seconds(subject) for subject in subjects]
    return {
        subject.name: (end - begin) / _IDLE_SECONDS for subject, begin, end in zip(subjects, before, after, strict=True)
    }


def _in_turn(subjects: list[Subject], turn: int) -> list[Subject]:
    """In random order, so that no subject is always first or always follows the same other."""
    return random.Random(turn).sample(subjects, len(subjects))  # noqa: S311 - the same order each time


def _cpu_seconds(subject: Subject) -> float:
    return cpu_seconds(subject.pid) if subject.pid else 0.0


# ---- The tables ------------------------------------------------------------------------------------------------------


def _times(scenarios: list[Scenario], subjects: list[str], samples: Samples) -> str:
    """The figures of whole answers, or of streams: medians, and of ratios the middle half of the rounds."""
    streams = scenarios[0].tokens > 0
    columns = ["request", "through", "CPU, µs a token" if streams else "CPU, ms", f"of {_PLAIN}'s"]
    columns += [f"of {_OTHER}'s"] if TREE else []
    columns += ["added to the first token, ms", "to each, ms"] if streams else ["added, ms", "99th percentile, ms"]
    rows = [
        _cells(scenario, subject, samples)
        for scenario in scenarios
        for subject in subjects
        if (scenario.name, subject) in samples
    ]
    return table(columns, rows, names=2)


def _cells(scenario: Scenario, subject: str, samples: Samples) -> list[str]:
    measured = scenario.name, subject
    cpu = statistics.median(sample.cpu for sample in samples[measured])
    cells = [*measured, f"{cpu * 1e6:.0f}" if scenario.tokens else f"{cpu * 1e3:.2f}"]
    cells.append(_spread(_compared(samples, measured, (scenario.beside, _PLAIN))))
    if TREE:
        other = scenario.name, subject.replace(_GATEWAY, _OTHER)
        cells.append(_spread(_compared(samples, measured, other)) if subject.startswith(_GATEWAY) else "")
    added = _added(samples, scenario.name, subject, "wait")
    cells.append(f"{statistics.median(added) * 1e3:.1f}")
    if scenario.tokens:
        cells.append(f"{statistics.median(_added(samples, scenario.name, subject, 'step')) * 1e3:.2f}")
    else:
        cells.append(f"{_percentile(added, 0.99) * 1e3:.1f}")
    return cells


def _ratios(scenarios: list[Scenario], samples: Samples) -> str:
    """The table of README: the gateway's CPU time in that of the plain proxy."""
    rows = []
    for scenario in scenarios:
        ratios = [
            statistics.median(_compared(samples, (scenario.name, subject), (scenario.beside, _PLAIN)))
            for subject in (_GATEWAY, _GATEWAY + _LIMITED)
        ]
        name = f"a token of a {scenario.name}" if scenario.tokens else scenario.name
        rows.append([name, *(f"{ratio:.1f}" for ratio in ratios)])
    return table([f"CPU time, of {_PLAIN}'s", "without limits", "with limits"], rows)


def _compared(samples: Samples, one: tuple[str, str], other: tuple[str, str]) -> list[float]:
    """The CPU time of one in that of the other, round by round."""
    return [mine.cpu / theirs.cpu for mine, theirs in zip(samples[one], samples[other], strict=True)]


def _added(samples: Samples, scenario: str, subject: str, figure: str) -> list[float]:
    """How many seconds each time is longer than the median of the same round's direct ones."""
    added: list[float] = []
    for sample, direct in zip(samples[scenario, subject], samples[scenario, _DIRECT], strict=True):
        least = statistics.median(getattr(times, figure) for times in direct.times)
        added += [getattr(times, figure) - least for times in sample.times]
    return added


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _spread(ratios: list[float]) -> str:
    """The median, and between what the middle half of the rounds lies."""
    low, high = _percentile(ratios, 0.25), _percentile(ratios, 0.75)
    return f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
