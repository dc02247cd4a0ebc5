"""A tenant's folder is the same for everybody who has the stack's secret, and says nothing to others."""

import hashlib

import httpx
import pytest

from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.tenants import TenantFolders
from tests.stores.tenants import folder_of, tenant_folders

pytestmark = pytest.mark.anyio
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}


async def test_a_guessed_name_cannot_be_confirmed_without_the_secret() -> None:
    folder = await tenant_folders("one stack").of("acme")
    assert folder == folder_of("acme", "one stack")
    assert folder != await tenant_folders("another stack").of("acme")
    for guess in (hashlib.sha256, hashlib.sha1, hashlib.md5):
        assert folder not in guess(b"acme").hexdigest()


async def test_tenants_have_folders_of_their_own() -> None:
    folders = tenant_folders()
    names = ["acme", "Acme", "acme ", "", "../acme", "ä" * 300]
    assert len({await folders.of(name) for name in names}) == len(names)


async def test_the_secret_is_read_once_and_again_only_while_it_could_not_be() -> None:
    answers = [
        httpx.Response(400, json={"__type": "AccessDeniedException"}),
        httpx.Response(200, json={"SecretString": "s"}),
    ]
    aws = Aws(CREDENTIALS, transport=httpx.MockTransport(lambda request: answers.pop(0)))
    folders = TenantFolders(aws, "tenants")
    with pytest.raises(AwsError):
        await folders.of("acme")
    assert await folders.of("acme") == await folders.of("acme") == folder_of("acme", "s")
    assert answers == []


async def test_an_embedded_aws_gets_a_secret_of_its_own(aws_environment: dict[str, str]) -> None:
    aws = Aws(aws_environment)
    made, other = TenantFolders(aws, "tenants-one"), TenantFolders(aws, "tenants-two")
    for folders in (made, other):
        await folders.create_secret()
    assert await made.of("acme") == await TenantFolders(aws, "tenants-one").of("acme")
    assert await made.of("acme") != await other.of("acme")
    await aws.aclose()
