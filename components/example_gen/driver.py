"""Driver of the ExampleGen: picks the span, and decides by a fingerprint whether anything has to be read at all."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence

from tfx.components.example_gen import driver as tfx_driver
from tfx.components.example_gen import utils
from tfx.dsl.components.base import base_driver
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver as ir_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2

from components.example_gen import files
from components.example_gen.keys import EXAMPLES, SETTINGS, SPANS
from components.example_gen.settings import DataSettings
from components.example_gen.spans import SpanFolder, resolve_spans, spans_to_json, target_folder


class Driver(base_driver.BaseDriver, ir_base_driver.BaseDriver):
    """Adds span, version, folders and fingerprint to the execution, as TFX's own file-based driver does.

    Run by LocalDagRunner and the portable Launcher alike before the cache is looked up: the fingerprint is part of the
    cache key, so an unchanged data folder is not read again and any changed, added or removed file is.
    """

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        ir_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Resolves what to read.

        Raises:
          DataError: no folder matches ``data.path``, or ``data.target.path`` is none.
        """
        settings = DataSettings.model_validate_json(execution_info.exec_properties[SETTINGS])
        spans = resolve_spans(settings)
        to_read = spans if settings.of_target is None else [*spans, target_folder(settings.of_target)]
        added = {
            utils.SPAN_PROPERTY_NAME: spans[0].span or 0,
            utils.VERSION_PROPERTY_NAME: spans[0].version,
            utils.FINGERPRINT_PROPERTY_NAME: fingerprint(settings, to_read),
        }
        result = driver_output_pb2.DriverOutput()
        properties = {**execution_info.exec_properties, **added, SPANS: spans_to_json(spans)}
        for key, value in properties.items():
            if value is not None:
                data_types_utils.set_metadata_value(result.exec_properties[key], value)
        artifact = copy.deepcopy(execution_info.output_dict[EXAMPLES][0].mlmd_artifact)
        tfx_driver.update_output_artifact(added, artifact)
        result.output_artifacts[EXAMPLES].artifacts.append(artifact)
        return result


def fingerprint(settings: DataSettings, spans: Sequence[SpanFolder]) -> str:
    """Hexadecimal digest of every file that could be read: names with sizes and times, or with contents.

    Hidden files are left out. ``data.fingerprint`` chooses; times are compared to the nanosecond.
    """
    digest = hashlib.blake2b(digest_size=16)
    for span in spans:
        digest.update(f"span {span.span} {span.version}\n".encode())
        for entry in files.list_files(span.path):
            digest.update(entry.path.encode("utf-8", "surrogateescape"))
            if settings.fingerprint == "content":
                state = hashlib.blake2b(files.read_bytes(files.join(span.path, entry.path)), digest_size=16).hexdigest()
            else:
                state = str(entry.modified_ns)
            digest.update(f"\0{entry.size_bytes} {state}\n".encode())
    if settings.label_map is not None:
        digest.update(files.read_bytes(settings.label_map))
    return digest.hexdigest()
