"""`gateway keys` and `gateway tenants`: creates, lists, shows, rotates and revokes keys, and sets tenants' limits."""

import secrets
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.cli import values
from shared.cli.output import Output
from shared.cli.target import NoTarget, Target, client
from shared.schemas.caller import Key, Permission
from shared.schemas.limits import MINUTE, Limits
from shared.schemas.replay import KEPT_SECONDS

_DEFAULT_PERMISSIONS = frozenset({Permission.MODELS_USE, Permission.BATCH_USE})
_LIMITS = {
    "requests_per_minute": values.whole(MINUTE),
    "tokens_per_minute": values.whole(10**12),
    "concurrency": values.whole(10**9),
    "budget_day": values.dollars,
    "budget_month": values.dollars,
}


class NoSuchKey(Exception):
    """No usable key has that id, or the tenant has none."""


def add_commands(commands: Any) -> None:
    """Adds the parsers of both commands."""
    keys = commands.add_parser("keys", help="create, list, show, rotate and revoke keys").add_subparsers(required=True)
    create = keys.add_parser("create", help="create a key; its token is shown only once")
    create.add_argument("name", help="a name for people")
    create.add_argument("--tenant", help="the tenant, whose keys share files, images and batches (default: the name)")
    create.add_argument("--permissions", type=_permissions, default=_DEFAULT_PERMISSIONS, metavar="LIST")
    create.add_argument(
        "--models", type=values.listed, metavar="LIST", help="the models that it may use (default: all)"
    )
    create.add_argument("--expires", type=values.moment, metavar="WHEN", help="a day, or a duration such as 30d")
    create.add_argument(
        "--cache-seconds",
        type=values.whole(KEPT_SECONDS),
        metavar="N",
        help="for how long an answer is given again to equal requests, unless a request says otherwise",
    )
    create.add_argument(
        "--api-gateway", action="store_true", help="also create an API Gateway key in the stack's usage plan"
    )
    _add_limits(create)
    create.set_defaults(run=_create)
    keys.add_parser("list", help="list all keys").set_defaults(run=_list)
    show = keys.add_parser("show", help="show a key's details")
    show.add_argument("key_id")
    show.set_defaults(run=_show)
    rotate = keys.add_parser("rotate", help="give a key a new token; the old one stays valid for a while")
    rotate.add_argument("key_id")
    rotate.add_argument("--overlap", type=values.duration, default=timedelta(days=1), metavar="TIME")
    rotate.set_defaults(run=_rotate)
    revoke = keys.add_parser("revoke", help="revoke a key, effective within a minute")
    revoke.add_argument("key_id")
    revoke.set_defaults(run=_revoke)
    tenants = commands.add_parser("tenants", help="set the limits shared by all keys of a tenant").add_subparsers(
        required=True
    )
    limit = tenants.add_parser("limit", help="set a tenant's limits; limits not given are removed")
    limit.add_argument("tenant")
    _add_limits(limit)
    limit.set_defaults(run=_limit_tenant)


def _add_limits(parser: ArgumentParser) -> None:
    for name, read in _LIMITS.items():
        metavar = "DOLLARS" if read is values.dollars else "N"
        parser.add_argument(f"--{name.replace('_', '-')}", type=read, metavar=metavar)


def _permissions(text: str) -> frozenset[Permission]:
    try:
        return frozenset(map(Permission, values.listed(text)))
    except ValueError:
        raise ArgumentTypeError(f"permissions are a list of: {', '.join(Permission)}") from None


def _limits(options: Namespace) -> Limits:
    return Limits(**{name: getattr(options, name) for name in _LIMITS})


async def _create(options: Namespace, target: Target, output: Output) -> None:
    if options.expires and options.expires <= _now():
        raise ValueError("--expires: is in the past")
    limits = _limits(options)
    tenant = options.tenant or options.name
    usage_key = _new_usage_key(target, options.name) if options.api_gateway else None
    key = Key(
        key_id=f"key_{secrets.token_hex(6)}",
        name=options.name,
        tenant=tenant,
        permissions=options.permissions,
        models=options.models,
        limits=limits,
        tenant_limits=await _tenant_limits(target, tenant),
        cache_seconds=options.cache_seconds,
        created_at=_now(),
        expires_at=options.expires,
        usage_key=usage_key,
    )
    token = _new_token()
    await target.keys.put(token, key)
    output.one({**_described([key]), "token": token})


async def _tenant_limits(target: Target, tenant: str) -> Limits:
    """The tenant's limits, from one of its keys: each key holds a copy, so that requests need no extra look-up."""
    for key in await target.keys.all():
        if key.tenant == tenant:
            return key.tenant_limits
    return Limits()


async def _list(options: Namespace, target: Target, output: Output) -> None:
    found = _by_id(await target.keys.all())
    rows = [_described(keys) for keys in sorted(found.values(), key=lambda keys: (keys[0].tenant, keys[0].name))]
    output.rows(rows, empty="There are no keys yet. Create one with: gateway keys create NAME")


async def _show(options: Namespace, target: Target, output: Output) -> None:
    keys = await _find(target, options.key_id)
    limits = {f"tenant_{name}": value for name, value in _described_limits(keys[0].tenant_limits).items()}
    output.one({**_described(keys), **limits})


async def _rotate(options: Namespace, target: Target, output: Output) -> None:
    old = await _find(target, options.key_id)
    newest = max(old, key=lambda key: key.created_at or datetime.min.replace(tzinfo=UTC))
    if not newest.usable(_now()):
        raise NoSuchKey(f"The key {options.key_id} is {_state(old)}. Create another with: gateway keys create")
    until = _now() + options.overlap
    await target.keys.change(
        options.key_id,
        lambda key: key.model_copy(update={"expires_at": min(until, key.expires_at or until)}),
    )
    token = _new_token()
    await target.keys.put(token, newest.model_copy(update={"created_at": _now()}))
    output.one({"key_id": options.key_id, "old_tokens_work_until": until.isoformat("T", "seconds"), "token": token})


async def _revoke(options: Namespace, target: Target, output: Output) -> None:
    await _find(target, options.key_id)
    await target.keys.change(options.key_id, lambda key: key.model_copy(update={"revoked": True}))
    output.one({"key_id": options.key_id, "revoked": True})


async def _limit_tenant(options: Namespace, target: Target, output: Output) -> None:
    limits = _limits(options)
    ids = {key.key_id for key in await target.keys.all() if key.tenant == options.tenant}
    if not ids:
        raise NoSuchKey(f"The tenant {options.tenant} has no key.")
    for key_id in sorted(ids):
        await target.keys.change(key_id, lambda key: key.model_copy(update={"tenant_limits": limits}))
    output.one({"tenant": options.tenant, "keys": len(ids), **_described_limits(limits)})


async def _find(target: Target, key_id: str) -> list[Key]:
    keys = [key for key in await target.keys.all() if key.key_id == key_id]
    if not keys:
        raise NoSuchKey(f"Unknown key {key_id}. List the keys with: gateway keys list")
    return keys


def _by_id(keys: Sequence[Key]) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {}
    for key in keys:
        found.setdefault(key.key_id, []).append(key)
    return found


def _described(keys: Sequence[Key]) -> Mapping[str, Any]:
    """A key's details; `keys` has several entries while an old token is still valid."""
    newest = max(keys, key=lambda key: key.created_at or datetime.min.replace(tzinfo=UTC))
    return {
        "key_id": newest.key_id,
        "name": newest.name or newest.key_id,
        "tenant": newest.tenant,
        "state": _state(keys),
        "permissions": sorted(newest.permissions),
        "models": None if newest.models is None else sorted(newest.models),
        **_described_limits(newest.limits),
        "cache_seconds": newest.cache_seconds,
        "created": newest.created_at and newest.created_at.isoformat("T", "seconds"),
        "expires": newest.expires_at and newest.expires_at.isoformat("T", "seconds"),
    }


def _state(keys: Sequence[Key]) -> str:
    usable = sum(key.usable(_now()) for key in keys)
    if usable > 1:
        return "rotating"
    return "active" if usable else "revoked" if any(key.revoked for key in keys) else "expired"


def _described_limits(limits: Limits) -> dict[str, Any]:
    return {
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "concurrency": limits.concurrency,
        "budget_day": values.shown_dollars(limits.budget_day),
        "budget_month": values.shown_dollars(limits.budget_month),
    }


def _new_usage_key(target: Target, name: str) -> str:
    """Creates an API Gateway key in the stack's usage plan and returns its value, which the authorizer returns, too."""
    if target.usage_plan is None:
        raise NoTarget("Only a stack has API Gateway keys: name one with --stack.")
    value = secrets.token_hex(30)
    try:
        services = client("apigateway", target.region)
        made = services.create_api_key(name=name, value=value, enabled=True)
        services.create_usage_plan_key(usagePlanId=target.usage_plan, keyId=made["id"], keyType="API_KEY")
    except Exception as error:  # noqa: BLE001 - botocore's errors have no common base worth importing
        raise NoTarget(f"The API Gateway key could not be created: {error}") from None
    return value


def _new_token() -> str:
    return f"sk-{secrets.token_urlsafe(32)}"


def _now() -> datetime:
    return datetime.now(UTC)
