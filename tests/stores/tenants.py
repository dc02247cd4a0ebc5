"""Tenants' folders whose secret a test knows."""

import hmac

import httpx

from shared.stores.aws import Aws
from shared.stores.tenants import TenantFolders
from tests.client import TENANT_SECRET, TENANTS

_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}


def tenant_folders(secret: str = TENANT_SECRET) -> TenantFolders:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"SecretString": secret}))
    return TenantFolders(Aws(_CREDENTIALS, transport=transport), TENANTS)


def folder_of(tenant: str, secret: str = TENANT_SECRET) -> str:
    """The name of a tenant's folder, written out."""
    return hmac.new(secret.encode(), tenant.encode(), "sha256").hexdigest()[:20]
