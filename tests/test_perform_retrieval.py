from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import src.perform_retrieval as perform_retrieval
from src.build_feature_dataset import build_index, load_index
from src.errors import UserError
from src.feature_io import (
    Features,
    Manifest,
    feature_path,
    read_features,
    write_features,
    write_manifest,
)
from src.geometry import VerifySettings
from src.perform_retrieval import RetrievalSettings, main, rank_images, retrieve

SMALL = RetrievalSettings(neighbours=12)
PLAIN = replace(RetrievalSettings.plain(), neighbours=12)
QUERIES = {"tower_1": "tower_a", "bridge_1": "bridge_b", "empty_1": "nothing"}


def features_of(locations, descriptors):
    descriptors = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    ones = np.ones(len(locations))
    return Features(locations, ones, descriptors, ones)


def world(folder: Path, seed: int = 0) -> Path:
    """Write features of two buildings, three views of each, five other photos and a blank one.

    A view sees the building's points through its own affine map, with noisy descriptors, among
    points of its surroundings.
    """
    rng = np.random.default_rng(seed)
    names = []
    for building in ("tower", "bridge"):
        points = rng.uniform(100, 600, (40, 2))
        looks = rng.normal(size=(40, 16))
        for number, view in enumerate("abc"):
            linear = np.eye(2) * (1 + 0.3 * number) + 0.1 * number * rng.normal(size=(2, 2))
            seen = points @ linear.T + 30 * number
            around = rng.uniform(0, 1000, (40, 2))
            descriptors = np.r_[looks + 0.35 * rng.normal(size=looks.shape),
                                rng.normal(size=(40, 16))]  # fmt: skip
            name = f"{building}_{view}"
            write_features(
                feature_path(folder, name), features_of(np.r_[seen, around], descriptors)
            )
            names.append(name)
    for number in range(5):
        name = f"other_{number}"
        random = features_of(rng.uniform(0, 1000, (80, 2)), rng.normal(size=(80, 16)))
        write_features(feature_path(folder, name), random)
        names.append(name)
    write_features(feature_path(folder, "nothing"), Features.empty(16))
    names.append("nothing")
    images = tuple((name, f"{name}.jpg") for name in sorted(names))
    write_manifest(folder, Manifest(images, {"made": "for a test"}))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    features = world(folder / "features")
    build_index(features, folder / "index")
    return folder


@pytest.fixture(scope="module")
def index(made):
    return load_index(made / "index")


def ranked_names(index, result):
    return [index.names[image] for image in result.ranks]


@pytest.mark.parametrize("settings", [SMALL, PLAIN], ids=["default", "plain"])
@pytest.mark.parametrize("building", ["tower", "bridge"])
def test_views_of_the_same_building_come_first(made, index, building, settings):
    query = read_features(feature_path(made / "features", f"{building}_a"))
    result = rank_images(index, query, settings)
    names = ranked_names(index, result)
    assert names[0] == f"{building}_a"
    assert set(names[:3]) == {f"{building}_{view}" for view in "abc"}
    assert result.inliers[result.ranks[0]] >= 80  # itself: every feature
    assert result.inliers[result.ranks[2]] >= 25 > result.inliers[result.ranks[3]]


def test_every_list_is_a_permutation_sorted_by_inliers_votes_and_order(made, index):
    for name, how in itertools.product(index.names, (SMALL, PLAIN)):
        result = rank_images(index, read_features(feature_path(made / "features", name)), how)
        assert result.ranks.dtype == np.int32
        assert sorted(result.ranks) == list(range(index.image_count))
        keys = [(-result.inliers[i], -result.votes[i], i) for i in result.ranks]
        assert keys == sorted(keys)


def brute_force_votes(index, query, neighbours):
    distances = np.linalg.norm(query.descriptors[:, None] - index.descriptors[None], axis=2)
    nearest = np.argsort(distances, axis=1)[:, :neighbours]
    rows = [set(range(index.offsets[i], index.offsets[i + 1])) for i in range(index.image_count)]
    return [sum(int(row) in owned for row in nearest.ravel()) for owned in rows]


def test_votes_are_those_of_a_brute_force_search(made, index):
    query = read_features(feature_path(made / "features", "tower_b"))
    result = rank_images(index, query, SMALL)
    assert result.votes.tolist() == brute_force_votes(index, query, 12)
    assert result.votes.sum() == 80 * 12


def spy_on_verify(monkeypatch):
    """Return a list that every verification adds its two arrays of locations to."""
    seen = []
    original = perform_retrieval.verify

    def spy(locations_a, locations_b, *others):
        seen.append((locations_a, locations_b))
        return original(locations_a, locations_b, *others)

    monkeypatch.setattr(perform_retrieval, "verify", spy)
    return seen


def images_at(index):
    pairs = zip(index.locations, index.image_of)
    return {tuple(location): int(image) for location, image in pairs}


def test_plain_ranking_verifies_every_voted_image_with_all_its_matches(made, index, monkeypatch):
    """The first and the last of the voted images too."""
    seen = spy_on_verify(monkeypatch)
    query = read_features(feature_path(made / "features", "tower_b"))
    result = rank_images(index, query, replace(PLAIN, neighbours=3))
    image_at = images_at(index)
    verified = [[image_at[tuple(location)] for location in pair[1]] for pair in seen]
    assert all(len(set(images)) == 1 for images in verified)
    assert [images[0] for images in verified] == np.flatnonzero(result.votes >= 3).tolist()
    assert [len(images) for images in verified] == result.votes[result.votes >= 3].tolist()


def test_single_matches_are_the_nearest_of_each_feature(made, index, monkeypatch):
    seen = spy_on_verify(monkeypatch)
    query = read_features(feature_path(made / "features", "tower_b"))
    rank_images(index, query, replace(SMALL, min_inliers=0))
    image_at = images_at(index)
    row_at = {tuple(location): row for row, location in enumerate(query.locations)}
    column_at = {tuple(location): row for row, location in enumerate(index.locations)}
    distances = np.linalg.norm(query.descriptors[:, None] - index.descriptors[None], axis=2)
    assert len(seen) > 8
    for locations_a, locations_b in seen:
        rows = [row_at[tuple(location)] for location in locations_a]
        assert len(set(rows)) == len(rows)
        (image,) = {image_at[tuple(location)] for location in locations_b}
        of_image = distances[:, index.offsets[image] : index.offsets[image + 1]]
        for row, location in zip(rows, locations_b):
            assert distances[row, column_at[tuple(location)]] == of_image[row].min()


def test_images_with_few_inliers_are_ranked_by_votes(made, index):
    query = read_features(feature_path(made / "features", "tower_a"))
    plain = rank_images(index, query, replace(SMALL, min_inliers=0))
    some = rank_images(index, query, replace(SMALL, min_inliers=20))
    assert 0 < (some.inliers > 0).sum() < (plain.inliers > 0).sum()
    np.testing.assert_array_equal(some.inliers, np.where(plain.inliers < 20, 0, plain.inliers))
    by_votes = [image for image in some.ranks if not some.inliers[image]]
    assert by_votes == sorted(by_votes, key=lambda image: (-some.votes[image], image))


def test_more_neighbours_than_features_in_the_index(made, index):
    query = read_features(feature_path(made / "features", "tower_a"))
    result = rank_images(index, query, replace(SMALL, neighbours=10_000))
    assert result.votes[index.names.index("tower_b")] == 80 * 80


def test_query_without_features_keeps_the_order_of_the_index(index):
    result = rank_images(index, Features.empty(16), SMALL)
    assert result.ranks.tolist() == list(range(index.image_count))
    assert not result.votes.any()
    assert not result.inliers.any()


def test_query_of_another_dimension_is_refused(index):
    query = features_of(np.ones((3, 2)), np.ones((3, 8)))
    with pytest.raises(UserError, match="8 dimensions"):
        rank_images(index, query, SMALL)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 30))
def test_random_features_give_permutations(index, seed, count, neighbours):
    rng = np.random.default_rng(seed)
    locations = rng.integers(0, 4, (count, 2)) * 100.0  # many coincide
    query = features_of(locations, rng.normal(size=(count, 16)))
    result = rank_images(index, query, replace(SMALL, neighbours=neighbours))
    assert sorted(result.ranks) == list(range(index.image_count))
    assert result.votes.sum() == count * neighbours
    assert (result.inliers <= result.votes).all()


# ---------------------------------------------------------------- all queries


def run(made, output, workers=1, settings=SMALL, queries=QUERIES):
    return retrieve(made / "index", made / "features", queries, output, settings, workers)


def test_results_and_logs_are_where_they_are_said_to_be(made, index, tmp_path, caplog):
    with caplog.at_level("WARNING"):
        ranks = run(made, tmp_path / "out")
    assert "empty_1" in caplog.text
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "ranks.npy"), ranks)
    assert (ranks.shape, ranks.dtype) == ((3, 12), np.int32)
    with np.load(tmp_path / "out" / "scores.npz") as scores:
        assert scores["queries"].tolist() == list(QUERIES)
        for row, name in enumerate(QUERIES.values()):
            query = read_features(feature_path(made / "features", name))
            alone = rank_images(index, query, SMALL)
            np.testing.assert_array_equal(ranks[row], alone.ranks)
            np.testing.assert_array_equal(scores["inliers"][row], alone.inliers)
            np.testing.assert_array_equal(scores["votes"][row], alone.votes)
    log = (tmp_path / "out" / "process0" / "retrieval0.log").read_text()
    assert all(label in log for label in QUERIES)


def results(folder):
    """Everything but the logs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".log"
    }


def test_any_number_of_workers_gives_the_same_bytes(made, tmp_path):
    run(made, tmp_path / "one", workers=1)
    run(made, tmp_path / "three", workers=3)
    assert results(tmp_path / "one") == results(tmp_path / "three")
    logs = sorted((tmp_path / "three").glob("process*/retrieval*.log"))
    assert [log.name for log in logs] == ["retrieval0.log", "retrieval1.log", "retrieval2.log"]
    text = "".join(log.read_text() for log in logs)
    assert all(f"query {label}:" in text for label in QUERIES)


def test_finished_queries_are_not_done_again(made, tmp_path, monkeypatch):
    first = run(made, tmp_path / "out")
    before = results(tmp_path / "out")
    (tmp_path / "out" / "ranks.npy").unlink()
    (tmp_path / "out" / "queries" / "tower_1.npz").write_bytes(b"half a fi")
    (tmp_path / "out" / "queries" / "bridge_1.npz").unlink()
    done = []
    original = perform_retrieval.rank_images
    monkeypatch.setattr(
        perform_retrieval, "rank_images", lambda *all: done.append(1) or original(*all)
    )
    np.testing.assert_array_equal(run(made, tmp_path / "out"), first)
    assert len(done) == 2
    assert results(tmp_path / "out") == before


def test_changed_query_features_are_ranked_again(made, tmp_path):
    """The query's features may be in another folder than those of the index."""
    name = QUERIES["tower_1"]
    own = tmp_path / "queries"
    write_features(
        feature_path(own, name), read_features(feature_path(made / "features", "bridge_a"))
    )
    queries = {"tower_1": name}
    tower = retrieve(made / "index", made / "features", queries, tmp_path / "out", SMALL)
    bridge = retrieve(made / "index", own, queries, tmp_path / "out", SMALL)
    names = load_index(made / "index").names
    assert (names[tower[0, 0]], names[bridge[0, 0]]) == ("tower_a", "bridge_a")


def test_results_of_other_settings_are_refused(made, tmp_path):
    run(made, tmp_path / "out")
    with pytest.raises(UserError, match=r"\"neighbours\": 12.*\"neighbours\": 13"):
        run(made, tmp_path / "out", settings=replace(SMALL, neighbours=13))
    with pytest.raises(UserError, match="threshold"):
        run(made, tmp_path / "out", settings=replace(SMALL, verify=VerifySettings(threshold=5)))
    world(tmp_path / "features", seed=1)
    build_index(tmp_path / "features", tmp_path / "index")
    with pytest.raises(UserError, match="features_checksum"):
        retrieve(tmp_path / "index", tmp_path / "features", QUERIES, tmp_path / "out", SMALL)


def test_no_queries(made, tmp_path):
    with pytest.raises(UserError, match="no queries"):
        run(made, tmp_path / "out", queries={})


def test_query_image_that_is_not_in_the_index(made, tmp_path):
    with pytest.raises(UserError, match=r"there is no feature file .*gone\.npz"):
        run(made, tmp_path / "out", queries={"g_1": "gone"})


@pytest.mark.parametrize("workers", [1, 2])
def test_missing_query_features_are_named(made, tmp_path, workers):
    with pytest.raises(UserError, match=r"tower_a\.npz"):
        retrieve(made / "index", tmp_path / "none", QUERIES, tmp_path / "out", SMALL, workers)


SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
import src.perform_retrieval as module

def fault(*arguments):
    open({started!r}, "a").write(str(os.getpid()) + "\\n")
    {fault}

if __name__ == "__mp_main__":
    module.rank_images = fault
if __name__ == "__main__":
    from src.errors import run_command
    run_command(lambda: module.main({arguments!r}))
"""


def start_with_fault(made, tmp_path, fault, workers=2):
    """Start the command with workers in which ranking a query ends in `fault`."""
    write_ground_truth(tmp_path / "gt")
    arguments = ["--index_path", str(made / "index"), "--features_path", str(made / "features"),
                 "--gt_path", str(tmp_path / "gt"), "--output_path", str(tmp_path / "out"),
                 "--workers", str(workers)]  # fmt: skip
    root = str(Path(__file__).resolve().parents[1])
    script = tmp_path / "faulty.py"
    started = str(tmp_path / "started")
    script.write_text(SCRIPT.format(root=root, arguments=arguments, fault=fault, started=started))
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def write_ground_truth(folder):
    folder.mkdir()
    for label, name in QUERIES.items():
        (folder / f"{label}_query.txt").write_text(f"oxc1_{name} 0 0 10 10\n")
        for kind in ("good", "ok", "junk"):
            (folder / f"{label}_{kind}.txt").write_text("tower_b\n" if kind == "ok" else "")


def test_command_line_gives_the_same_ranks(made, tmp_path):
    write_ground_truth(tmp_path / "gt")
    arguments = ["--index_path", str(made / "index"), "--features_path", str(made / "features"),
                 "--gt_path", str(tmp_path / "gt"), "--output_path", str(tmp_path / "out"),
                 "--workers", "1", "--neighbours", "12"]  # fmt: skip
    main(arguments)
    ordered = {label: QUERIES[label] for label in sorted(QUERIES)}
    expected = run(made, tmp_path / "again", queries=ordered)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "ranks.npy"), expected)
    settings_read = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert settings_read["retrieval"]["neighbours"] == 12
    main([*arguments[:-4], "--workers", "1", "--plain", "--output_path", str(tmp_path / "plain")])
    settings_read = json.loads((tmp_path / "plain" / "retrieval.json").read_text())
    assert settings_read["retrieval"] == asdict(RetrievalSettings.plain())
    for wrong in (["--workers", "0"], ["--neighbours", "x"], ["--min_inliers", "-1"]):
        with pytest.raises(SystemExit) as caught:
            main([*arguments, *wrong])
        assert caught.value.code == 2


def test_a_worker_that_dies_ends_the_run_with_one_line(made, tmp_path):
    process = start_with_fault(made, tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a retrieval process ended" in errors
    assert "Traceback" not in errors


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "that took too long"
        time.sleep(0.05)


def is_running(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return status != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_workers_do_not_outlive_a_killed_run(made, tmp_path):
    process = start_with_fault(made, tmp_path, "time.sleep(600)")
    started = tmp_path / "started"
    wait_until(lambda: started.exists() and len(started.read_text().split()) == 2)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(is_running, started.read_text().split())))
