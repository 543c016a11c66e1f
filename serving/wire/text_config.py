"""Files of TF Serving in text format whose messages the package `tensorflow-serving-api` does not carry."""

from __future__ import annotations

import pathlib
from typing import Any, Final

from google.protobuf import text_format

from serving.protocol.message_classes import message_classes

_SSL: Final = "SSLConfig"
_MONITORING: Final = "MonitoringConfig"
_PROMETHEUS: Final = "PrometheusConfig"
# As in tensorflow_serving/config/ssl_config.proto and monitoring_config.proto.
_FIELDS: Final = {
    _SSL: (
        ("server_key", 1, "string"),
        ("server_cert", 2, "string"),
        ("custom_ca", 3, "string"),
        ("client_verify", 4, "bool"),
    ),
    _PROMETHEUS: (("enable", 1, "bool"), ("path", 2, "string")),
    _MONITORING: (("prometheus_config", 1, _PROMETHEUS),),
}
_METRICS_PATH: Final = "/monitoring/prometheus/metrics"
"""TF Serving's, where the file names none."""


class TextConfigError(Exception):
    """A file that cannot be used; the message is one line that names it."""


def read_ssl_config(path: pathlib.Path) -> Any:
    """An `SSLConfig`: server_key, server_cert, custom_ca (all PEM text), client_verify.

    Raises:
      TextConfigError: it cannot be read.
    """
    return _read(path, _SSL)


def read_metrics_path(path: pathlib.Path) -> str | None:
    """The path that a `MonitoringConfig` wants the metrics at; None: it does not enable them.

    Raises:
      TextConfigError: it cannot be read, or the path is none.
    """
    config = _read(path, _MONITORING).prometheus_config
    if not config.enable:
        return None
    found: str = config.path or _METRICS_PATH
    if not found.startswith("/"):
        raise TextConfigError(f"{path}: prometheus_config.path is {found!r}; expected one that begins with /")
    return found


def _read(path: pathlib.Path, name: str) -> Any:
    message = message_classes(_FIELDS)[name]()
    try:
        text_format.Parse(path.read_text(), message)
    except (OSError, UnicodeDecodeError) as error:
        raise TextConfigError(f"{path}: cannot be read ({error})") from error
    except text_format.ParseError as error:
        raise TextConfigError(f"{path}:{error}; expected {name} in text format") from error
    return message
