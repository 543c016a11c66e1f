"""Who may use the page's server: its own page, and nobody else's.

Any web site can have its visitors' browsers ask an address on their own machine. Two checks keep them out:

- `Host` is an IP address, `localhost`, or a name that was allowed. A site that makes its own name resolve to this
  machine (DNS rebinding) is the same origin to the browser, but its name stands there.
- `Origin` and `Sec-Fetch-Site`, where the browser sends them, say that the page itself asks.

Programs that are no browsers (curl) send neither, and need not be kept out: they could ask the model server itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from email.message import Message
from typing import Final

_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?", re.IGNORECASE)


def host_refusal(headers: Message, allowed_names: Collection[str]) -> str | None:
    """Why a request for this `Host` is refused; None: it is not.

    Args:
      headers: of the request.
      allowed_names: in lower case, beside localhost.
    """
    hosts = headers.get_all("Host") or []
    if len(hosts) != 1:
        return f"a request has one Host header, found {len(hosts)}"
    match = _HOST.fullmatch(hosts[0])
    if match is None:
        return f"the Host header {hosts[0]!r} is no host and port"
    name = (match["v6"] or match["name"]).lower().removesuffix(".")
    if name == "localhost" or name in allowed_names or _is_address(name):
        return None
    return f"this page is not served as {name!r}; if it is to be, give --allowed_host {name}"


def origin_refusal(headers: Message) -> str | None:
    """Why a request is refused that another site's page makes; None: it is none."""
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "same-origin")
    # A proxy in front may speak https.
    own = {f"{scheme}://{headers['Host']}" for scheme in ("http", "https")}
    if origin is not None and origin not in own:
        return f"pages of {origin} may not ask here"
    if site not in ("same-origin", "none"):
        return f"pages of other sites ({site}) may not ask here"
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
