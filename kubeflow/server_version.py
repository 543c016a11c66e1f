"""Which Kubeflow Pipelines a package needs, and which one answers.

What older servers make of the packages that ``kubeflow.compile`` writes, tried with their own code:

- 2.4: no id of the run reaches the steps, and a secret as variables is refused.
- 2.5: takes them, and drops in silence every retry when there is a notification, all labels of pods (so that the
  network policy shuts the steps out) and ``sub_path``.
- 2.14: refuses every run, for ``secretAsEnv.optional``.
- 2.15: runs them, but for ``sub_path``, which it does not know.
"""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    import kfp

Version = tuple[int, int]

LEAST_VERSION: Final[Version] = (2, 15)
SUB_PATH_VERSION: Final[Version] = (2, 16)
_HEALTH: Final = "/apis/v2beta1/healthz"
_TAG: Final = re.compile(r"v?(\d+)\.(\d+)\.")


def version_text(version: Version) -> str:
    """``2.15``."""
    return ".".join(map(str, version))


def server_version(client: kfp.Client) -> Version | None:
    """The server's version; None where it does not tell: own builds say ``unknown`` or a commit.

    The health of the server holds it as ``tag_name``, which the client's typed answer leaves out.
    """
    answer = client._healthz_api.api_client.call_api(
        _HEALTH, "GET", response_type="object", auth_settings=["Bearer"], _return_http_data_only=True
    )
    tag = _TAG.match(str(answer.get("tag_name", ""))) if isinstance(answer, dict) else None
    return (int(tag[1]), int(tag[2])) if tag else None


def problem_with(version: Version | None, package: pathlib.Path) -> str:
    """Why a server of that version cannot run a compiled package; empty when it can, or does not say what it is."""
    if version is None:
        return ""
    if version < LEAST_VERSION:
        return (
            f"the server is Kubeflow Pipelines {version_text(version)}, expected {version_text(LEAST_VERSION)} or "
            "later: earlier ones refuse the steps' secrets, or drop retries and labels. Update the server"
        )
    if version < SUB_PATH_VERSION and _mounts_a_sub_path(package):
        return (
            f"the server is Kubeflow Pipelines {version_text(version)}, which mounts a volume's root where "
            f"cluster.volumes has a sub_path; expected {version_text(SUB_PATH_VERSION)} or later. Update the server, "
            "or leave sub_path out"
        )
    return ""


def _mounts_a_sub_path(package: pathlib.Path) -> bool:
    _, *platforms = yaml.safe_load_all(package.read_text(encoding="utf-8"))
    executors: list[dict[str, Any]] = [
        executor
        for document in platforms
        for executor in document["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    ]
    return any(mount.get("subPath") for executor in executors for mount in executor.get("pvcMount", []))
