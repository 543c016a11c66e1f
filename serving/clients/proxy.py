"""Which HTTP proxy gRPC asks a server through, as its documentation has it (grpc/doc/environment_variables.md)."""

from __future__ import annotations

import os
import urllib.parse
from typing import Final

_PROXY_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
"""In the order in which gRPC looks at them; upper-case ones it does not know."""
_EXCEPT_VARIABLES: Final = ("no_grpc_proxy", "no_proxy")


def proxy_advice(server: str) -> str:
    """What to do when ``server`` (``HOST:PORT``) is asked through a proxy and none answers; empty without a proxy."""
    variable = next((name for name in _PROXY_VARIABLES if os.environ.get(name)), None)
    host = server.rpartition(":")[0].strip("[]")
    if variable is None or _is_excepted(host):
        return ""
    # What stands before an @ is a password.
    proxy = urllib.parse.urlsplit(os.environ[variable]).netloc.rpartition("@")[2] or os.environ[variable]
    excepted = next((name for name in _EXCEPT_VARIABLES if os.environ.get(name)), _EXCEPT_VARIABLES[-1])
    hosts = ",".join(filter(None, (os.environ.get(excepted), host)))
    return (
        f"it was asked through the proxy {proxy}, which the environment variable {variable} names; if the server is to "
        f"be asked directly, set {excepted}={hosts}"
    )


def _is_excepted(host: str) -> bool:
    text = next((os.environ[name] for name in _EXCEPT_VARIABLES if os.environ.get(name)), "")
    return any(host.endswith(entry.strip()) for entry in text.split(",") if entry.strip())
