"""Files of TF Serving in text format whose messages the package `tensorflow-serving-api` does not carry."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

_FIELD = descriptor_pb2.FieldDescriptorProto
_SSL: Final = "SSLConfig"
_MONITORING: Final = "MonitoringConfig"
_PROMETHEUS: Final = "PrometheusConfig"
# Names, numbers and types of tensorflow_serving/config/ssl_config.proto and monitoring_config.proto.
_FIELDS: Final[Mapping[str, tuple[tuple[str, int, int], ...]]] = {
    _SSL: (
        ("server_key", 1, _FIELD.TYPE_STRING),
        ("server_cert", 2, _FIELD.TYPE_STRING),
        ("custom_ca", 3, _FIELD.TYPE_STRING),
        ("client_verify", 4, _FIELD.TYPE_BOOL),
    ),
    _PROMETHEUS: (("enable", 1, _FIELD.TYPE_BOOL), ("path", 2, _FIELD.TYPE_STRING)),
    _MONITORING: (("prometheus_config", 1, _FIELD.TYPE_MESSAGE),),
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
    message = _message_class(name)()
    try:
        text_format.Parse(path.read_text(), message)
    except (OSError, UnicodeDecodeError) as error:
        raise TextConfigError(f"{path}: cannot be read ({error})") from error
    except text_format.ParseError as error:
        raise TextConfigError(f"{path}:{error}; expected {name} in text format") from error
    return message


def _message_class(name: str) -> Any:
    """The class of a message, in a pool of its own: whoever has TF Serving's protos loaded is not disturbed."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tensorflow_serving_config.proto", package="tensorflow.serving", syntax="proto3"
    )
    for message_name, fields in _FIELDS.items():
        message = file.message_type.add(name=message_name)
        for field, number, kind in fields:
            type_name = f".tensorflow.serving.{_PROMETHEUS}" if kind == _FIELD.TYPE_MESSAGE else None
            message.field.add(name=field, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
