"""Small RetinaNets of KerasHub with random weights, saved as presets: no test downloads one."""

from __future__ import annotations

import pathlib

import keras
import keras_hub

from tests.tiny_detectors import TINY_DETECTORS

RETINANET = "retinanet_resnet50_fpn"
DINOV3 = "retinanet_dinov3_vit_small"
_MEANS, _STDDEVS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tiny_task(num_classes: int, *, scaled: bool = True) -> keras.Model:
    """KerasHub's model of the tiny RetinaNet here, with scores that differ; ``scaled`` images are as published."""
    keras.utils.set_random_seed(3)
    options = TINY_DETECTORS[RETINANET]
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=list(options["stage_filters"]),
        stackwise_num_blocks=list(options["blocks"]),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
    )
    converter = keras_hub.layers.RetinaNetImageConverter(
        scale=[1 / 255 / stddev for stddev in _STDDEVS] if scaled else 1 / 255,
        offset=[-mean / stddev for mean, stddev in zip(_MEANS, _STDDEVS, strict=True)] if scaled else None,
    )
    return keras_hub.models.RetinaNetObjectDetector(
        keras_hub.models.RetinaNetBackbone(encoder, min_level=3, max_level=7, use_p5=False),
        num_classes=num_classes,
        pre_logits_num_conv_layers=options["head_layers"],
        preprocessor=keras_hub.models.RetinaNetObjectDetectorPreprocessor(converter),
    )


def save_preset(folder: pathlib.Path, model: keras.Model) -> str:
    """Saves a preset; what ``model.pretrained`` says for it."""
    model.save_to_preset(str(folder))
    return f"kerashub:{folder}"
