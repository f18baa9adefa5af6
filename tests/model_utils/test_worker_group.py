"""What workers tell each other: alone, and with a stand-in for the others."""

import mindspore as ms
import numpy as np
import pytest

from model_utils import worker_group
from model_utils.worker_group import (
    LostWorkersError,
    WorkerGroup,
    expects_others,
    is_scheduler,
    join_group,
    noticing_lost_workers,
    waiting_times,
)
from src.common.errors import UserError


@pytest.mark.parametrize(
    ("environment", "others", "scheduler"),
    [
        ({}, False, False),
        ({"MS_ROLE": "MS_WORKER"}, True, False),
        ({"MS_ROLE": "MS_SCHED"}, True, True),
        ({"RANK_TABLE_FILE": "hccl.json", "RANK_SIZE": "8"}, True, False),
        ({"RANK_TABLE_FILE": "hccl.json", "RANK_SIZE": "1"}, False, False),
        ({"RANK_TABLE_FILE": "hccl.json"}, False, False),
        ({"RANK_TABLE_FILE": "", "RANK_SIZE": "8"}, False, False),
        ({"RANK_SIZE": "8"}, False, False),
    ],
)
def test_the_environment_says_whether_there_are_others(environment, others, scheduler):
    assert expects_others(environment) is others
    assert is_scheduler(environment) is scheduler


def test_workers_wait_for_minutes_unless_told_otherwise():
    cpu = ("MS_CPU_COMM_OP_TIMEOUT", "MS_NODE_TIMEOUT", "MS_RECEIVE_MSG_TIMEOUT")
    wanted = {name: "600" for name in (*cpu, "HCCL_CONNECT_TIMEOUT")}
    assert waiting_times({}) == wanted
    told = waiting_times({"DELF_WAIT_SECONDS": "9", "MS_NODE_TIMEOUT": "77"})
    assert told == {cpu[0]: "9", cpu[2]: "9", "HCCL_CONNECT_TIMEOUT": "120"}
    for text in ("0", "-3", "nan", "1.5"):
        with pytest.raises(UserError, match="DELF_WAIT_SECONDS"):
            waiting_times({"DELF_WAIT_SECONDS": text})


def test_those_who_share_cores_count_each_other(monkeypatch):
    """Whoever started them: three of five workers have the number of the first."""
    numbers = [7, 9, 7, 1 << 23, 7]
    group = WorkerGroup(rank=2, size=5)

    def add_up(own):
        assert own.tolist() == [0, 0, 7, 0, 0]
        return np.float32(numbers)

    monkeypatch.setattr(group, "sum", add_up)
    assert group.count_same(7) == 3
    assert WorkerGroup().count_same(12345678) == 1


def test_workers_with_cores_of_their_own_share_none(monkeypatch):
    ours = worker_group._own_cores()
    assert ours == worker_group._own_cores() and 0 <= ours < 1 << 24
    monkeypatch.setattr(worker_group.os, "sched_getaffinity", lambda _: {700, 701})
    assert worker_group._own_cores() != ours


def test_a_process_nobody_launched_is_alone(monkeypatch):
    for name in ("MS_ROLE", "RANK_TABLE_FILE"):
        monkeypatch.delenv(name, raising=False)
    group = join_group()
    assert (group.rank, group.size, group.is_first) == (0, 1, True)


def test_a_single_worker_hears_itself():
    group = WorkerGroup()
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float32([7])]
    for result in (group.sum([1.5, 2]), group.mean([1.5, 2]), group.start_sum([1.5, 2])()):
        np.testing.assert_array_equal(result, [1.5, 2])
    for result in (group.mean_arrays(arrays), group.send_from_first(arrays)):
        for found, wanted in zip(result, arrays):
            np.testing.assert_array_equal(found, wanted)
        assert len(result) == 2
    group.check_same("the number of photos", 1 << 40)
    group.wait()


def grouped(*others, rank=0):
    """A worker of 1 + len(others), and the tensors it has given to the others.

    `others` say, one call after the other, what to add to this worker's tensors; the last of them
    goes on. A sender answers as a first worker that holds tenfold values.
    """
    group = WorkerGroup(rank, 2)
    given = []
    answers = list(others)

    def add(tensor):
        given.append(tensor.asnumpy().copy())
        other = answers.pop(0) if len(answers) > 1 else answers[0]
        return ms.Tensor(given[-1] + other(given[-1]))

    def send(tensor):
        given.append(tensor.asnumpy().copy())
        return ms.Tensor(10 * given[-1])

    group.__dict__.update(_adder=add, _sender=send)
    return group, given


def test_numbers_are_added_up_and_averaged():
    group, given = grouped(lambda own: np.float32([10, 20]))
    np.testing.assert_array_equal(group.sum([1, 2]), [11, 22])
    np.testing.assert_array_equal(group.mean([1, 2]), [5.5, 11])
    np.testing.assert_array_equal(group.start_sum([1, 2])(), [11, 22])
    group, given = grouped(lambda own: own)
    group.wait()
    assert len(given) == 1


SHAPES = [
    [(1,)],
    [(3,)],
    [()],
    [(1,), (1,), (1,)],
    [(8,)],
    [(9,)],
    [(16,), (16,)],
    [(3, 5, 1), (2, 1), (0,), (7,), (1, 1, 1)],
    [(), (33,), (4, 4)],
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("piece", [8, 1 << 24])
def test_arrays_are_cut_into_pieces_and_put_together_again(monkeypatch, shapes, piece):
    monkeypatch.setattr(worker_group, "_PIECE", piece)
    generator = np.random.default_rng(0)
    arrays = [generator.normal(0, 1, shape).astype(np.float32) for shape in shapes]
    before = [array.copy() for array in arrays]
    total = sum(array.size for array in arrays)
    for operation, factor in (("mean_arrays", 2.0), ("send_from_first", 10.0)):
        group, given = grouped(lambda own: 3 * own)  # the mean of x and 3 x is 2 x
        results = getattr(group, operation)(arrays)
        assert len(results) == len(arrays)
        for result, array, was in zip(results, arrays, before):
            assert result.shape == array.shape
            assert result.dtype == np.float32
            np.testing.assert_allclose(result, factor * array, rtol=1e-6)
            np.testing.assert_array_equal(array, was)
        # All pieces have one size, of which there are few: each is a graph to compile.
        (length,) = {len(tensor) for tensor in given}
        assert length <= piece and length & (length - 1) == 0
        assert len(given) == -(-total // length) == max(1, -(-total // piece))


def test_nothing_to_exchange_is_not_sent():
    group, given = grouped(lambda own: own)
    assert group.mean_arrays([]) == group.send_from_first([]) == given == []


LARGE = 5_000_001  # more than 2^16; with all numbers up to 2^24 it is exact in float32


@pytest.mark.parametrize("value", [0, 1, 65535, 65536, LARGE])
def test_equal_numbers_pass(value):
    group, given = grouped(lambda own: own)
    group.check_same("the number of photos", value)
    assert len(given) == 2


@pytest.mark.parametrize(("ours", "theirs"), [(4, 5), (5, 4), (1, 65537), (LARGE, LARGE + 1)])
def test_a_number_that_differs_is_said_in_one_line(ours, theirs):
    parts = np.float32([theirs % 65536, theirs // 65536])
    group, _ = grouped(lambda own: parts, lambda own: np.float32([1]), rank=1)
    with pytest.raises(UserError, match=f"the number of photos is {ours} on worker 1") as error:
        group.check_same("the number of photos", ours)
    assert "\n" not in str(error.value)


def test_a_worker_raises_where_only_others_see_a_difference():
    """With three workers, one may see the sum it expects by chance: 4 + 3 + 5 = 3 · 4."""
    group, _ = grouped(lambda own: own, lambda own: np.float32([2]))
    with pytest.raises(UserError, match="not the same"):
        group.check_same("the number of photos", 4)


@pytest.mark.parametrize(
    "message", ["Launch failed: Default/AllReduce-op0\n- C++", "x/Broadcast-op12", "HcclX"]
)
def test_a_failed_exchange_is_a_lost_worker(message):
    lost = pytest.raises(LostWorkersError, match="worker 1 waited in vain")
    with lost as error, noticing_lost_workers(WorkerGroup(1, 2)):
        raise RuntimeError(message)
    assert isinstance(error.value, UserError)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (2, RuntimeError("the shapes do not fit")),
        (1, RuntimeError("AllReduce failed")),
        (2, ValueError("AllReduce failed")),
        (2, UserError("Broadcast")),
        (2, KeyboardInterrupt()),
    ],
)
def test_other_errors_stay_as_they_are(size, error):
    with pytest.raises(type(error)) as raised, noticing_lost_workers(WorkerGroup(0, size)):
        raise error
    assert raised.value is error
