"""The events of API Gateway and of function URLs, as AWS documents them."""

from collections.abc import Mapping
from typing import Any


def rest_event(path: str = "/", *, method: str = "GET", **fields: Any) -> dict[str, Any]:
    """Of a REST API: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": None,
        "multiValueHeaders": None,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path[1:]},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "httpMethod": method,
            "identity": {"sourceIp": "203.0.113.7"},
            "path": f"/live{path}",
            "requestId": "gateway-request",
            "stage": "live",
        },
        "body": None,
        "isBase64Encoded": False,
        **fields,
    }


def rest_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a REST API's event that hold headers."""
    return {"headers": dict(headers), "multiValueHeaders": {name: [value] for name, value in headers.items()}}


def url_event(path: str = "/", *, method: str = "GET", host: str = "", **fields: Any) -> dict[str, Any]:
    """Payload format 2.0: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html. `host` is the API's."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": {
            "accountId": "anonymous",
            "domainName": host or "id.lambda-url.us-east-1.on.aws",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7"},
            "requestId": "url-request",
            "stage": "$default",
        },
        "isBase64Encoded": False,
        **fields,
    }
