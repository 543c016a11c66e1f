"""Settings of the ``cluster`` section: what the same graph needs to run on Kubeflow Pipelines.

Nothing here says what is computed; that is the rest of the file. A run on this machine ignores the whole section.
"""

from __future__ import annotations

import collections
import pathlib
import re
from typing import Annotated, Any, Literal

import pydantic

from components.path_settings import LocalPath
from components.settings import Settings

_NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
KubernetesName = Annotated[str, pydantic.Field(pattern=_NAME)]
Cpu = Annotated[str, pydantic.Field(pattern=r"^([0-9]*[.])?[0-9]+m?$")]
_VOLUME_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
VolumeName = Annotated[str, pydantic.Field(pattern=_VOLUME_NAME)]
"""A Kubernetes name without dots, at most 63 characters: Kubeflow calls a pod's volume after what is mounted."""
Memory = Annotated[str, pydantic.Field(pattern=r"^[0-9]+(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|k|Ki)?$")]
"""As Kubernetes writes quantities: a thousand is `k`, and `K` alone is nothing."""
START_CHECK_STEP = "StartCheck"
NOTIFY_STEP = "Notify"
SHORT_STEPS = (START_CHECK_STEP, NOTIFY_STEP)
"""Steps beside the graph's whose work takes seconds."""
_SHORT_STEP_SECONDS = 300
EnvName = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class TolerationSettings(Settings):
    """A taint that a step's pod tolerates."""

    key: str | None = None
    """The taint's key; unset with `operator: Exists` tolerates every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal` compares the value, `Exists` does not."""
    value: str | None = None
    """The taint's value."""
    effect: Literal["NoExecute", "NoSchedule", "PreferNoSchedule"] | None = None
    """Which effect is tolerated; unset means every one."""
    seconds: pydantic.NonNegativeInt | None = None
    """`NoExecute` only: for how long."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> TolerationSettings:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(f"a toleration with `operator: Exists` has no value, found {self.value!r}")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("a toleration without a key needs `operator: Exists`")
        return self


class StepSettings(Settings):
    """One step's pod. A key that is set for a step replaces the one in `default_step`; mappings are merged."""

    cpu_request: Cpu | None = None
    """CPU that the scheduler reserves, such as `2` or `500m`."""
    cpu_limit: Cpu | None = None
    """CPU the step may use at most."""
    memory_request: Memory | None = None
    """Memory that the scheduler reserves, such as `4Gi`."""
    memory_limit: Memory | None = None
    """Memory beyond which the step is killed."""
    gpus: pydantic.NonNegativeInt = 0
    """Number of accelerators; build the image with the GPU variant for steps that have any."""
    gpu_type: str = "nvidia.com/gpu"
    """Kubernetes' resource name of the accelerator."""
    node_selector: dict[str, str] = {}
    """Labels a node must carry, e.g. `{cloud.google.com/gke-accelerator: nvidia-l4}`."""
    tolerations: list[TolerationSettings] = []
    """Taints that the step's pod tolerates."""
    retries: pydantic.NonNegativeInt = 2
    """How often a failed, evicted or killed step is started again. Training goes on from its last checkpoint."""
    retry_delay_seconds: pydantic.PositiveInt = 30
    """Wait before the first retry."""
    retry_factor: pydantic.PositiveInt = 2
    """Every further wait is this many times longer."""
    timeout_seconds: pydantic.NonNegativeInt = 6 * 3600
    """A pod that runs longer is ended and counts as failed; 0 means no limit. Time in which its image cannot be pulled
    counts, too: StartCheck, which runs first, and Notify are given minutes."""
    env: dict[EnvName, str] = {}
    """Environment variables."""
    labels: dict[str, str] = {}
    """Labels of the pod, beside `app.kubernetes.io/name` and `app.kubernetes.io/component`."""

    def over(self, default: StepSettings) -> StepSettings:
        """These settings laid over ``default``."""
        chosen = {name: getattr(self, name) for name in self.model_fields_set}
        for name in ("node_selector", "env", "labels"):
            chosen[name] = {**getattr(default, name), **getattr(self, name)}
        return default.model_copy(update=chosen)


class VolumeSettings(Settings):
    """A claim that every step mounts."""

    claim: VolumeName
    """Name of the PersistentVolumeClaim, without dots; steps on several nodes need the access mode ReadWriteMany."""
    mount_path: str = pydantic.Field(pattern=r"^/.+")
    """Where it is mounted."""
    sub_path: str = ""
    """A folder of the volume to mount instead of its root; needs Kubeflow Pipelines 2.16."""


class SecretSettings(Settings):
    """A secret that every step gets."""

    secret: KubernetesName
    """Name of the Kubernetes Secret."""
    env: dict[EnvName, str] = {}
    """Environment variable -> key in the secret."""
    mount_path: str | None = pydantic.Field(default=None, pattern=r"^/.+")
    """Folder in which the secret's keys appear as files, for credentials such as a service account's key."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> SecretSettings:
        if bool(self.env) == (self.mount_path is not None):
            raise ValueError(f"the secret {self.secret!r} needs `env` or `mount_path`, one of them")
        if self.mount_path is not None and not re.fullmatch(_VOLUME_NAME, self.secret):
            raise ValueError(
                f"the secret {self.secret!r} has `mount_path`: Kubeflow calls the volume after it, and a volume's name "
                "has at most 63 characters and no dots; give the secret another name"
            )
        return self


class MetadataStoreSettings(Settings):
    """The MySQL or MariaDB server that keeps ML Metadata. SQLite is not safe with steps side by side."""

    host: str = "metadata-store"
    """Host name of the server; the default is the Service in kubeflow/manifests/base."""
    port: int = pydantic.Field(default=3306, gt=0, le=65535)
    """Its port."""
    database: str = pydantic.Field(default="tfx_metadata", pattern=r"^[A-Za-z0-9_]{1,64}$")
    """Name of the database; made on first use. Pipelines may share one."""
    secret: KubernetesName = "metadata-store"  # noqa: S105 - the name of a Secret
    """Kubernetes Secret with user and password; neither is ever part of the compiled pipeline."""
    user_key: str = "username"
    """Key of the user name in the secret."""
    password_key: str = "password"  # noqa: S105 - the name of a key, not a password
    """Key of the password in the secret."""
    ssl_ca: str | None = None
    """File with the certificate authority of the server; mount it through `secrets`."""
    wait_seconds: pydantic.PositiveInt = 300
    """How long a step waits for the server (and for its root folder) before it gives up."""


class ScheduleSettings(Settings):
    """When the pipeline runs by itself."""

    cron: str | None = None
    """Five fields (minute hour day-of-month month day-of-week) or six (seconds first)."""
    interval_seconds: pydantic.PositiveInt | None = None
    """Every so many seconds, instead of `cron`."""
    time_zone: str = "UTC"
    """The zone that the cluster reads `cron` in: CRON_SCHEDULE_TIMEZONE of the deployment
    ml-pipeline-scheduledworkflow, UTC unless someone changed it. Kubeflow has no zone per schedule, so this says what
    the cluster has; it converts nothing."""
    max_concurrency: int = pydantic.Field(default=1, ge=1, le=10)
    """Runs at the same time, 1 to 10. With 1 a run that takes longer than the interval delays the next one."""
    catch_up: bool = False
    """After a pause, run once for every time that was missed; without it once for the last of them. The newest span is
    read every time, so more runs gain nothing."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> ScheduleSettings:
        if self.cron is not None and self.interval_seconds is not None:
            raise ValueError("set cron or interval_seconds, not both")
        return self


class RetentionSettings(Settings):
    """What is kept. Never deleted: the version served now, the last blessed model, and all that kept runs used."""

    enabled: bool = False
    """Adds a last step that cleans up after every run. By hand: `python -m kubeflow.retention`."""
    runs: pydantic.PositiveInt = 10
    """Newest runs whose artifacts are kept."""
    versions: int = pydantic.Field(default=5, ge=1)
    """Newest pushed versions that are kept, so that one can roll back."""
    stale_hours: pydantic.PositiveInt = 72
    """Executions that have been running for longer were killed without a trace: they are marked as failed, and
    checkpoints of trainings untouched for as long are deleted."""


class NotifySettings(Settings):
    """Who is told how a run ended."""

    webhook_secret: KubernetesName | None = None
    """Kubernetes Secret that holds the address a JSON report is posted to, after failed runs too. Unset: nobody is
    told, and the step that does it is left out."""
    webhook_key: str = "url"
    """Key of the address in the secret."""
    when: Literal["always", "problem"] = "always"
    """`problem`: only when a step failed or the gate refused the model."""


class DriftSettings(Settings):
    """When new data is different enough to retrain before the clock says so (`python -m kubeflow.drift`), and when what
    is served is different enough to label some of it."""

    max_class_distance: float = pydantic.Field(default=0.1, gt=0, le=1)
    """Largest difference in any class's share of the objects (L-infinity distance), newest span against the span that
    the served model was trained on."""
    max_size_distance: float = pydantic.Field(default=0.15, gt=0, le=1)
    """Largest Jensen-Shannon divergence of the boxes' areas, relative to the image."""
    retry_hours: pydantic.PositiveFloat = 24
    """A span whose run failed is not tried again for so long, and a run that shows no sign of life counts as over after
    it. One that the gate refused a model of is not tried again: it would give the same."""
    min_objects: pydantic.PositiveInt = 50
    """A span with fewer objects is not judged."""
    max_image_distance: float = pydantic.Field(default=0.3, gt=0, le=1)
    """Of the images that were served (`python -m pipeline drift`): largest Kolmogorov-Smirnov distance of their
    brightness, contrast, sharpness or size from the images that the served model was trained beside. None of the limits
    for served images is taken for less than what chance does to sets so small."""
    max_score_distance: float = pydantic.Field(default=0.2, gt=0, le=1)
    """The same of the scores of what the model found."""
    max_separability: float = pydantic.Field(default=0.7, gt=0.5, le=1)
    """How well a linear classifier may tell the embeddings of the two sets apart: area under the ROC curve, 0.5 is not
    at all."""
    max_ap50_drop: float = pydantic.Field(default=0.1, gt=0, le=1)
    """Largest drop of the AP50 that is estimated without labels."""
    min_images: int = pydantic.Field(default=50, ge=10)
    """Fewer served images are not judged."""


class ClusterSettings(Settings):
    """The graph on Kubeflow Pipelines."""

    image: str | None = None
    """Container image of every step, as built from kubeflow/Dockerfile; `--image` of the compiler goes before it."""
    image_pull_secret: KubernetesName | None = None
    """Secret for a private registry."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When Kubernetes fetches the image. Name images by digest or by a tag that never moves."""
    root: LocalPath = pathlib.Path("/mnt/pipelines")
    """Takes the place of `root`: a folder on a volume that all steps mount. On Vertex AI `/gcs/BUCKET/...`, where it
    mounts Cloud Storage."""
    overrides: dict[str, Any] = {}
    """Keys that have another value on the cluster, by dotted path: `{data.path: "/mnt/data/span-{SPAN}"}`. Paths are
    those inside the step's container; what is not on a volume has to be in the image."""
    parameters: list[str] = ["data.span", "train.steps"]
    """Keys that can be set for every run, in Kubeflow's form or by `--parameter`; their defaults are those in this
    file. An empty value means the default."""
    default_step: StepSettings = StepSettings()
    """Pod settings of every step."""
    steps: dict[str, StepSettings] = {}
    """Pod settings by step, e.g. `{Trainer: {gpus: 1, memory_request: 16Gi}}`."""
    volumes: list[VolumeSettings] = [VolumeSettings(claim="pipeline-root", mount_path="/mnt/pipelines")]
    """Claims that every step mounts. `root` must lie in one of them. Empty: `root` is a mount of another kind."""
    secrets: list[SecretSettings] = []
    """Secrets that every step gets, beside those of the metadata store and the webhook."""
    metadata_store: MetadataStoreSettings = MetadataStoreSettings()
    """Where ML Metadata is kept."""
    service_account: KubernetesName = "object-detection-pipeline"
    """Kubernetes service account of the steps; kubeflow/manifests/base has it."""
    namespace: str | None = None
    """Kubeflow profile to run in; only with a multi-user installation."""
    experiment: str | None = None
    """Kubeflow experiment that runs are listed under. Default: the pipeline's name."""
    schedule: ScheduleSettings = ScheduleSettings()
    """When the pipeline runs by itself."""
    retention: RetentionSettings = RetentionSettings()
    """What is kept and what is deleted."""
    notify: NotifySettings = NotifySettings()
    """Who is told how a run ended."""
    drift: DriftSettings = DriftSettings()
    """When new data starts a run before the clock does."""

    @pydantic.model_validator(mode="after")
    def _root_is_on_a_volume(self) -> ClusterSettings:
        if not self.root.is_absolute():
            raise ValueError(f"cluster.root must be absolute, found {self.root}")
        mounts = [volume.mount_path for volume in self.volumes]
        if mounts and not any(self.root.is_relative_to(mount) for mount in mounts):
            raise ValueError(
                f"cluster.root {self.root} lies in none of the volumes ({', '.join(mounts)}); "
                "what steps write there would vanish with their pods"
            )
        if len(set(mounts)) != len(mounts):
            raise ValueError(f"two volumes have the same mount_path: {', '.join(sorted(mounts))}")
        # Kubeflow calls a volume after its claim or secret, and Kubernetes refuses a pod with two of one name.
        sources = [volume.claim for volume in self.volumes]
        sources += [secret.secret for secret in self.secrets if secret.mount_path is not None]
        twice = [name for name, count in collections.Counter(sources).items() if count > 1]
        if twice:
            raise ValueError(
                f"{twice[0]!r} is mounted twice in cluster.volumes and cluster.secrets: it would be one volume with "
                "two sources; mount a claim or secret once, and give a secret another name than a claim"
            )
        reserved = {"cluster", "name", "root", "metadata"}
        bad = [key for key in (*self.parameters, *self.overrides) if key.split(".")[0] in reserved]
        if bad:
            raise ValueError(
                f"{bad[0]!r} cannot be a run parameter or an override: use cluster.root and cluster.metadata_store"
            )
        return self

    def step(self, node_id: str) -> StepSettings:
        """Settings of one step: its own over the default, which for the steps beside the graph has shorter limits."""
        default = self.default_step
        if node_id in SHORT_STEPS:
            # Long enough to wait for root and store, short enough that a missing image is known soon.
            seconds = 2 * self.metadata_store.wait_seconds + _SHORT_STEP_SECONDS
            default = default.model_copy(update={"timeout_seconds": seconds, "retries": 1, "gpus": 0})
        return self.steps.get(node_id, StepSettings()).over(default)
