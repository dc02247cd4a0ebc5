"""Runs ministack, an emulated AWS, on GATEWAY_PORT, and Lambda functions under AWS's Runtime Interface Emulator.

Started by the Python of `.venv/stack`. ministack executes functions in Docker or by a runner of its own that knows no
streaming runtime; the Runtime Interface Emulator needs no Docker and starts functions as Lambda does, from the code
and the layers that were deployed. What else ministack lacks and a stack of ours needs is added here.
"""

import base64
import contextvars
import hashlib
import io
import json
import os
import sys
import tempfile
import threading
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from ministack import app
from ministack.core import iam_actions
from ministack.core.lambda_runtime import execution_credentials
from ministack.services import apigateway_v1, lambda_svc
from ministack.services.cloudformation import changesets, engine, handlers, provisioners
from samtranslator.translator import transform

from scripts.emulator import Emulated, Function, emulated

Json = dict[str, Any]
URL = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"


class Executions:
    """The functions' versions that have been invoked, each started once and invoked by one at a time."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._lock = threading.Lock()
        self._started: dict[str, tuple[Emulated, threading.Lock]] = {}

    def invoke(self, function: Json, event: Json, url: str, request_id: str) -> Json:
        """The answer of a function as ministack wants it."""
        config = function.get("config") or function
        with self._lock:
            identity = json.dumps([config[name] for name in ("FunctionArn", "Version", "CodeSha256", "Environment")])
            if identity not in self._started:
                unpacked = self._unpacked(config, function["code_zip"])
                started = self._stack.enter_context(emulated(unpacked, _aws(config)))
                self._started[identity] = started, threading.Lock()
        running, lock = self._started[identity]
        with lock:
            answer = running.invoke(event)
        prelude, separator, body = answer.partition(bytes(8))
        if separator:
            return {"body": {**json.loads(prelude), **_encoded(body)}}
        decoded = json.loads(prelude)
        return {"body": decoded, "error": isinstance(decoded, dict) and "errorType" in decoded}

    def _unpacked(self, config: Json, code: bytes) -> Function:
        variables = dict(config["Environment"]["Variables"])
        layers = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers", ())]
        return Function(
            name=config["FunctionName"],
            handler=config["Handler"],
            task=self._folder_of(code),
            path=tuple(self._folder_of(layer) / "python" for layer in layers),
            streaming=variables.pop("AWS_LAMBDA_EXEC_WRAPPER", None) is not None,
            environment={**variables, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(config["Timeout"])},
        )

    def _folder_of(self, archive: bytes) -> Path:
        folder = self._folder / hashlib.sha256(archive).hexdigest()
        if not folder.exists():
            with zipfile.ZipFile(io.BytesIO(archive)) as packed:
                packed.extractall(folder)
        return folder


def _aws(config: Json) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": URL, **execution_credentials(config)}


def _encoded(body: bytes) -> Json:
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


# ---- What ministack lacks --------------------------------------------------------------------------------------------


def give_parameters_to_transforms() -> None:
    """SAM decides by parameters, such as the authorizer that KeyHeader names; ministack gives it none."""
    expand, apply = transform.transform, engine._apply_transforms
    parameters: contextvars.ContextVar[Json | None] = contextvars.ContextVar("parameters", default=None)

    def expanded(template: Json, values: Json, loader: Any) -> Any:
        return expand(template, {**(parameters.get() or {}), **values}, loader)

    def applied(template: Json, provided: Any = None, previous: Any = None) -> Any:
        parameters.set(engine._transform_parameters(template, provided, previous))
        return apply(template, provided, previous)

    transform.transform = expanded
    for module in (engine, changesets, handlers):
        module._apply_transforms = applied


def take_usage_keys_from_authorizers() -> None:
    """ApiKeySourceType: AUTHORIZER, for which an authorizer's answer names the API key."""
    named: contextvars.ContextVar[str | None] = contextvars.ContextVar("named", default=None)
    invoke, authorize, check = (
        apigateway_v1._invoke_authorizer_lambda,
        apigateway_v1._authorize_request_v1,
        apigateway_v1._check_api_key,
    )

    async def invoked(*arguments: Any) -> Json | None:
        result = await invoke(*arguments)
        policy = (result or {}).get("body")
        if result is not None and isinstance(policy, dict) and "usageIdentifierKey" in policy:
            context = {**policy.get("context", {}), "usageIdentifierKey": policy["usageIdentifierKey"]}
            return {**result, "body": {**policy, "context": context}}
        return result

    async def authorized(*arguments: Any) -> tuple[Any, Json | None]:
        error, context = await authorize(*arguments)
        given = dict(context or {})
        named.set(given.pop("usageIdentifierKey", None))
        return error, None if context is None else given

    def checked(method: Json, api: str, stage: str, headers: Json) -> Any:
        return check(method, api, stage, {"x-api-key": named.get()} if named.get() else {})

    apigateway_v1._invoke_authorizer_lambda = invoked
    apigateway_v1._authorize_request_v1 = authorized
    apigateway_v1._check_api_key = checked


def find_functions_that_stream() -> None:
    """Integrations whose URI asks for a streamed invocation; the answer comes as a whole all the same."""
    extract = apigateway_v1._extract_lambda_ref_from_integration_uri

    def extracted(uri: str) -> Any:
        return extract(uri.replace("/response-streaming-invocations", "/invocations"))

    apigateway_v1._extract_lambda_ref_from_integration_uri = extracted


def read_numbers() -> None:
    """A parameter is text also where a number is wanted; CloudFormation converts it."""
    limit = lambda_svc._sqs_esm_concurrency

    def limited(mapping: Json, *arguments: Any) -> int:
        scaling = mapping.get("ScalingConfig") or {}
        if "MaximumConcurrency" in scaling:
            mapping = {**mapping, "ScalingConfig": {"MaximumConcurrency": int(scaling["MaximumConcurrency"])}}
        return int(limit(mapping, *arguments))

    lambda_svc._sqs_esm_concurrency = limited


def decide_as_iam_does() -> None:
    """The actions that batches of messages need, and connections that count as TLS, which is not spoken here."""
    action_of, pin = iam_actions.extract_iam_action, app.pin_request_origin

    def action(*arguments: Any) -> str:
        found = action_of(*arguments)
        return str(found).removesuffix("Batch") if str(found).startswith("sqs:") else found

    iam_actions.extract_iam_action = action
    app.pin_request_origin = lambda address, secure: pin(address, True)


def refer_to_secrets_by_arn() -> None:
    """What Ref gives for a secret; ministack gives the name, on which no policy for a secret fits."""
    secret = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = secret["create"], secret["update"], secret["delete"]

    def name(arn: str) -> str:
        return arn.rpartition(":")[2].rpartition("-")[0]

    def created(*arguments: Any) -> tuple[str, Json]:
        _, attributes = create(*arguments)
        return attributes["Arn"], attributes

    def updated(arn: str, *arguments: Any, **options: Any) -> tuple[str, Json]:
        _, attributes = update(name(arn), *arguments, **options)
        return arn, attributes

    secret["create"] = created
    secret["update"] = updated
    secret["delete"] = lambda arn, *arguments: delete(name(arn), *arguments)


def make_alarms_and_queries() -> None:
    """Alarms of an expression, which become alarms of its first metric, and saved queries, of which nothing is made."""
    record = provisioners._cw_metric_alarm_record

    def recorded(name: str, properties: Json) -> Json:
        given = dict(properties)
        for query in given.pop("Metrics", ()):
            if "MetricStat" in query:
                given |= query["MetricStat"]["Metric"]
                break
        return dict(record(name, given))

    provisioners._cw_metric_alarm_record = recorded
    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (logical_id, {}),
        "update": lambda physical_id, *arguments: (physical_id, {}),
        "delete": lambda physical_id, properties: None,
    }


def main() -> None:
    decide_as_iam_does()
    make_alarms_and_queries()
    refer_to_secrets_by_arn()
    give_parameters_to_transforms()
    take_usage_keys_from_authorizers()
    find_functions_that_stream()
    read_numbers()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        lambda_svc._proxy_url_for = lambda config: URL
        lambda_svc._execute_function_proxy = Executions(Path(folder), stack).invoke
        sys.argv = sys.argv[:1]
        app.main()


if __name__ == "__main__":
    main()
