"""Who is calling, and what they may do."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator

from shared.schemas.base import Frozen
from shared.schemas.limits import Limits
from shared.schemas.replay import KEPT_SECONDS


class Permission(StrEnum):
    MODELS_USE = "models:use"
    BATCH_USE = "batch:use"


_PERMISSIONS = tuple(Permission)


class Caller(Frozen):
    """The holder of a key. `models` is an allow-list of public model ids; None allows all.

    `key_id` identifies the key in logs and reports without revealing its token. `tenant_limits` apply to all keys of
    the tenant together; each key holds a copy, which saves a look-up. For `cache_seconds` answers are given again to
    equal requests, where a request sets no other time; None leaves that to the model.
    """

    key_id: str
    tenant: str
    permissions: frozenset[Permission]
    models: frozenset[str] | None = None
    limits: Limits = Field(default_factory=Limits)
    tenant_limits: Limits = Field(default_factory=Limits)
    # Not written where it is not set: releases that do not know it can read such keys.
    cache_seconds: int | None = Field(default=None, ge=0, le=KEPT_SECONDS, exclude_if=lambda seconds: seconds is None)

    @field_validator("permissions", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """Drops permissions of other versions, which stored keys may have and no route requires."""
        if not isinstance(value, list):
            return value
        return [permission for permission in value if permission in _PERMISSIONS]


class Key(Caller):
    """A stored key: a caller, its expiry, and the API Gateway key whose usage plan applies to it.

    `name` is for people. A rotated key is stored twice for a while: two tokens, one `key_id`.
    """

    name: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    usage_key: str | None = Field(default=None, repr=False)
    revoked: bool = False

    def usable(self, now: datetime) -> bool:
        return not self.revoked and (self.expires_at is None or now < self.expires_at)
