"""D-FINE's layers (Peng et al. 2024), which are KerasHub's, and how its encoder and decoder run.

KerasHub puts them together for inference; with objects to restore (``targets.denoising``) they run here, for KerasHub's
own way takes the objects once and for all when the model is made, and lets queries see what is to be hidden from them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import keras
import keras_hub
import numpy as np

from components.detector.options import DFineOptions

ATTENTION_HEADS: Final = 8
_QUALITY_DIM: Final = 64
_QUALITY_LAYERS: Final = 2
_SCORE_BIAS: Final = -4.595
"""Every query starts with a score of 1 %, as in the authors' code; KerasHub has more where there are fewer classes."""
_LEVEL_OF_STAGE: Final = 1
"""Stage 1 has stride 4, which is level 2."""


class _Size(NamedTuple):
    """One of the published networks (``configs/dfine/dfine_hgnetv2_*_coco.yml`` of the authors' repository).

    Attributes:
      stem: channels of the backbone's image, first and last convolution before the stages.
      stages: channels in, within and out, blocks, convolutions of a block and their kernel, by stage.
      affine: whether every activation has a learnt scale and shift.
      levels: of the backbone that the encoder sees.
      encoder_dim: channels of the encoder.
      decoder_dim: channels of the decoder.
      encoder_hidden_dim: of the feed-forward layers of the encoder's attention.
      decoder_hidden_dim: of those of the decoder.
      expansion: of the channels within the encoder's blocks.
      depth: share of three blocks that each step of the encoder's pyramid has.
      decoder_layers: of the decoder.
      points: where a query looks at each level.
    """

    stem: tuple[int, int, int]
    stages: tuple[tuple[int, int, int, int, int, int], ...]
    affine: bool
    levels: tuple[int, ...]
    encoder_dim: int
    decoder_dim: int
    encoder_hidden_dim: int
    decoder_hidden_dim: int
    expansion: float
    depth: float
    decoder_layers: int
    points: tuple[int, ...]


_B0: Final = ((16, 16, 64, 1, 3, 3), (64, 32, 256, 1, 3, 3), (256, 64, 512, 2, 3, 5), (512, 128, 1024, 1, 3, 5))
_B2: Final = ((32, 32, 96, 1, 4, 3), (96, 64, 384, 1, 4, 3), (384, 128, 768, 3, 4, 5), (768, 256, 1536, 1, 4, 5))
_B4: Final = ((48, 48, 128, 1, 6, 3), (128, 96, 512, 1, 6, 3), (512, 192, 1024, 3, 6, 5), (1024, 384, 2048, 1, 6, 5))
_B5: Final = ((64, 64, 128, 1, 6, 3), (128, 128, 512, 2, 6, 3), (512, 256, 1024, 5, 6, 5), (1024, 512, 2048, 2, 6, 5))
_THREE: Final = (3, 4, 5)
_SIZES: Final[Mapping[str, _Size]] = {
    "dfine_nano": _Size((3, 16, 16), _B0, True, (4, 5), 128, 128, 512, 512, 0.34, 0.5, 3, (6, 6)),
    "dfine_small": _Size((3, 16, 16), _B0, True, _THREE, 256, 256, 1024, 1024, 0.5, 0.34, 3, (3, 6, 3)),
    "dfine_medium": _Size((3, 24, 32), _B2, True, _THREE, 256, 256, 1024, 1024, 1.0, 0.67, 4, (3, 6, 3)),
    "dfine_large": _Size((3, 32, 48), _B4, False, _THREE, 256, 256, 1024, 1024, 1.0, 1.0, 6, (3, 6, 3)),
    "dfine_xlarge": _Size((3, 32, 64), _B5, False, _THREE, 384, 256, 2048, 1024, 1.0, 1.0, 6, (3, 6, 3)),
}


class Decoded(NamedTuple):
    """What the network makes of images; C classes, Q queries, L layers of the decoder, K places of a distribution.

    Attributes:
      logits: [B, 1 + L, Q, C]: of the first layer before and after it has judged its boxes, and of the others.
      boxes_cxcywh: [B, 1 + L, Q, 4], in 0..1 of the canvas.
      corners: [B, L, Q, 4, K]: logits of where the left, top, right and bottom side lie.
      references_cxcywh: [B, Q, 4]: what these distances are from.
      encoder_logits: [B, Q', C], of the Q' places that the encoder's queries are taken from.
      encoder_boxes_cxcywh: [B, Q', 4].
    """

    logits: Any
    boxes_cxcywh: Any
    corners: Any
    references_cxcywh: Any
    encoder_logits: Any
    encoder_boxes_cxcywh: Any


class DFineLayers:
    """The layers of one detector, freshly initialised.

    Args:
      name: one of ``names.DFINE``.
      num_classes: classes to detect.
      image_size: (height, width) in pixels of the canvas.
      options: of the detector.
    """

    def __init__(self, name: str, num_classes: int, image_size: tuple[int, int], options: DFineOptions) -> None:
        size = _SIZES[name]
        decoder_dim = options.hidden_dim or size.decoder_dim
        encoder_dim, encoder_hidden_dim, decoder_hidden_dim = (
            channels * decoder_dim // size.decoder_dim
            for channels in (size.encoder_dim, size.encoder_hidden_dim, size.decoder_hidden_dim)
        )
        stem = [3, *(_scaled(channels, options.width) for channels in size.stem[1:])]
        stages = [[*(_scaled(channels, options.width) for channels in stage[:3]), *stage[3:]] for stage in size.stages]
        self.levels = tuple(f"level_{level}" for level in size.levels)
        strides = [2**level for level in size.levels]
        of_encoder = [f"stage{level - _LEVEL_OF_STAGE}" for level in size.levels]
        self.backbone = keras_hub.models.HGNetV2Backbone(
            depths=[stage[3] for stage in stages],
            embedding_size=stem[-1],
            hidden_sizes=[stage[2] for stage in stages],
            stem_channels=stem,
            hidden_act="relu",
            use_learnable_affine_block=size.affine,
            stackwise_stage_filters=stages,
            apply_downsample=[False, True, True, True],
            use_lightweight_conv_block=[False, False, True, True],
            image_shape=(*image_size, 3),
            out_features=of_encoder,
        )
        model = keras_hub.models.DFineBackbone(
            backbone=self.backbone,
            decoder_in_channels=[encoder_dim] * len(strides),
            encoder_hidden_dim=encoder_dim,
            num_labels=num_classes,
            num_denoising=0,
            learn_initial_query=False,
            # The smallest canvas has fewer places than the published number of queries.
            num_queries=min(options.num_queries, _num_places(image_size, strides)),
            anchor_image_size=image_size,
            feat_strides=strides,
            num_feature_levels=len(strides),
            hidden_dim=decoder_dim,
            encoder_in_channels=[stage[2] for stage in stages[-len(strides) :]],
            encode_proj_layers=[len(strides) - 1],
            num_attention_heads=ATTENTION_HEADS,
            encoder_ffn_dim=encoder_hidden_dim,
            num_encoder_layers=1,
            hidden_expansion=size.expansion,
            depth_multiplier=size.depth,
            eval_idx=-1,
            num_decoder_layers=options.decoder_layers or size.decoder_layers,
            decoder_attention_heads=ATTENTION_HEADS,
            decoder_ffn_dim=decoder_hidden_dim,
            decoder_n_points=list(size.points),
            lqe_hidden_dim=_QUALITY_DIM,
            num_lqe_layers=_QUALITY_LAYERS,
            out_features=of_encoder,
            image_shape=(*image_size, 3),
            # Places and distributions need more digits than half precision has.
            dtype="float32",
        )
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Conv2D) and layer.groups > 1:
                # Each group has one channel. Keras has XLA compile a convolution in groups, which takes long, and whose
                # variables then cannot be read from a second device.
                layer.convolution_op = functools.partial(_by_channel, layer)
        self.num_queries: int = model.num_queries
        self.hidden_dim: int = decoder_dim
        self.decoder = model.decoder
        self.score_heads: list[keras.layers.Layer] = [model.enc_score_head, *model.decoder.class_embed]
        self.parts = parts_of(model)
        self.settings = settings_of(model)
        self._model = model
        for layer in self.parts.values():
            _begin_afresh(layer)
        last = model.decoder.pre_bbox_head.dense_layers[-1]
        last.kernel.assign(keras.ops.zeros(last.kernel.shape))
        for layer in self.score_heads:
            layer.bias.assign(keras.ops.full(layer.bias.shape, _SCORE_BIAS))

    @property
    def places(self) -> Any:
        """The distance that each place of a distribution stands for, [K], and what divides a reference's size, []."""
        values = self.decoder.max_num_bins
        bound = keras.ops.abs(self.decoder.upsampling_factor[0]) * keras.ops.abs(self.decoder.reg_scale[0])
        step = (bound + 1.0) ** (2.0 / (values - 2))
        powers = step ** np.arange(1, values // 2, dtype=np.float32) - 1.0  # [K // 2 - 1]
        ends = keras.ops.reshape(2.0 * bound, (1,))
        distances = keras.ops.concatenate([-ends, -powers[::-1], keras.ops.zeros((1,)), powers, ends])  # [K]
        return distances, keras.ops.abs(self.decoder.reg_scale[0])

    def decode(self, maps: Sequence[Any], training: bool, copies: tuple[Any, Any, Any] | None = None) -> Decoded:
        """Encoder and decoder.

        Args:
          maps: of the backbone by ``levels``, [B, h, w, channels] each.
          training: whether batch normalisation that is not frozen uses (and learns from) the batch.
          copies: contents [B, D, hidden_dim] and boxes (cxcywh, 0..1) [B, D, 4] of queries before those that the
            encoder finds, and what to add to the attention between all of them, [B, D + Q, D + Q].
        """
        ops, model = keras.ops, self._model
        projected = []
        for (convolution, normalization), level in zip(model.encoder_input_proj_layers, maps, strict=True):
            projected.append(normalization(convolution(level), training=training))
        # KerasHub's encoder and decoder keep what they say of their outputs only with all of these.
        everything = {"output_hidden_states": True, "output_attentions": True, "training": training}
        sources = list(model.encoder(inputs_embeds=projected, **everything)[0])
        for number, projection in enumerate(model.decoder_input_proj_layers):
            if isinstance(projection, list):
                convolution, normalization = projection
                sources[number] = normalization(convolution(sources[number]), training=training)
        memory = model.source_flattener(sources)  # [B, P, hidden_dim]
        anchors, is_inside = model.anchor_generator(sources)  # [1, P, 4], [1, P, 1]
        found = ops.where(is_inside, memory, 0.0)
        for layer in model.enc_output_layers:
            found = layer(found)
        logits = model.enc_score_head(found)  # [B, P, C]
        boxes = model.enc_bbox_head(found) + anchors  # [B, P, 4], before the sigmoid
        best = ops.top_k(ops.max(logits, axis=-1), self.num_queries)[1]  # [B, Q]
        queries, references, encoder_logits = (
            ops.take_along_axis(values, best[..., None], axis=1) for values in (found, boxes, logits)
        )  # each [B, Q, ...]
        encoder_boxes = ops.sigmoid(references)  # [B, Q, 4]
        mask = None
        if copies is not None:
            contents, boxes_cxcywh, mask = copies
            queries = ops.concatenate([contents, ops.stop_gradient(queries)], axis=1)
            references = ops.concatenate([_inverse_sigmoid(boxes_cxcywh), references], axis=1)
        else:
            queries = ops.stop_gradient(queries)
        outputs = self.decoder(
            inputs_embeds=queries,
            encoder_hidden_states=memory,
            reference_points=ops.stop_gradient(references),
            spatial_shapes=model.spatial_shapes_extractor(sources),
            attention_mask=mask,
            **everything,
        )
        logits, boxes_cxcywh, corners, references = outputs[2:6]
        return Decoded(
            logits=logits,
            boxes_cxcywh=boxes_cxcywh,
            # The first layer's are there twice, as its boxes before and after.
            corners=ops.reshape(
                corners[:, 1:], (-1, len(self.decoder.class_embed), queries.shape[1], 4, self.decoder.max_num_bins + 1)
            ),
            references_cxcywh=references[:, 0],
            encoder_logits=encoder_logits,
            encoder_boxes_cxcywh=encoder_boxes,
        )


def parts_of(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers with variables of KerasHub's ``DFineBackbone`` besides its backbone, by names that do not change."""
    parts = {"encoder": model.encoder, "decoder": model.decoder, "encoder_boxes": model.enc_bbox_head}
    parts |= {"encoder_scores": model.enc_score_head}
    parts |= {f"encoder_output_{number}": layer for number, layer in enumerate(model.enc_output_layers)}
    for side, projections in (
        ("encoder", model.encoder_input_proj_layers),
        ("decoder", model.decoder_input_proj_layers),
    ):
        for number, projection in enumerate(projections):
            # Where nothing has to be projected there is a layer that does nothing.
            for kind, layer in zip(("conv", "norm"), projection if isinstance(projection, list) else [], strict=False):
                parts[f"{side}_input_{number}_{kind}"] = layer
    return parts


def settings_of(model: keras.Model) -> dict[str, Any]:
    """What makes variables of KerasHub's ``DFineBackbone`` mean something else, though their shapes be the same."""
    names = (
        "feat_strides",
        "encode_proj_layers",
        "num_encoder_layers",
        "num_attention_heads",
        "decoder_attention_heads",
        "num_decoder_layers",
        "eval_idx",
        "decoder_n_points",
        "decoder_method",
        "learn_initial_query",
    )
    values = {name: getattr(model, name) for name in names}
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in values.items()}


def _by_channel(layer: keras.layers.Conv2D, inputs: Any, kernel: Any) -> Any:
    """A convolution of each channel with its own kernel, [k, k, 1, C], by TensorFlow's own operation for it."""
    return keras.ops.depthwise_conv(
        inputs,
        keras.ops.transpose(kernel, (0, 1, 3, 2)),
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
    )


def _scaled(channels: int, width: float) -> int:
    """A multiple of four, as the lightest published network has them."""
    return channels if width == 1.0 else max(4, round(channels * width / 4.0) * 4)


def _num_places(image_size: tuple[int, int], strides: Sequence[int]) -> int:
    return sum((image_size[0] // stride) * (image_size[1] // stride) for stride in strides)


def _begin_afresh(part: keras.layers.Layer) -> None:
    """Gives kernels that KerasHub draws with a standard deviation of 0.01, through which nothing comes, a usual start.

    Those that begin at 0 stay, so that each layer begins with the boxes of the one before.
    """
    for layer in part._flatten_layers():
        if not isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense):
            continue
        shape = tuple(layer.kernel.shape)
        if np.any(np.asarray(layer.kernel)):
            flat = keras.initializers.GlorotUniform()((shape[0], int(np.prod(shape[1:]))))
            layer.kernel.assign(keras.ops.reshape(flat, shape))


def _inverse_sigmoid(values: Any) -> Any:
    clipped = keras.ops.clip(values, 1e-5, 1.0 - 1e-5)
    return keras.ops.log(clipped / (1.0 - clipped))
