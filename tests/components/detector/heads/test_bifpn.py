"""The bidirectional pyramid against a numpy version written node by node from the paper's figure."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from components.detector.heads.bifpn import Combine, FastAttentionSum, NearestUpsampling, build_bifpn

Array = NDArray[np.float32]
CHANNELS = {3: 3, 4: 5, 5: 2}
FILTERS = 4


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float32, st.integers(2, 4), elements=st.floats(-2.0, 4.0, width=32, allow_subnormal=False)))
def test_fusion_is_the_normalised_weighted_sum(weights: Array) -> None:
    maps = np.random.default_rng(0).normal(size=(len(weights), 2, 3, 3, 2)).astype(np.float32)
    layer = FastAttentionSum()
    layer.build([tuple(feature.shape) for feature in maps])
    layer.set_weights([weights[:, None]])
    positive = np.maximum(weights, 0.0)
    expected = sum(weight * feature for weight, feature in zip(positive / (positive.sum() + 1e-4), maps, strict=True))
    np.testing.assert_allclose(layer([tf.constant(feature) for feature in maps]), expected, rtol=1e-5, atol=1e-5)


def test_upsampling_repeats_rows_and_columns() -> None:
    features = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(NearestUpsampling()(features), features.repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize("combine", ["fast_attention", "sum"])
@pytest.mark.parametrize("iterations", [1, 2])
def test_pyramid_equals_the_brute_force(combine: Combine, iterations: int) -> None:
    side = 16
    inputs = {level: keras.Input((side >> level - 3, side >> level - 3, n)) for level, n in CHANNELS.items()}
    pyramid = build_bifpn(
        inputs, max_level=7, filters=FILTERS, iterations=iterations, combine=combine, batch_norm_momentum=0.97
    )
    model = keras.Model(list(inputs.values()), pyramid.levels)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) if weight.name != "kernel" else rng.normal(size=weight.shape))
    images = {
        level: rng.normal(size=(1, side >> level - 3, side >> level - 3, n)).astype(np.float32)
        for level, n in CHANNELS.items()
    }
    expected = BruteForce(pyramid.zoo_layers, combine).run(images, iterations)
    found = model([images[level] for level in CHANNELS])
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * float(np.abs(other).max()))


class BruteForce:
    """Figure 2(d) of the paper; nodes are counted as the zoo's checkpoints count them."""

    def __init__(self, layers: dict[str, keras.layers.Layer], combine: Combine) -> None:
        self.layers = layers
        self.combine = combine
        self.count = 0

    def run(self, images: dict[int, Array], iterations: int) -> list[Array]:
        raw = dict(images)
        raw[6] = self.node(6, [(5, raw[5])])
        raw[7] = self.node(7, [(6, raw[6])])
        for _ in range(iterations):
            down6 = self.node(6, [(6, raw[6]), (7, raw[7])])
            down5 = self.node(5, [(5, raw[5]), (6, down6)])
            down4 = self.node(4, [(4, raw[4]), (5, down5)])
            out3 = self.node(3, [(3, raw[3]), (4, down4)])
            out4 = self.node(4, [(4, raw[4]), (4, down4), (3, out3)])
            out5 = self.node(5, [(5, raw[5]), (5, down5), (4, out4)])
            out6 = self.node(6, [(6, raw[6]), (6, down6), (5, out5)])
            out7 = self.node(7, [(7, raw[7]), (6, out6)])
            raw = {3: out3, 4: out4, 5: out5, 6: out6, 7: out7}
        return [raw[level] for level in range(3, 8)]

    def node(self, level: int, inputs: list[tuple[int, Array]]) -> Array:
        number = self.count
        self.count += 1
        maps = []
        for i, (input_level, features) in enumerate(inputs):
            projection = f"node_input_blocks/{number}/{i}/1/0"
            if projection in self.layers:
                kernel, bias = self.layers[projection].get_weights()
                features = norm(features @ kernel[0, 0] + bias, self.layers[f"node_input_blocks/{number}/{i}/1/1"])
            if input_level < level:
                features = max_pool(features)
            elif input_level > level:
                features = features.repeat(2, axis=1).repeat(2, axis=2)
            maps.append(features)
        if len(maps) == 1:
            return maps[0]
        weights = np.ones(len(maps), np.float32)
        if self.combine == "fast_attention":
            (learnt,) = self.layers[f"node_combine_op/{number}"].get_weights()
            weights = learnt[:, 0] / (learnt.sum() + 1e-4)
        x = sum(weight * feature for weight, feature in zip(weights, maps, strict=True))
        x = x / (1.0 + np.exp(-x))
        depthwise, pointwise, bias = self.layers[f"node_post_combine_block/{number}/1"].get_weights()
        rows, columns = x.shape[1:3]
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        filtered = sum(
            padded[:, i : i + rows, j : j + columns] * depthwise[i, j, :, 0] for i in range(3) for j in range(3)
        )
        return norm(filtered @ pointwise[0, 0] + bias, self.layers[f"node_post_combine_block/{number}/2"])


def norm(x: Array, layer: keras.layers.Layer) -> Array:
    gamma, beta, mean, variance = layer.get_weights()
    normalised: Array = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    return normalised


def max_pool(x: Array) -> Array:
    """3 x 3, stride 2, "same": for even sides the window starts on the pixel and hangs over at the end."""
    rows, columns = x.shape[1:3]
    pooled = np.empty((x.shape[0], rows // 2, columns // 2, x.shape[3]), np.float32)
    for i in range(rows // 2):
        for j in range(columns // 2):
            pooled[:, i, j] = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(1, 2))
    return pooled
