"""Which HTTP proxy a server is asked through, and what to do when no answer comes that way.

gRPC chooses by itself, as its documentation has it (grpc/doc/environment_variables.md); what it chooses is told here.
For REST it is chosen here, by the variables that other programs look at.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Final

from serving.clients.connection import RestAddress

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
    return _advice(proxy, variable, _EXCEPT_VARIABLES, host)


@dataclasses.dataclass(frozen=True)
class HttpProxy:
    """A proxy that HTTP requests go through.

    Attributes:
      host: a name or address.
      port: of TCP.
      authorization: value of the header Proxy-Authorization, "" for none.
      advice: what to do when none answers.
    """

    host: str
    port: int
    authorization: str = dataclasses.field(repr=False)
    advice: str


def http_proxy(address: RestAddress) -> HttpProxy | None:
    """The proxy for ``address`` of the environment variables http_proxy, https_proxy, all_proxy and no_proxy, if any.

    Raises:
      OSError: a variable names no HTTP proxy.
    """
    scheme = "https" if address.is_encrypted else "http"
    proxies = urllib.request.getproxies()
    kind = next((kind for kind in (scheme, "all") if proxies.get(kind)), None)
    if kind is None or urllib.request.proxy_bypass(f"{address.host}:{address.port}"):
        return None
    found, variable = proxies[kind], f"{kind}_proxy"
    parts = urllib.parse.urlsplit(found if "://" in found else f"http://{found}")
    if parts.scheme != "http" or not parts.hostname:
        shown = found.rpartition("@")[2]
        raise OSError(f"the environment variable {variable} must name a proxy as http://HOST:PORT, found {shown!r}")
    port = parts.port or 80
    authorization = ""
    if parts.username is not None:
        words = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(words.encode()).decode()}"
    advice = _advice(f"{parts.hostname}:{port}", variable, _EXCEPT_VARIABLES[1:], address.host)
    return HttpProxy(parts.hostname, port, authorization, advice)


def _advice(proxy: str, variable: str, except_variables: Sequence[str], host: str) -> str:
    excepted = next((name for name in except_variables if os.environ.get(name)), except_variables[-1])
    hosts = ",".join(filter(None, (os.environ.get(excepted), host)))
    return (
        f"it was asked through the proxy {proxy}, which the environment variable {variable} names; if the server is to "
        f"be asked directly, set {excepted}={hosts}"
    )


def _is_excepted(host: str) -> bool:
    text = next((os.environ[name] for name in _EXCEPT_VARIABLES if os.environ.get(name)), "")
    return any(host.endswith(entry.strip()) for entry in text.split(",") if entry.strip())
