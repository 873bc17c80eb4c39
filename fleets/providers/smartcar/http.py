"""How this adapter's HTTP client goes to the outside, and what its failures mean."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestError

# Longer than any handshake; what is slower is a network that is down (real seconds).
_CONNECT_SECONDS = 10


def build_client(origin: str) -> Client:
    """Return a client for many calls at once; it keeps its connections."""
    timeout = timedelta(seconds=settings.PROVIDER_TIMEOUT_SECONDS)
    builder = (
        ClientBuilder()
        .timeout(timeout)
        .connect_timeout(min(timeout, timedelta(seconds=_CONNECT_SECONDS)))
        .follow_redirects(False)  # a redirected command would be sent twice
        .pool_max_idle_per_host(4 * settings.FANOUT_IN_FLIGHT)
        .user_agent("gridbalance")
    )
    return (builder.no_proxy() if goes_direct(origin) else builder).build()


def goes_direct(url: str) -> bool:
    """Tell whether the address is this machine's own, which no proxy can reach."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def never_left(error: PyreqwestError) -> bool:
    """Tell whether the request certainly did not reach the provider.

    The exceptions' names do not tell: an answer that takes too long is called
    `ConnectTimeoutError`, a connection that breaks under a request `ConnectError`.
    Only the cause "client error (Connect)" says that there was no connection.
    """
    if not isinstance(error, RequestError):
        return False
    causes = error.details.get("causes") or []
    return any("client error (Connect)" in cause["message"] for cause in causes)
