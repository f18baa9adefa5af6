"""The network: shapes, what learns and what stays, where features lie."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.common.errors import UserError
from src.delf_model import BN_EPSILON, AttentionNetwork, ConvBN, FeatureExtractor, TuningNetwork
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.network.weights import fold_batch_norm, load_weights
from src.training.step import ClassificationLoss, PolynomialDecay, TrainStep, learning_rate
from tests.helpers.weights import random_weights


def as_dict(network):
    return {name: p.asnumpy().copy() for name, p in network.parameters_and_names()}


@pytest.fixture(scope="module")
def attention_weights(cpu):
    return random_weights(AttentionNetwork(5))


@pytest.fixture(scope="module")
def network(attention_weights):
    wanted = {k: v for k, v in attention_weights.items() if not k.startswith("classifier")}
    return FeatureNetwork(fold_batch_norm(wanted, BN_EPSILON), "weights", "CPU")


def photo(height, width, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 31), (5, 7), (200, 40)])
def test_any_size_gives_a_cell_for_each_32_pixels(network, size):
    features, scores = network(photo(*size))
    cells = (-(-size[0] // 32), -(-size[1] // 32))
    assert features.shape == (*cells, 1024)
    assert scores.shape == cells
    assert (scores > 0).all()


def test_folding_does_not_change_the_features(network, attention_weights):
    class Unfolded(nn.Cell):
        def __init__(self):
            super().__init__()
            self.full = AttentionNetwork(5)

        def construct(self, x):
            features = self.full.backbone(x)
            return features, self.full.attention(features)

    unfolded = Unfolded()
    load_weights(unfolded.full, attention_weights, "weights")
    unfolded.set_train(False)
    images = photo(70, 90)
    wanted, wanted_scores = (x.asnumpy()[0] for x in unfolded(ms.Tensor(images)))
    features, scores = network(images)
    np.testing.assert_allclose(features.transpose(2, 0, 1), wanted, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scores, wanted_scores[0], rtol=1e-3, atol=1e-4)


def test_a_feature_moves_with_the_picture_by_32_pixels_a_cell(network):
    image = photo(448, 448)
    shifted = np.roll(image, (32, 64), axis=(2, 3))
    features, _ = network(image)
    moved, _ = network(shifted)
    # cell 6 sees pixels 47 to 337 of the picture: all inside, also after the shift
    np.testing.assert_allclose(moved[7, 8], features[6, 6], rtol=1e-2, atol=2e-2)
    assert np.abs(moved[6, 6] - features[6, 6]).max() > 0.1


def test_the_receptive_field_is_291_pixels_around_32_times_the_cell(network):
    image = photo(448, 448)
    base = network(image)[0][7, 7]  # centred on pixel 224, sees 79 to 369

    def changes(row, column):
        other = image.copy()
        other[0, :, row, column] += 50.0
        return bool((network(other)[0][7, 7] != base).any())

    assert changes(224, 224)
    assert not changes(224 - 146, 224)
    assert not changes(224, 224 + 146)
    # at the rim of the field a pixel counts only along paths that all ReLUs let through, so a
    # whole strip of it is changed
    strip = image.copy()
    strip[0, :, 224 - 145 : 224 - 129, 79:369] += 50.0
    assert (network(strip)[0][7, 7] != base).any()


def test_without_a_trained_attention_the_scores_are_the_norms(attention_weights):
    backbone = {k: v for k, v in attention_weights.items() if k.startswith("backbone")}
    network = FeatureNetwork(fold_batch_norm(backbone, BN_EPSILON), "weights", "CPU")
    features, scores = network(photo(64, 64))
    assert not network.has_attention
    np.testing.assert_allclose(scores, np.sqrt((features**2).sum(-1)), rtol=1e-5)


def train_a_step(network, images, labels, rate=0.1):
    optimizer = nn.Momentum(network.trainable_params(), rate, 0.9)
    step = TrainStep(ClassificationLoss(network), optimizer, 10.0)
    step.set_train()
    return float(step(ms.Tensor(images), ms.Tensor(labels)).asnumpy())


def test_the_attention_stage_changes_the_attention_and_its_classifier_only(cpu, attention_weights):
    network = AttentionNetwork(5)
    load_weights(network, attention_weights, "weights")
    images = np.concatenate([photo(64, 96, seed) for seed in range(4)])
    train_a_step(network, images, np.array([0, 1, 2, 3], np.int32))
    changed = {n for n, value in as_dict(network).items() if (value != attention_weights[n]).any()}
    assert changed == {n for n in attention_weights if not n.startswith("backbone")}


@pytest.mark.parametrize("normalised", [True, False])
def test_the_attention_network_weighs_unit_features_by_their_scores(
    cpu, attention_weights, normalised
):
    network = AttentionNetwork(5, normalised)
    load_weights(network, attention_weights, "weights")
    network.set_train(False)
    images = photo(64, 96)
    logits = network(ms.Tensor(images)).asnumpy()[0]
    wanted = {k: v for k, v in attention_weights.items() if not k.startswith("classifier")}
    extractor = FeatureNetwork(fold_batch_norm(wanted, BN_EPSILON), "weights", "CPU")
    features, scores = (x.astype(np.float64) for x in extractor(images))
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    factor = 30 / scores.sum() if normalised else 1
    pooled = factor * (unit * scores[..., None]).sum((0, 1))
    by_hand = attention_weights["classifier.weight"] @ pooled + attention_weights["classifier.bias"]
    np.testing.assert_allclose(logits, by_hand, rtol=1e-3, atol=1e-3)


def test_tuning_trains_every_weight_and_pools_over_the_whole_map(cpu):
    network = TuningNetwork(5)
    weights = random_weights(network)
    load_weights(network, weights, "weights")
    network.set_train(False)
    image = photo(321, 321)
    changed = image.copy()
    changed[..., 300:, 300:] += 1.0  # the last cells, which a 7×7 pooling would not see
    first, second = (network(ms.Tensor(x)).asnumpy() for x in (image, changed))
    assert np.abs(first - second).max() > 1e-4
    images = np.concatenate([photo(64, 64, seed) for seed in range(4)])
    train_a_step(network, images, np.array([0, 1, 2, 3], np.int32))
    after = as_dict(network)
    unchanged = [n for n, value in weights.items() if (after[n] == value).all()]
    assert unchanged == []


def test_the_gradient_of_all_weights_together_is_clipped(cpu):
    class Linear(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense = nn.Dense(2, 2, "zeros", "zeros")

        def construct(self, x):
            return self.dense(x)

    network = Linear()
    inputs = np.array([[300.0, 400.0]], np.float32)
    train_a_step(network, inputs, np.array([0], np.int32), rate=1.0)
    # softmax of zeros: gradient of the weights ±0.5·x, of the bias ±0.5, scaled to norm 10
    gradient = np.array([[-150, -200], [150, 200], [-0.5, 0.5]])
    gradient *= 10 / np.linalg.norm(gradient)
    np.testing.assert_allclose(network.dense.weight.asnumpy(), -gradient[:2], rtol=1e-4)
    np.testing.assert_allclose(network.dense.bias.asnumpy(), -gradient[2], rtol=1e-4)


def test_one_decay_over_the_whole_training(cpu):
    whole, rest = PolynomialDecay(0.01, 1000, 1), PolynomialDecay(0.01, 1000, 401)
    for steps in (0, 1, 250, 599):
        at = float(rest(ms.Tensor(steps, ms.int32)).asnumpy())
        assert at == pytest.approx(
            float(whole(ms.Tensor(steps + 400, ms.int32)).asnumpy()), abs=1e-8
        )
        assert at == pytest.approx(0.01 * (600 - steps) / 1000, abs=1e-8)
        assert at == pytest.approx(learning_rate(0.01, 1000, 401 + steps), abs=1e-8)


def test_weights_that_do_not_fit_are_named(cpu, attention_weights):
    network = AttentionNetwork(7)
    with pytest.raises(UserError, match=r"classifier\.weight is \(5, 1024\), not \(7, 1024\)"):
        load_weights(network, attention_weights, "old.ckpt")
    with pytest.raises(UserError, match=r"stage5\.res5a\.branch2a\.conv\.weight"):
        load_weights(TuningNetwork(5), attention_weights, "old.ckpt", only=("backbone.",))


def test_a_convolution_with_a_stride_keeps_every_second_output(cpu):
    dense, strided = ConvBN(3, 4, 3), ConvBN(3, 4, 3, 2)
    load_weights(strided, as_dict(dense), "dense")
    for cell in (dense, strided):
        cell.set_train(False)
    for size in ((7, 8), (8, 7)):
        images = ms.Tensor(photo(*size))
        np.testing.assert_allclose(
            strided(images).asnumpy(), dense(images).asnumpy()[..., ::2, ::2], atol=1e-5
        )
    assert FeatureExtractor().backbone.stage4[-1].branch2b.conv.stride == (2, 2)
