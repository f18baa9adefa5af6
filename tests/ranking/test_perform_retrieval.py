from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from src.common.errors import UserError
from src.feature_io import (
    Features,
    Manifest,
    feature_path,
    read_features,
    read_manifest,
    write_features,
    write_manifest,
)
from src.index.build import build_index
from src.index.folder import load_index
from src.perform_retrieval import main
from src.ranking import workers as query_workers
from src.ranking.all_queries import retrieve
from src.ranking.geometry import VerifySettings
from src.ranking.one_query import rank_images
from src.ranking.settings import RetrievalSettings
from tests.helpers.ground_truth import write_query
from tests.helpers.processes import is_alive, wait_until
from tests.helpers.retrieval import world

SMALL = RetrievalSettings(neighbours=12)
QUERIES = {"tower_1": "tower_a", "bridge_1": "bridge_b", "empty_1": "nothing"}


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
            np.testing.assert_array_equal(scores["scores"][row], alone.scores)
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
    original = query_workers.rank_turned
    monkeypatch.setattr(
        query_workers, "rank_turned", lambda *all, **more: done.append(1) or original(*all, **more)
    )
    np.testing.assert_array_equal(run(made, tmp_path / "out"), first)
    assert len(done) == 2
    assert results(tmp_path / "out") == before


def test_a_damaged_result_is_made_again_and_never_believed(made, tmp_path):
    first = run(made, tmp_path / "out")
    before = results(tmp_path / "out")
    path = tmp_path / "out" / "queries" / "tower_1.npz"
    content = path.read_bytes()
    shape = content.index(b"(12,)")  # 12 images: one flipped bit makes 10 of them
    rng = np.random.default_rng(0)
    for place in (shape + 2, *rng.choice(len(content), 20, replace=False).tolist()):
        flipped = bytearray(content)
        flipped[place] ^= 2 if place == shape + 2 else 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        np.testing.assert_array_equal(run(made, tmp_path / "out"), first)
    path.write_bytes(content)
    assert results(tmp_path / "out") == before


def test_labels_may_be_of_any_length_and_any_characters(made, tmp_path):
    labels = ["x" * 248, "é" * 130, "a/b", "..", "a b?\n", "\udcff", "x" * 247 + "y", "tower_1"]
    queries = {label: "bridge_b" if label == "a/b" else "tower_a" for label in labels}
    first = run(made, tmp_path / "out", queries=queries)
    names = load_index(made / "index").names
    assert [names[image] for image in first[:, 0]] == list(queries.values())
    files = sorted((tmp_path / "out").rglob("queries/*"))
    assert len(files) == len(labels)
    assert tmp_path / "out" / "queries" / "tower_1.npz" in files
    stamps = [path.stat().st_mtime_ns for path in files]
    np.testing.assert_array_equal(run(made, tmp_path / "out", queries=queries), first)
    assert [path.stat().st_mtime_ns for path in files] == stamps


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


def test_a_query_need_not_be_in_the_index(made, index, tmp_path):
    """Its file is named by what the caller says."""
    query = read_features(feature_path(made / "features", "tower_a"))
    cropped = (query.locations < 500).all(axis=1)
    parts = (query.locations, query.scales, query.descriptors, query.attention)
    own = tmp_path / "queries"
    write_features(feature_path(own, "tower_1"), Features(*(part[cropped] for part in parts)))
    ranks = retrieve(made / "index", own, {"tower_1": "tower_1"}, tmp_path / "out", SMALL)
    assert {index.names[image][:5] for image in ranks[0, :3]} == {"tower"}


def test_queries_described_otherwise_are_refused(made, tmp_path):
    own = tmp_path / "queries"
    same = read_manifest(made / "features").settings
    query = read_features(feature_path(made / "features", "tower_a"))
    write_features(feature_path(own, "q"), query)
    for changes, message in (({"pca": "other"}, r"pca: .*other"), ({"crop_boxes": "boxes"}, None)):
        write_manifest(own, Manifest((("q", "q.jpg"),), {**same, **changes}))
        if message is None:
            retrieve(made / "index", own, {"q": "q"}, tmp_path / "out", SMALL)
            continue
        with pytest.raises(UserError, match=message):
            retrieve(made / "index", own, {"q": "q"}, tmp_path / "out", SMALL)


def test_a_query_whose_photo_could_not_be_read(made, tmp_path, caplog):
    own = tmp_path / "queries"
    settings = read_manifest(made / "features").settings
    write_manifest(own, Manifest((("bad", "bad.jpg"),), settings, {"bad": "is cut short"}))
    with caplog.at_level("WARNING"):
        ranks = retrieve(made / "index", own, {"q_1": "bad"}, tmp_path / "out", SMALL)
    assert "q_1 has no features" in caplog.text
    assert ranks.tolist() == [list(range(12))]
    again = retrieve(made / "index", own, {"q_1": "bad"}, tmp_path / "out", SMALL)
    np.testing.assert_array_equal(again, ranks)


@pytest.mark.parametrize("workers", [1, 2])
def test_missing_query_features_are_named(made, tmp_path, workers):
    with pytest.raises(UserError, match=r"tower_a\.npz"):
        retrieve(made / "index", tmp_path / "none", QUERIES, tmp_path / "out", SMALL, workers)


SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
import src.ranking.workers as module

def fault(*arguments, **more):
    open({started!r}, "a").write(str(os.getpid()) + "\\n")
    {fault}

if __name__ == "__mp_main__":
    module.rank_turned = fault
if __name__ == "__main__":
    from src.common.errors import (run_command)
    from src.perform_retrieval import main
    run_command(lambda: main({arguments!r}))
"""


def start_with_fault(made, tmp_path, fault, workers=2):
    """Start the command with workers in which ranking a query ends in `fault`."""
    write_ground_truth(tmp_path / "gt")
    arguments = ["--index_path", str(made / "index"), "--features_path", str(made / "features"),
                 "--gt_path", str(tmp_path / "gt"), "--output_path", str(tmp_path / "out"),
                 "--workers", str(workers)]  # fmt: skip
    root = str(Path(__file__).resolve().parents[2])
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
    for label, name in QUERIES.items():
        write_query(folder, label, f"oxc1_{name}", ok=["tower_b"], box="0 0 10 10")


def test_command_line_gives_the_same_ranks(made, tmp_path):
    write_ground_truth(tmp_path / "gt")
    arguments = ["--index_path", str(made / "index"), "--features_path", str(made / "features"),
                 "--gt_path", str(tmp_path / "gt"), "--output_path", str(tmp_path / "out"),
                 "--workers", "1", "--num_neighbors", "12"]  # fmt: skip
    main(arguments)
    ordered = {label: QUERIES[label] for label in sorted(QUERIES)}
    expected = run(made, tmp_path / "again", queries=ordered)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "ranks.npy"), expected)
    settings_read = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert settings_read["retrieval"]["neighbours"] == 12
    main([*arguments[:-2], "--neighbours", "12"])  # its name of old: the same settings, or refused
    main([*arguments[:-4], "--workers", "1", "--plain", "--output_path", str(tmp_path / "plain")])
    settings_read = json.loads((tmp_path / "plain" / "retrieval.json").read_text())
    assert settings_read["retrieval"] == asdict(RetrievalSettings.plain())
    for wrong in (["--workers", "0"], ["--num_neighbors", "0"], ["--neighbours", "x"]):
        with pytest.raises(SystemExit) as caught:
            main([*arguments, *wrong])
        assert caught.value.code == 2


def test_a_worker_that_dies_ends_the_run_with_one_line(made, tmp_path):
    process = start_with_fault(made, tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a retrieval process ended" in errors
    assert "Traceback" not in errors


def test_workers_do_not_outlive_a_killed_run(made, tmp_path):
    process = start_with_fault(made, tmp_path, "time.sleep(600)")
    started = tmp_path / "started"
    assert wait_until(lambda: started.exists() and len(started.read_text().split()) == 2)
    process.kill()
    process.communicate()
    assert wait_until(lambda: not any(map(is_alive, map(int, started.read_text().split()))))
