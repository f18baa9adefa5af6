"""The heads that stage one may be trained with, against numbers worked by hand and in NumPy."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from src.common.errors import UserError
from src.delf_model import CosineClassifier, TuningNetwork
from src.network.feature_weights import read_conv5_weights
from src.network.weight_files import read_checkpoint
from src.training.loop import train
from src.training.metrics_log import read_metrics
from src.training.state import check_state
from src.training.step import (
    AccumulatingStep,
    ArcFaceLoss,
    ClassificationLoss,
    PolynomialDecay,
    TrainStep,
)
from tests.helpers.training import settings_of

pytestmark = pytest.mark.usefixtures("cpu")


class Pooled(nn.Cell):
    """A network whose pooled vectors are its inputs."""

    def __init__(self, channels, classes, scale, seed=0):
        super().__init__()
        self.classifier = CosineClassifier(channels, classes, scale)
        weight = np.random.default_rng(seed).normal(size=(classes, channels))
        self.classifier.weight.set_data(ms.Tensor(weight, ms.float32))

    def construct(self, x):
        return self.classifier(x)

    def pooled(self, x):
        return x


class _Sum(nn.Cell):
    """The sum of what a network pools."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, x):
        return self.network.pooled(x).sum()


def margin_of(cosines, labels, margin):
    loss = ArcFaceLoss(Pooled(2, len(cosines[0]), 1.0), margin)
    tensors = ms.Tensor(cosines, ms.float32), ms.Tensor(labels, ms.int32)
    return loss.with_margin(*tensors).asnumpy()


def test_the_margin_turns_the_right_class_only():
    # cos 60° turned by 30° is cos 90°; 180° turned by 30° would have come back to cos 210°.
    found = margin_of([[0.5, 0.25], [-1.0, 0.25], [0.25, 0.5]], [0, 0, 0], math.pi / 6)
    assert found[0] == pytest.approx([0.0, 0.25], abs=1e-6)
    assert found[1] == pytest.approx([-1 - math.pi / 12, 0.25], abs=1e-6)
    assert found[2] == pytest.approx([math.cos(math.acos(0.25) + math.pi / 6), 0.5], abs=1e-6)
    assert margin_of([[0.5, 0.25]], [1], 0.0).tolist() == [[0.5, 0.25]]
    # It never grows with the angle.
    cosines = np.cos(np.linspace(0.01, 3.13, 200))
    turned = margin_of(np.stack([cosines, cosines], 1), np.zeros(200, int), 0.5)
    assert (np.diff(turned[:, 0]) < 0).all() and (turned[:, 0] < cosines).all()


def test_the_loss_is_that_of_the_paper():
    """−log(e^{s cos(θ_y + m)} / (e^{s cos(θ_y + m)} + Σ e^{s cos θ_j})), in float64."""
    generator = np.random.default_rng(1)
    x, labels, scale, margin = generator.normal(size=(5, 7)), np.arange(5) % 3, 8.0, 0.3
    network = Pooled(7, 3, scale)
    w = network.classifier.weight.asnumpy().astype(np.float64)
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (
        w / np.linalg.norm(w, axis=1, keepdims=True)
    ).T
    logits = scale * cosines
    rows = np.arange(5)
    logits[rows, labels] = scale * np.cos(np.arccos(cosines[rows, labels]) + margin)
    wanted = (np.log(np.exp(logits).sum(1)) - logits[rows, labels]).mean()
    inputs = ms.Tensor(x, ms.float32), ms.Tensor(labels, ms.int32)
    assert float(ArcFaceLoss(network, margin)(*inputs)) == pytest.approx(wanted, rel=1e-5)
    plain = ClassificationLoss(network)(*inputs)
    assert float(ArcFaceLoss(network, 0.0)(*inputs)) == pytest.approx(float(plain), rel=1e-5)
    # Of any length: vectors and classes count by their direction.
    network.classifier.weight.set_data(ms.Tensor(3 * w, ms.float32))
    longer = ArcFaceLoss(network, margin)(ms.Tensor(9 * x, ms.float32), inputs[1])
    assert float(longer) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_slopes_are_finite_where_a_vector_is_its_class_or_its_opposite(sign):
    network = Pooled(4, 2, 45.25)
    network.classifier.weight.set_data(ms.Tensor(np.eye(4)[:2], ms.float32))
    loss = ArcFaceLoss(network, 0.1)
    x = ms.Tensor([[sign * 2.0, 0, 0, 0], [0, 0, 0, 0]], ms.float32)  # and one of no length
    gradient = ops.GradOperation(get_by_list=True, get_all=True)
    weights = ms.ParameterTuple(network.trainable_params())
    of_x, of_weights = gradient(loss, weights)(x, ms.Tensor([0, 1], ms.int32))
    for found in (*of_x, *of_weights):
        assert np.isfinite(found.asnumpy()).all()
    assert len(weights) == len(of_weights) == 2


def test_the_slope_of_the_generalised_mean_is_finite_where_a_channel_is_silent():
    network = TuningNetwork(2, use_gem=True)
    network.backbone = nn.Identity()
    x = np.random.default_rng(0).uniform(0, 2, (1, 2048, 3, 4)).astype(np.float32)
    x[0, 0] = 0
    x[0, 1, 0, 0] = 0
    pooled = network.pooled(ms.Tensor(x)).asnumpy()[0]
    wanted = np.cbrt((x[0].astype(float) ** 3).mean((1, 2)))
    assert pooled[1:] == pytest.approx(wanted[1:], rel=1e-4)
    slope = ops.GradOperation()(_Sum(network))(ms.Tensor(x)).asnumpy()[0]
    assert np.isfinite(slope).all() and not slope[0].any()
    # d/dx (Σ x³ / n)^(1/3) = x² / n / mean²
    assert slope[1] == pytest.approx(x[0, 1] ** 2 / 12 / pooled[1] ** 2, rel=1e-3)


def test_half_batches_add_up_to_a_whole_one_with_a_margin_too():
    generator = np.random.default_rng(3)
    data = [(generator.normal(size=(6, 5)), generator.integers(0, 4, 6)) for _ in range(3)]

    def made():
        network = Pooled(5, 4, 8.0)
        optimizer = nn.Momentum(network.trainable_params(), PolynomialDecay(0.3, 8, 1), 0.9)
        step = TrainStep(ArcFaceLoss(network, 0.2), optimizer, 1.0)
        step.set_train()
        return network, step

    (whole, step), (halves, half) = made(), made()
    accumulating = AccumulatingStep(half, 2)
    accumulating.set_train()
    losses = []
    for x, labels in data:
        x, labels = ms.Tensor(x, ms.float32), ms.Tensor(labels, ms.int32)
        losses.append(float(step(x, labels)))
        for part, is_first in ((slice(None, 3), True), (slice(3, None), False)):
            accumulating(x[part], labels[part], ms.Tensor(is_first))
        accumulating.finish()
    for one, other in zip(whole.trainable_params(), halves.trainable_params()):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-4, atol=1e-6)
    assert float(whole.classifier.scale[0]) != 8.0, "the scale is learned"


@pytest.mark.slow
def test_a_training_with_a_head_of_its_own_learns_and_goes_on_as_such(training_data, tmp_path):
    """Three classes told apart by colour, by GeM and ArcFace, to a checkpoint and on from it."""
    head = {"tuning_pooling": "gem", "tuning_loss": "arcface", "tuning_scale": 10.0}
    told = {
        "train_state": "tuning", "frozen_stages": 4, "train_bn_statistics": False,
        "validate_step": 0, "log_step": 1, "save_ckpt_step": 100, "initial_lr": 0.02,
    }  # fmt: skip
    begun = settings_of(training_data, tmp_path, **told, **head, max_iters=9)
    result = train(begun)
    losses = [line["loss"] for line in read_metrics(tmp_path / "ckpt" / "train_tuning.jsonl")]
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    weights = read_checkpoint(result.checkpoint)
    names = {name for name in weights if name.startswith("classifier.")}
    assert names == {"classifier.weight", "classifier.scale"}
    assert weights["classifier.weight"].shape == (3, 2048)
    assert len(read_conv5_weights(result.checkpoint)) == 20  # for the global descriptor

    facts = {"classes": 3, "photos": 12}
    for changed, named in (
        ({}, "tuning_pooling is 'average' here, 'gem' there"),
        ({**head, "tuning_loss": "cosine"}, "tuning_loss is 'cosine' here, 'arcface' there"),
        ({**head, "tuning_margin": 0.2}, "tuning_margin is 0.2 here, 0.1 there"),
    ):
        other = settings_of(training_data, tmp_path, **told, **changed, max_iters=9)
        with pytest.raises(UserError, match=named):
            check_state(weights, result.checkpoint, other.identity(1, "CPU") | facts)

    # A training by another head takes the network and begins the classifier anew.
    published = settings_of(
        training_data, tmp_path / "next", **told, max_iters=1, checkpoint_path=result.checkpoint
    )
    held = read_checkpoint(train(published).checkpoint)
    assert "classifier.bias" in held and "classifier.scale" not in held
    name = "backbone.stage2.res2a.branch2a.conv.weight"
    np.testing.assert_array_equal(held[name], weights[name])
