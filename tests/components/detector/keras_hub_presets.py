"""Small detectors of KerasHub with random weights, saved as presets: no test downloads one."""

from __future__ import annotations

import pathlib

import keras
import keras_hub

from tests.tiny_detectors import TINY_DETECTORS

RETINANET = "retinanet_resnet50_fpn"
DINOV3 = "retinanet_dinov3_vit_small"
DFINE = "dfine_nano"
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


def tiny_dfine(num_classes: int, *, points: tuple[int, int] = (6, 6), denoising: int = 0) -> keras.Model:
    """KerasHub's model of the tiny D-FINE here, at 64 x 64, with names of its own and scores that differ."""
    keras.utils.set_random_seed(3)
    backbone = keras_hub.models.HGNetV2Backbone(
        depths=[1, 1, 2, 1],
        embedding_size=4,
        hidden_sizes=[16, 64, 128, 256],
        stem_channels=[3, 4, 4],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[
            [4, 4, 16, 1, 3, 3],
            [16, 8, 64, 1, 3, 3],
            [64, 16, 128, 2, 3, 5],
            [128, 32, 256, 1, 3, 5],
        ],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        image_shape=(64, 64, 3),
        out_features=["stage3", "stage4"],
        name="somebodys_backbone",
    )
    model = keras_hub.models.DFineBackbone(
        backbone=backbone,
        decoder_in_channels=[32, 32],
        encoder_hidden_dim=32,
        num_labels=num_classes,
        num_denoising=denoising,
        learn_initial_query=False,
        num_queries=20,
        anchor_image_size=(64, 64),
        feat_strides=[16, 32],
        num_feature_levels=2,
        hidden_dim=32,
        encoder_in_channels=[128, 256],
        encode_proj_layers=[1],
        num_attention_heads=8,
        encoder_ffn_dim=128,
        num_encoder_layers=1,
        hidden_expansion=0.34,
        depth_multiplier=0.5,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=8,
        decoder_ffn_dim=128,
        decoder_n_points=list(points),
        lqe_hidden_dim=64,
        num_lqe_layers=2,
        out_features=["stage3", "stage4"],
        image_shape=(64, 64, 3),
    )
    for number, variable in enumerate(model.decoder.trainable_variables):
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.05, seed=number))
    return keras_hub.models.DFineObjectDetector(model, num_classes=num_classes)


def save_preset(folder: pathlib.Path, model: keras.Model) -> str:
    """Saves a preset; what ``model.pretrained`` says for it."""
    model.save_to_preset(str(folder))
    return f"kerashub:{folder}"
