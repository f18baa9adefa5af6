"""The training step against the same arithmetic in numpy, and what it computes in float16."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.common.api import _cell_graph_executor

from src import delf_model
from src.delf_model import (
    AttentionNetwork,
    ConvBN,
    TuningNetwork,
    freeze,
    keep_statistics,
    use_half_precision,
)
from src.network.weights import load_weights
from src.training.step import (
    AccumulatingStep,
    ClassificationLoss,
    Gradients,
    PolynomialDecay,
    TrainStep,
    learning_rate,
)
from src.training.unfolding import UnfoldedConv, unfold_convolutions
from tests.helpers.weights import random_weights

pytestmark = pytest.mark.usefixtures("cpu")

INPUTS, CLASSES = 5, 4
RATE, STEPS, MOMENTUM = 0.3, 8, 0.9
NO_CLIPPING = 1e6


def first_weights():
    generator = np.random.default_rng(1)
    return generator.normal(0, 0.5, (CLASSES, INPUTS)), generator.normal(0, 0.5, CLASSES)


def batches(count, size=6, length=3.0):
    """Inputs and labels of a few steps."""
    generator = np.random.default_rng(2)
    return [
        (
            generator.normal(0, length, (size, INPUTS)).astype(np.float32),
            generator.integers(0, CLASSES, size).astype(np.int32),
        )
        for _ in range(count)
    ]


def by_numpy(data, clip_norm, start_iter=1, weight=1.0):
    """Train softmax regression in float64; return weights, bias, losses and gradients' norms."""
    w, b = first_weights()
    moments = [np.zeros_like(w), np.zeros_like(b)]
    losses, norms = [], []
    for number, (x, labels) in enumerate(data, start_iter - 1):
        logits = x.astype(np.float64) @ w.T + b
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        losses.append(-weight * np.log(p[np.arange(len(x)), labels]).mean())
        slope = weight * (p - np.eye(CLASSES)[labels]) / len(x)
        gradients = [slope.T @ x, slope.sum(0)]
        norms.append(np.sqrt(sum((g**2).sum() for g in gradients)))
        shrink = min(1.0, clip_norm / norms[-1])
        rate = RATE * (1 - number / STEPS)
        for value, moment, gradient in zip((w, b), moments, gradients):
            moment *= MOMENTUM
            moment += shrink * gradient
            value -= rate * moment
    return w, b, losses, norms


def make(clip_norm=NO_CLIPPING, scaler=None, start_iter=1, weight=1.0):
    """A softmax regression with the first weights, and its training step."""
    w, b = (ms.Tensor(value, ms.float32) for value in first_weights())
    network = nn.Dense(INPUTS, CLASSES, w, b)
    decay = PolynomialDecay(RATE, STEPS, start_iter)
    optimizer = nn.Momentum(network.trainable_params(), decay, MOMENTUM)
    step = TrainStep(ClassificationLoss(network, weight), optimizer, clip_norm, 1, scaler)
    step.set_train()
    return SimpleNamespace(network=network, optimizer=optimizer, step=step)


def run(step, data):
    return [float(step(ms.Tensor(x), ms.Tensor(labels)).asnumpy()) for x, labels in data]


def values(made):
    """Weights, momentum and step count."""
    tensors = (*made.optimizer.parameters, *made.optimizer.moments, made.optimizer.global_step)
    return [tensor.asnumpy().copy() for tensor in tensors]


def assert_same(first, second, **tolerance):
    for one, other in zip(first, second):
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize("clip_norm", [NO_CLIPPING, 0.8])
@pytest.mark.parametrize(("start_iter", "weight"), [(1, 1.0), (4, 2.5)])
def test_steps_are_clipped_momentum_descent_on_the_cross_entropy(clip_norm, start_iter, weight):
    data = batches(5)
    made = make(clip_norm, start_iter=start_iter, weight=weight)
    losses = run(made.step, data)
    w, b, wanted, norms = by_numpy(data, clip_norm, start_iter, weight)
    assert max(norms) > 0.8  # or the two cases would be one
    np.testing.assert_allclose(losses, wanted, rtol=1e-4)
    np.testing.assert_allclose(made.network.weight.asnumpy(), w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.network.bias.asnumpy(), b, rtol=1e-4, atol=1e-5)
    assert made.optimizer.global_step.asnumpy().tolist() == [5]


@pytest.mark.parametrize("use_scaler", [False, True])
def test_two_half_batches_give_the_step_of_the_whole_one(use_scaler):
    data = batches(3)
    whole, halves = (
        make(1.0, ms.amp.DynamicLossScaler(64.0, 2, 1000) if use_scaler else None) for _ in range(2)
    )
    run(whole.step, data)
    step = AccumulatingStep(halves.step, 2)
    step.set_train()
    for x, labels in data:
        for part, is_first in ((slice(None, 3), True), (slice(3, None), False)):
            step(ms.Tensor(x[part]), ms.Tensor(labels[part]), ms.Tensor(is_first))
        before = halves.network.weight.asnumpy().copy()
        step.finish()
        assert (halves.network.weight.asnumpy() != before).all()
    assert_same(values(halves), values(whole), rtol=1e-4, atol=1e-6)


def test_loss_scaling_changes_nothing_but_the_scale():
    data = batches(4)
    scaler = ms.amp.DynamicLossScaler(256.0, 2, 3)
    plain, scaled = make(1.0), make(1.0, scaler)
    assert_same([run(scaled.step, data)], [run(plain.step, data)], rtol=1e-5)
    assert_same(values(scaled), values(plain), rtol=1e-4, atol=1e-6)
    assert float(scaler.scale_value.asnumpy()) == 512.0  # doubled after three good steps


@pytest.mark.parametrize("accumulates", [False, True])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_overflow_only_halves_the_scale(accumulates, bad):
    good, spoilt, after = batches(3)
    spoilt[0][0, 0] = bad
    scaler = ms.amp.DynamicLossScaler(256.0, 2, 1000)
    made = make(1.0, scaler)
    step = made.step
    if accumulates:
        one = AccumulatingStep(made.step, 1)
        one.set_train()

        def step(images, labels):
            loss = one(images, labels, ms.Tensor(True))
            one.finish()
            return loss

    run(step, [good])
    before = values(made)
    run(step, [spoilt])
    for left, right in zip(values(made), before):
        np.testing.assert_array_equal(left, right)
    assert float(scaler.scale_value.asnumpy()) == 128.0
    run(step, [after])
    # As if the spoilt batch had never come.
    w, b, _, _ = by_numpy([good, after], 1.0)
    assert_same(values(made)[:2], [w, b], rtol=1e-4, atol=1e-5)
    assert float(scaler.scale_value.asnumpy()) == 128.0


class Branching(nn.Cell):
    def construct(self, x: ms.Tensor) -> ms.Tensor:
        if x > 0:
            x = x + 1
        return x


def compiled(cell):
    """The compiled graph of a cell, which names its operators."""
    return _cell_graph_executor.get_optimize_graph_proto(cell).lower()


@pytest.mark.parametrize("scaler", [None, ms.amp.DynamicLossScaler(8.0, 2, 1000)])
def test_a_step_takes_no_branch_by_what_it_computes(scaler):
    """An Ascend that runs the graph as a whole could not."""
    ms.set_context(mode=ms.GRAPH_MODE)
    made = make(1.0, scaler)
    run(made.step, batches(1))
    assert b"applymomentum" in compiled(made.step)
    assert b"switch" not in compiled(made.step)
    branching = Branching()
    branching(ms.Tensor(1.0))
    assert b"switch" in compiled(branching)


def test_the_decay_continues_and_ends_at_zero():
    decay = PolynomialDecay(0.02, 10, 4)
    rates = [float(decay(ms.Tensor(done, ms.int32)).asnumpy()) for done in range(9)]
    wanted = [0.014, 0.012, 0.010, 0.008, 0.006, 0.004, 0.002, 0.0, 0.0]
    np.testing.assert_allclose(rates, wanted, atol=1e-8)
    numbers = [learning_rate(0.02, 10, step) for step in range(4, 13)]
    np.testing.assert_allclose(numbers, wanted, atol=1e-12)


def test_the_loss_of_float16_logits_is_computed_in_float32():
    (x, labels) = batches(1, length=5.0)[0]
    network = nn.Dense(INPUTS, CLASSES, *(ms.Tensor(v, ms.float32) for v in first_weights()))
    network.to_float(ms.float16)
    logits = network(ms.Tensor(x))
    assert logits.dtype == ms.float16
    loss = ClassificationLoss(network)(ms.Tensor(x), ms.Tensor(labels))
    assert loss.dtype == ms.float32
    logits = logits.asnumpy().astype(np.float64)
    own = logits[np.arange(len(x)), labels]
    wanted = (np.log(np.exp(logits).sum(1)) - own).mean()
    assert float(loss.asnumpy()) == pytest.approx(wanted, rel=1e-5)  # float16 has three digits


@pytest.fixture
def short_stages(monkeypatch):
    """Networks of one unit a stage, which take a third of the time."""
    short = {number: (inner, 1, stride) for number, (inner, _, stride) in delf_model.STAGES.items()}
    monkeypatch.setattr(delf_model, "STAGES", short)


def zeros(*shape, dtype=ms.float16):
    return ms.Tensor(np.zeros(shape), dtype)


@pytest.mark.parametrize("kind", [AttentionNetwork, TuningNetwork])
def test_convolutions_in_half_precision_and_the_rest_in_single(short_stages, kind):
    single, half = (kind(CLASSES) for _ in range(2))
    weights = random_weights(single)
    use_half_precision(half)
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    logits = []
    for network in (single, half):
        load_weights(network, weights, "random")
        network.set_train(False)
        logits.append(network(ms.Tensor(pixels)))
    assert [tensor.dtype for tensor in logits] == [ms.float32, ms.float16]
    wanted, found = (tensor.asnumpy().astype(np.float64) for tensor in logits)
    assert 0 < np.abs(found - wanted).max() < 2e-2 * np.abs(wanted).max()
    assert {parameter.dtype for parameter in half.get_parameters()} == {ms.float32}

    units = [cell for _, cell in half.cells_and_names() if isinstance(cell, ConvBN)]
    assert len(units) == (1 + 3 * 4 + 1 if kind is AttentionNetwork else 1 + 4 * 4)
    for unit in units:
        assert unit.conv.get_flags()["fp16"]
        assert unit.bn.get_flags()["fp32"]
    unit = half.backbone.conv1
    assert unit.conv(ms.Tensor(pixels)).dtype == ms.float16
    assert unit.bn(zeros(1, 64, 2, 2)).dtype == ms.float32
    if kind is AttentionNetwork:
        score = half.attention.conv2
        assert score(zeros(1, 512, 2, 2, dtype=ms.float32)).dtype == ms.float32


@pytest.mark.parametrize("kind", [AttentionNetwork, TuningNetwork])
def test_unfolded_convolutions_compute_the_same_loss_and_gradients(short_stages, kind):
    plain, unfolded = (kind(CLASSES) for _ in range(2))
    weights = random_weights(plain)
    names = [(name, p.name) for name, p in unfolded.parameters_and_names()]
    unfold_convolutions(unfolded)
    assert [(name, p.name) for name, p in unfolded.parameters_and_names()] == names
    count = sum(isinstance(cell, UnfoldedConv) for _, cell in unfolded.cells_and_names())
    assert count == 1 + (3 if kind is AttentionNetwork else 4)
    rng = np.random.default_rng(0)
    pixels = ms.Tensor(rng.uniform(-1, 1, (3, 3, 65, 50)).astype(np.float32))
    found = []
    for network in (plain, unfolded):
        load_weights(network, weights, "random")
        keep_statistics(network)  # those of three photos would magnify what is rounded
        parameters = ms.ParameterTuple(network.trainable_params())
        gradients = Gradients(ClassificationLoss(network), parameters, None)
        loss, moved = gradients(pixels, ms.Tensor(np.int32([0, 1, 2])))
        found.append([loss.asnumpy(), *(gradient.asnumpy() for gradient in moved)])
    for one, other in zip(*found, strict=True):
        assert np.linalg.norm(one - other) <= 1e-4 * np.linalg.norm(one) + 1e-7


def test_nothing_of_a_frozen_part_is_trained(short_stages):
    """The backbone of the attention stage, the first stages in tuning, also in half precision."""
    attention, tuning = AttentionNetwork(CLASSES), TuningNetwork(CLASSES)
    keep_statistics(tuning)
    frozen, trained = tuning.backbone.stages()[:2], tuning.backbone.stages()[2:]
    for stage in frozen:
        freeze(stage)
    use_half_precision(tuning)
    use_half_precision(attention)
    for cell in (attention.backbone, *frozen):
        assert not list(cell.trainable_params())
    names = {parameter.name for parameter in attention.trainable_params()}
    assert names and all(name.startswith(("attention.", "classifier.")) for name in names)
    # Weight, γ and β of each unit, and the classifier; the statistics are no weights.
    units = [c for stage in trained for _, c in stage.cells_and_names() if isinstance(c, ConvBN)]
    assert len(tuning.trainable_params()) == 3 * len(units) + 2
    kept = [c for _, c in tuning.cells_and_names() if isinstance(c, nn.BatchNorm2d)]
    kept += [c for _, c in attention.backbone.cells_and_names() if isinstance(c, nn.BatchNorm2d)]
    assert {cell.use_batch_statistics for cell in kept} == {False}
    assert attention.attention.conv1.bn.use_batch_statistics is not False


def test_a_step_leaves_frozen_parts_and_kept_statistics_as_they_are():
    network = nn.SequentialCell(
        ConvBN(3, 4, 3), nn.ReLU(), ConvBN(4, 6, 3), ConvBN(6, 5, 1), nn.Flatten(), nn.Dense(20, 3)
    )
    load_weights(network, random_weights(network), "random")
    freeze(network[0])
    keep_statistics(network[2])
    use_half_precision(network)
    optimizer = nn.Momentum(network.trainable_params(), 0.1, 0.9)
    scaler = ms.amp.DynamicLossScaler(8.0, 2, 1000)
    step = TrainStep(ClassificationLoss(network), optimizer, NO_CLIPPING, 1, scaler)
    step.set_train()
    before = {name: p.asnumpy().copy() for name, p in network.parameters_and_names()}
    x = np.random.default_rng(0).normal(0, 1, (4, 3, 2, 2)).astype(np.float32)
    step(ms.Tensor(x), ms.Tensor(np.array([0, 1, 2, 0], np.int32)))
    same = {n for n, p in network.parameters_and_names() if (p.asnumpy() == before[n]).all()}
    first = {name for name in before if name.startswith("0.")}
    assert same == first | {"2.bn.moving_mean", "2.bn.moving_variance"}
