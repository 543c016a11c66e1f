"""Labels in a ModelServerConfig: which version each names, and which versions have to be in memory for it.

A version is loaded before a label moves to it, and the version that the label leaves stays loaded: no moment is without
an answer, whether a server reads the whole change at once or in two steps, and going back needs no loading.
"""

from __future__ import annotations

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from serving.promotion.errors import PromotionError


def find_model(config: ModelServerConfig, name: str) -> ModelConfig:
    """The entry of a model, for reading and changing.

    Raises:
      PromotionError: there is none.
    """
    models = {model.name: model for model in config.model_config_list.config}
    if name not in models:
        raise PromotionError(f"models.config serves no model {name!r}; it serves {', '.join(sorted(models)) or 'none'}")
    return models[name]


def with_version_loaded(config: ModelServerConfig, model_name: str, version: int) -> ModelServerConfig:
    """A copy in which a version is loaded beside what is loaded already, and every label is where it was."""
    changed = _copy(config)
    model = find_model(changed, model_name)
    _load(model, {version, *model.model_version_policy.specific.versions, *model.version_labels.values()})
    return changed


def with_label_moved(config: ModelServerConfig, model_name: str, label: str, version: int) -> ModelServerConfig:
    """A copy in which a label names a version; what labels name is loaded, and what this one named before."""
    changed = _copy(config)
    model = find_model(changed, model_name)
    left = {model.version_labels[label]} if label in model.version_labels else set()
    model.version_labels[label] = version
    _load(model, {*left, *model.version_labels.values()})
    return changed


def _copy(config: ModelServerConfig) -> ModelServerConfig:
    copy = ModelServerConfig()
    copy.CopyFrom(config)
    return copy


def _load(model: ModelConfig, versions: set[int]) -> None:
    # Whoever asks for all versions has them.
    if model.model_version_policy.WhichOneof("policy_choice") != "all":
        del model.model_version_policy.specific.versions[:]
        model.model_version_policy.specific.versions.extend(sorted(versions))
