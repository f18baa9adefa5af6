"""A training's state comes back from its checkpoint whole, or is refused in one line."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.common.errors import UserError
from src.network.weight_files import read_checkpoint, write_checkpoint
from src.training.state import (
    TrainingRecord,
    TrainingState,
    check_state,
    read_record,
    without_state,
)

SETTINGS = {"seed": 3, "max_iters": 70, "initial_lr": 0.005, "train_bn_statistics": True}
NETWORK = {
    *("0.weight", "1.gamma", "1.beta", "1.moving_mean", "1.moving_variance"),
    *("3.weight", "3.bias"),
}
MOMENTS = {f"training.moments.{name}" for name in NETWORK if "moving" not in name}


def read_state(path, settings):
    weights = read_checkpoint(path)
    return weights, check_state(weights, path, settings)


def make(classes=2, scaled=True, in_cell=False):
    """A small network with batch normalisation, its optimiser, and the state of both."""
    network = nn.SequentialCell(
        nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Dense(12, classes)
    )
    if in_cell:  # which puts its own names in front of the parameters'
        nn.SequentialCell(nn.ReLU(), network)
        assert network[3].bias.name == "1.3.bias"
    optimizer = nn.Momentum(network.trainable_params(), 0.1, 0.9)
    scaler = ms.amp.DynamicLossScaler(1024.0, 2, 1000) if scaled else None
    state = TrainingState(network, optimizer, scaler)
    return SimpleNamespace(network=network, optimizer=optimizer, scaler=scaler, state=state)


def fill(state, seed):
    """Set every tensor to something of its own; return them by name."""
    generator = np.random.default_rng(seed)
    for parameter in state.parameters.values():
        value = generator.integers(1, 1000, parameter.shape)
        parameter.set_data(ms.Tensor(value, parameter.dtype))
    return tensors(state)


def tensors(state):
    return {name: parameter.asnumpy().copy() for name, parameter in state.parameters.items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype, name
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.fixture(scope="module")
def saved(cpu, tmp_path_factory):
    """A checkpoint with a state, and the tensors and the record in it."""
    path = tmp_path_factory.mktemp("state") / "checkpoint.ckpt"
    state = make().state
    values = fill(state, 0)
    record = TrainingRecord(12, dict(SETTINGS), loss=0.25, accuracy=0.5, best_accuracy=0.75)
    write_checkpoint(path, state.snapshot(record))
    return SimpleNamespace(path=path, values=values, record=record)


@pytest.mark.parametrize("in_cell", [False, True])
def test_a_fresh_training_takes_over_every_tensor_and_the_record(saved, in_cell):
    names = NETWORK | MOMENTS | {"training.global_step"}
    names |= {"training.loss_scale", "training.loss_scale_counter"}
    assert saved.values.keys() == names
    fresh = make(in_cell=in_cell)
    fill(fresh.state, 1)
    weights, record = read_state(saved.path, SETTINGS)
    fresh.state.load(weights, "checkpoint")
    assert_equal(tensors(fresh.state), saved.values)
    assert record == saved.record
    # The state's tensors are those that the training uses.
    wanted = {id(p): saved.values[name] for name, p in fresh.state.parameters.items()}
    used = [*fresh.network.get_parameters(), *fresh.optimizer.moments, fresh.optimizer.global_step]
    for parameter in (*used, fresh.scaler.scale_value, fresh.scaler.counter):
        np.testing.assert_array_equal(parameter.asnumpy(), wanted.pop(id(parameter)))
    assert wanted == {}


def test_weights_and_momentum_stay_with_their_parameters(saved):
    """Whatever the order of the optimiser, `moments.x` is the momentum of x."""
    fresh = make()
    fresh.state.load(read_checkpoint(saved.path), "checkpoint")
    for parameter, moment in zip(fresh.optimizer.parameters, fresh.optimizer.moments):
        (name,) = (n for n, p in fresh.network.parameters_and_names() if p is parameter)
        np.testing.assert_array_equal(parameter.asnumpy(), saved.values[name])
        np.testing.assert_array_equal(moment.asnumpy(), saved.values[f"training.moments.{name}"])


def test_loss_scaling_may_begin_in_a_training_that_goes_on(saved, tmp_path):
    plain = make(scaled=False)
    values = fill(plain.state, 2)
    write_checkpoint(tmp_path / "plain.ckpt", plain.state.snapshot(saved.record))
    scaled = make()
    scaled.state.load(read_checkpoint(tmp_path / "plain.ckpt"), "plain.ckpt")
    found = tensors(scaled.state)
    assert float(found.pop("training.loss_scale")) == 1024.0
    assert int(found.pop("training.loss_scale_counter")) == 0
    assert_equal(found, values)
    plain.state.load(read_checkpoint(saved.path), "scaled")  # and end there


@pytest.mark.parametrize("name", ["training.moments.3.bias", "training.global_step", "3.bias"])
def test_a_state_that_lacks_a_tensor_is_refused(saved, name):
    weights = read_checkpoint(saved.path)
    del weights[name]
    with pytest.raises(UserError, match=rf"half\.ckpt lacks .*{name}") as error:
        make().state.load(weights, "half.ckpt")
    assert "\n" not in str(error.value)


def test_half_a_file_is_refused(saved, tmp_path):
    whole = saved.path.read_bytes()
    broken = tmp_path / "broken.ckpt"
    for length in (*range(0, len(whole), 97), len(whole) - 1):
        broken.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"broken\.ckpt") as error:
            read_state(broken, SETTINGS)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="does not exist"):
        read_state(tmp_path / "nowhere.ckpt", SETTINGS)


def test_weights_without_a_record_are_no_state(saved, tmp_path):
    weights = read_checkpoint(saved.path)
    del weights["training.record"]
    path = tmp_path / "weights.ckpt"
    write_checkpoint(path, weights)
    assert read_record(read_checkpoint(path), path) is None
    with pytest.raises(UserError, match=r"weights\.ckpt holds weights but no state") as error:
        read_state(path, SETTINGS)
    assert "\n" not in str(error.value)


def test_a_checkpoint_that_is_no_longer_the_newest_is_no_state(saved, tmp_path):
    path = tmp_path / "older.ckpt"
    write_checkpoint(path, without_state(read_checkpoint(saved.path)))
    weights = read_checkpoint(path)
    assert weights.keys() == {*NETWORK, "training.record"}
    with pytest.raises(UserError, match=r"--checkpoint_path=.*older\.ckpt --start_iter=13"):
        read_state(path, SETTINGS)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"step": 1, "colour": 2}', b"{}", b"\xff"])
def test_a_record_of_another_version_is_refused(text):
    weights = {"training.record": np.frombuffer(text, np.uint8)}
    with pytest.raises(UserError, match=r"old\.ckpt was written by another version"):
        read_record(weights, "old.ckpt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, "seed is 4 here, 3 there"),
        ({"initial_lr": 0.01}, "initial_lr is 0.01 here, 0.005 there"),
        ({"train_bn_statistics": False}, "train_bn_statistics is False here, True there"),
        ({"classes": 5}, "classes is 5 here, None there"),
    ],
)
def test_other_settings_are_named_with_both_values(saved, changes, message):
    with pytest.raises(UserError) as error:
        read_state(saved.path, {**SETTINGS, **changes})
    text = str(error.value)
    assert str(saved.path) in text
    assert f"({message})" in text
    assert "\n" not in text


def test_a_setting_that_is_not_known_is_not_compared(saved):
    _, record = read_state(saved.path, {**SETTINGS, "seed": None, "initial_weights": None})
    assert record.step == 12
    with pytest.raises(UserError, match=r"seed is 1 here.*; max_iters is 8 here"):
        read_state(saved.path, {**SETTINGS, "seed": 1, "max_iters": 8})


def test_momentum_of_another_shape_is_ignored(saved):
    other = make(classes=5)
    before = fill(other.state, 4)
    assert other.state.load_momentum(read_checkpoint(saved.path))
    after = tensors(other.state)
    taken = MOMENTS - {"training.moments.3.weight", "training.moments.3.bias"}
    assert_equal({n: after[n] for n in taken}, {n: saved.values[n] for n in taken})
    assert_equal({n: after[n] for n in after if n not in taken}, drop(before, taken))
    assert not other.state.load_momentum(without_state(read_checkpoint(saved.path)))
    assert_equal(tensors(other.state), after)


def drop(values, names):
    return {name: value for name, value in values.items() if name not in names}


def test_workers_share_the_first_one_s_state_and_average_their_statistics(cpu):
    made = make()
    own = fill(made.state, 5)
    group = SimpleNamespace(
        size=2,
        send_from_first=lambda arrays: [array + 1 for array in arrays],
        mean_arrays=lambda arrays: [array / 2 for array in arrays],
    )
    made.state.take_from_first(group)
    shared = {name: (value + 1).astype(value.dtype) for name, value in own.items()}
    assert_equal(tensors(made.state), shared)
    made.state.average_statistics(group)
    for name in ("1.moving_mean", "1.moving_variance"):
        shared[name] = shared[name] / np.float32(2)
    assert_equal(tensors(made.state), shared)
    group.size = 1  # alone, nothing is exchanged
    made.state.take_from_first(group)
    made.state.average_statistics(group)
    assert_equal(tensors(made.state), shared)


def test_kept_statistics_are_not_averaged(cpu):
    network = nn.SequentialCell(nn.BatchNorm2d(3), nn.BatchNorm2d(3, use_batch_statistics=False))
    optimizer = nn.Momentum(network.trainable_params(), 0.1, 0.9)
    exchanged = []
    group = SimpleNamespace(size=2, mean_arrays=lambda arrays: exchanged.extend(arrays) or arrays)
    TrainingState(network, optimizer, None).average_statistics(group)
    assert len(exchanged) == 2
