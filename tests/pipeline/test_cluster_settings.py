"""What Kubernetes would refuse of a step's pod is refused where it is written."""

from __future__ import annotations

import re
from typing import Any

import pydantic
import pytest

from pipeline.cluster_settings import ClusterSettings, StepSettings

ROOT = {"claim": "pipeline-root", "mount_path": "/mnt/pipelines"}


@pytest.mark.parametrize("memory", ["4Gi", "4000000k", "4000Ki", "512", "2E"])
def test_quantities_of_kubernetes(memory: str) -> None:
    assert StepSettings(memory_request=memory).memory_request == memory


@pytest.mark.parametrize("memory", ["4000000K", "4 Gi", "4GB", "-1", "1.5.2Gi", ""])
def test_quantities_that_kubernetes_does_not_know(memory: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="memory_limit"):
        StepSettings(memory_limit=memory)


def _refused(**settings: Any) -> str:
    with pytest.raises(pydantic.ValidationError) as caught:
        ClusterSettings.model_validate(settings)
    return str(caught.value)


def test_names_that_kubeflow_makes_volumes_of() -> None:
    assert "claim" in _refused(volumes=[{**ROOT, "claim": "pipeline.root"}])
    assert "claim" in _refused(volumes=[{**ROOT, "claim": "a" * 64}])
    mounted = {"secret": "bucket.key", "mount_path": "/secrets/bucket"}
    assert re.search(r"'bucket\.key' has `mount_path`.*no dots", _refused(secrets=[mounted]), re.DOTALL)
    # A secret that becomes variables is no volume.
    ClusterSettings.model_validate({"secrets": [{"secret": "bucket.key", "env": {"KEY": "key"}}]})


def test_a_name_that_is_two_volumes() -> None:
    secret = {"secret": "pipeline-root", "mount_path": "/secrets/root"}
    assert "'pipeline-root' is mounted twice" in _refused(volumes=[ROOT], secrets=[secret])
    assert "mounted twice" in _refused(volumes=[ROOT, {**ROOT, "mount_path": "/mnt/data", "sub_path": "data"}])
    ClusterSettings.model_validate({"volumes": [ROOT], "secrets": [{"secret": "pipeline-root", "env": {"A": "a"}}]})
