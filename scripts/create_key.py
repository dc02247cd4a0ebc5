"""`make key TABLE=… REGION=… ID=…`: makes a key for a client of a stack and prints it; nobody can read it again."""

import asyncio
import os
import secrets
import sys

from shared.schemas.caller import Key, Permission
from shared.stores.aws import Aws, AwsError
from shared.stores.keys import KeyStore

DEFAULT = f"{Permission.MODELS_USE},{Permission.BATCH_USE}"


def main() -> None:
    table, region, key_id = (os.environ.get(name, "") for name in ("TABLE", "REGION", "ID"))
    if not (table and region and key_id):
        sys.exit(f"usage: make key TABLE=… REGION=… ID=<its name in logs> [TENANT=…] [MAY={DEFAULT}]")
    try:
        permissions = frozenset(map(Permission, (os.environ.get("MAY") or DEFAULT).split(",")))
    except ValueError:
        sys.exit(f"MAY is a list of: {', '.join(Permission)}")
    token = f"sk-{secrets.token_urlsafe(32)}"
    key = Key(key_id=key_id, tenant=os.environ.get("TENANT") or key_id, permissions=permissions)
    try:
        asyncio.run(_put(table, region, token, key))
    except AwsError as error:
        sys.exit(f"The key could not be stored: {error}")
    print(token)


async def _put(table: str, region: str, token: str, key: Key) -> None:
    aws = Aws({**os.environ, "AWS_REGION": region})
    await KeyStore(aws, table).put(token, key)
    await aws.aclose()


if __name__ == "__main__":
    main()
