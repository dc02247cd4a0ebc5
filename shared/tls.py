"""The trusted certificates of every outgoing connection. Reading them takes tens of milliseconds, so once a process."""

import ssl
from functools import cache


@cache
def tls_context() -> ssl.SSLContext:
    """Verifies hosts by certifi's certificates, whatever the environment says."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)
