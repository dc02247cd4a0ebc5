"""`make sam-local`: serves the built template by `sam local`, with an embedded AWS; given event files, invokes them.

SAM passes on only variables that the template declares, so a copy of the built template declares the embedded AWS's
address.
"""

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from moto.server import ThreadedMotoServer

from functions.embedded_aws import LOCAL_TOKEN, seed, seed_batches
from shared.batches.object_keys import input_key
from shared.dialects.openai.speech import MEDIA_TYPES
from shared.schemas.batch import WINDOW_SECONDS, Submission
from shared.schemas.caller import Caller
from shared.schemas.stored_response import BackgroundRequest, StoredResponse
from shared.stores.aws import Aws
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore, hash_token
from shared.stores.limits.store import LimitStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue
from shared.stores.responses import ResponseStore
from shared.stores.stack_secret import StackSecret
from shared.stores.tenants import TenantFolders

ROOT = Path(__file__).parents[1]
BUILT = ROOT / ".aws-sam" / "build" / "template.yaml"
WIRED = BUILT.with_name("local.json")
SAM = ROOT / ".venv" / "sam" / "bin" / "sam"
ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64"}.get(platform.machine().lower(), "arm64")
IMAGE = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"
TABLE = "keys"
LIMITS = "limits"
USAGE = "usage"
BUCKET = "media"
SECRET = "providers"  # noqa: S105 - a name
TENANTS = "tenants"
BATCHES = "batches"
SAMPLE_FILE = b"The lighthouse is lit at dusk.\n"
SAMPLE_LINE = (
    b'{"custom_id":"request-1","method":"POST","url":"/v1/chat/completions",'
    b'"body":{"model":"Auto","messages":[{"role":"user","content":"Hello"}]}}\n'
)


def main() -> None:
    """Serves until Ctrl-C, or answers the events and exits, with 1 when one of them failed."""
    if not _docker("info"):
        sys.exit("No Docker engine answers, and `sam local` needs one: `docker info` says more.")
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell ignores Ctrl-C for what it started in the background
        signal.signal(number, signal.default_int_handler)
    with _aws() as environment, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_fill(environment))
        template = yaml.safe_load(BUILT.read_text("utf-8"))
        WIRED.write_text(json.dumps(_wired(template, environment)), "utf-8")
        # SAM itself asks AWS for the account's number.
        os.environ["AWS_ENDPOINT_URL_STS"] = environment["AWS_ENDPOINT_URL_DYNAMODB"]
        if sys.argv[1:]:
            sys.exit(_answer(template, [Path(name) for name in sys.argv[1:]]))
        _serve(os.environ.get("PORT", "8080"), environment["AWS_ENDPOINT_URL_DYNAMODB"])


@contextlib.contextmanager
def _aws() -> Iterator[dict[str, str]]:
    """Runs the embedded AWS where containers reach it, and gives the variables that lead there."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every call
    address, name = _host()
    server = ThreadedMotoServer(address, port=0, verbose=False)
    server.start()
    url = f"http://{name}:{server.get_host_and_port()[1]}"
    services = ("DYNAMODB", "S3", "SECRETS_MANAGER", "SQS")
    try:
        yield {f"AWS_ENDPOINT_URL_{service}": url for service in services}
    finally:
        server.stop()


def _host() -> tuple[str, str]:
    """The address that the embedded AWS listens on, and the name that containers know it by."""
    if platform.system() != "Linux":
        return "127.0.0.1", "host.docker.internal"
    network = json.loads(_docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    gateway = network.get("Gateway") or str(next(ipaddress.ip_network(network["Subnet"]).hosts()))
    return gateway, gateway


async def _fill(environment: dict[str, str]) -> None:
    """Makes the table with the local key, and the secret with the providers' keys of this shell."""
    local = {name: url.replace("host.docker.internal", "127.0.0.1") for name, url in environment.items()}
    aws = Aws({**local, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"})
    objects = ObjectStore(aws, BUCKET)
    secret = StackSecret(aws, TENANTS)
    folders = TenantFolders(secret)
    await seed(KeyStore(aws, TABLE), objects, LimitStore(aws, LIMITS, USAGE), secret)
    await store_sample_files(objects, folders)
    batches = BatchStore(aws, BATCHES)
    await seed_batches(batches, Queue(aws, BATCHES))
    await store_sample_batches(objects, batches, folders)
    await store_sample_responses(ResponseStore(objects, folders))
    given = {name: os.environ[name] for name in _provider_variables() if os.environ.get(name)}
    await aws.call("secretsmanager", "CreateSecret", {"Name": SECRET, "SecretString": json.dumps(given)})
    await aws.aclose()


async def store_sample_files(objects: ObjectStore, folders: TenantFolders) -> None:
    """Stores each file that a sample event names, under the key that `shared/stores/files.py` gives it."""
    for path in (ROOT / "events").glob("*.json"):
        event = json.loads(path.read_text("utf-8"))
        if file_id := (event.get("pathParameters") or {}).get("file_id"):
            tenant = json.loads(event["requestContext"]["authorizer"]["caller"])["tenant"]
            folder = await folders.of(tenant)
            await objects.put(f"files/{folder}/{file_id}/user_data/notes.txt", SAMPLE_FILE, "text/plain")


async def store_sample_batches(objects: ObjectStore, batches: BatchStore, folders: TenantFolders) -> None:
    """Stores each batch, and each batch's input file, that a sample event names."""
    for path in (ROOT / "events").glob("*.json"):
        event = json.loads(path.read_text("utf-8"))
        if "authorizer" not in event.get("requestContext", {}):
            continue
        caller = Caller.model_validate_json(event["requestContext"]["authorizer"]["caller"])
        if batch_id := (event.get("pathParameters") or {}).get("batch_id"):
            now = int(time.time())
            submission = Submission(
                id=batch_id,
                caller=caller,
                token_hash=hash_token(LOCAL_TOKEN),
                window="24h",
                metadata=None,
                endpoint=None,
                input_file_id=None,
                created_at=now,
                expires_at=now + WINDOW_SECONDS["24h"],
            )
            await objects.put(input_key(submission), SAMPLE_LINE, "application/jsonl")
            await batches.add(submission)
        if '"input_file_id"' in (event["body"] or ""):
            file_id = json.loads(event["body"])["input_file_id"]
            folder = await folders.of(caller.tenant)
            await objects.put(f"files/{folder}/{file_id}/batch/lines.jsonl", SAMPLE_LINE, "application/jsonl")


async def store_sample_responses(responses: ResponseStore) -> None:
    """Stores each response that a sample event names; that of a cancellation is one in the background."""
    for path in (ROOT / "events").glob("*.json"):
        event = json.loads(path.read_text("utf-8"))
        if response_id := (event.get("pathParameters") or {}).get("response_id"):
            caller = Caller.model_validate_json(event["requestContext"]["authorizer"]["caller"])
            body = {"id": response_id, "status": "completed", "background": True, "created_at": 0, "output": []}
            if event["resource"].endswith("/cancel"):
                token_hash = hash_token(LOCAL_TOKEN)
                await responses.queue(
                    caller.tenant, BackgroundRequest(caller=caller, token_hash=token_hash, body={}, response=body)
                )
            else:
                await responses.put(caller.tenant, StoredResponse(body))


def _provider_variables() -> set[str]:
    providers = tomllib.loads((ROOT / "shared" / "catalog.toml").read_text("utf-8"))["providers"].values()
    addressed = {row[name] for row in providers for name in ("api_key_env", "base_url_env") if name in row}
    return addressed.union(*(row.get("requires", ()) for row in providers))


def _wired(template: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """The template with every function's variables led to the embedded AWS."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Api":
            # `sam local` buffers what a stack streams, and would answer these in base64.
            resource["Properties"]["BinaryMediaTypes"] += [*MEDIA_TYPES.values(), "application/octet-stream"]
            # It knows no function by an alias.
            for authorizer in resource["Properties"]["Auth"]["Authorizers"].values():
                authorizer["FunctionArn"] = {"Fn::GetAtt": ["AuthorizerFunction", "Arn"]}
        if resource["Type"] == "AWS::Serverless::Function":
            variables = resource["Properties"].setdefault("Environment", {}).setdefault("Variables", {})
            variables |= environment | {
                "GATEWAY_KEYS_TABLE": TABLE,
                "GATEWAY_LIMITS_TABLE": LIMITS,
                "GATEWAY_USAGE_TABLE": USAGE,
                "GATEWAY_MEDIA_BUCKET": BUCKET,
                "GATEWAY_BATCHES_TABLE": BATCHES,
                "GATEWAY_BATCH_QUEUE": BATCHES,
                "GATEWAY_PROVIDER_SECRET": SECRET,
                "GATEWAY_TENANT_SECRET": TENANTS,
            }
    return template


def _serve(port: str, aws: str) -> None:
    """Runs `sam local start-api`, which removes its containers when it is interrupted, once."""
    print(f"\nGateway    http://127.0.0.1:{port}\nKey        {LOCAL_TOKEN}\nAWS        {aws}\n", flush=True)
    command, environment = _sam("start-api", "--port", port, "--warm-containers", "LAZY")
    # In a session of its own, so that Ctrl-C does not reach it by itself as well.
    with subprocess.Popen(command, env=environment, start_new_session=True) as sam:  # noqa: S603 - our own words
        try:
            sam.wait()
        except KeyboardInterrupt:
            sam.send_signal(signal.SIGINT)
            sam.wait()


def _answer(template: dict[str, Any], events: list[Path]) -> int:
    """Prints how the template's function answers each event. Returns 1 when one was no success.

    A route whose models are all a vendor's is not counted while this shell lacks the vendor's key.
    """
    functions = {route: function for function, route in _routes(template)}
    failed = 0
    for path in events:
        event = json.loads(path.read_text("utf-8"))
        function = functions.get((event.get("httpMethod", "").lower(), event.get("resource")), "")
        if event.get("type") == "REQUEST":
            function = "AuthorizerFunction"
        if "Records" in event:
            function = "BatchWorkerFunction"
        command, environment = _sam("invoke", function, "--event", str(path))
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        line = result.stdout.strip().rpartition("\n")[2]
        answer = json.loads(line) if line.startswith("{") else {}
        verdict = _verdict(answer)
        failed |= verdict == "FAIL"
        print(f"{verdict:5} {path.stem:24} {function:22} {line[:100]}", flush=True)
    return failed


def _verdict(answer: dict[str, Any]) -> str:
    if answer.get("statusCode") == 200 or "policyDocument" in answer or answer == {"batchItemFailures": []}:
        return "ok"
    unconfigured = answer.get("statusCode") == 404 and "is not configured" in answer.get("body", "")
    return "nokey" if unconfigured else "FAIL"


def _routes(template: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, resource in template["Resources"].items():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "Api":
                yield name, (event["Properties"]["Method"], event["Properties"]["Path"])


def _sam(command: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """A command line of SAM, and the environment for it."""
    options = ["--template", str(WIRED), "--region", "us-east-1"]
    options += ["--parameter-overrides", f"Architecture={ARCHITECTURE} Sandbox=on"]
    if _docker("image", "inspect", IMAGE):
        options.append("--skip-pull-image")
    environment = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", **os.environ}
    return [str(SAM), "local", command, *arguments, *options], {**environment, "SAM_CLI_TELEMETRY": "0"}


def _docker(*arguments: str) -> str:
    """What the Docker client prints; nothing when it fails or is not there."""
    docker = shutil.which("docker")
    if docker is None:
        return ""
    result = subprocess.run([docker, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    return result.stdout if result.returncode == 0 else ""


if __name__ == "__main__":
    main()
