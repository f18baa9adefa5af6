"""The whole evaluation under every protocol, with a small network that needs no weights."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from src.common.errors import UserError
from src.evaluation import retrieval as evaluation
from src.evaluation.metrics import average_precision
from src.evaluation.report import read_map_text
from src.feature_io import read_features, read_manifest
from src.index.folder import load_index


def results(folder):
    return json.loads((folder / "mAP.json").read_text())


def index_names(folder):
    return load_index(results(folder)["made"]["index_folder"]).names


def best(folder, label):
    """Names of all images in the order of a query's ranked list."""
    made, queries = results(folder)["made"], results(folder)["queries"]
    ranks = np.load(Path(made["ranks_folder"]) / "ranks.npy")
    row = [query["label"] for query in queries].index(label)
    return [index_names(folder)[i] for i in ranks[row]]


def made_files(folder):
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for pattern in ("*.npz", "*.npy", "index.faiss")
        for path in folder.rglob(pattern)
        if path.parent.name.startswith(("features", "queries", "index"))
    }


def test_levels_have_their_table(tmp_path, run):
    result = run()
    text = (tmp_path / "mAP.txt").read_text()
    first, *table = text.splitlines()
    assert first == "# PCA: none, descriptors in full length"
    assert [line for line in table if line[0] != " "] == ["easy", "hard", "medium"]
    assert table[2].startswith("  mP@k[10] [")
    assert result.text().splitlines()[0] in (tmp_path / "calculate_mAP.log").read_text()
    assert "levels protocol, queries not cropped" in result.text()
    assert result.text().endswith(text)
    assert len(index_names(tmp_path)) == 12
    assert best(tmp_path, "a_1")[0] == "a0"
    assert not list((tmp_path / "work").rglob("queries-*"))
    assert read_map_text(tmp_path / "mAP.txt")["easy"]["mAP"] == 100


def test_classic_crops_the_queries_and_gives_one_map(tmp_path, run):
    result = run(protocol="classic")
    read = read_map_text(tmp_path / "mAP.txt")
    assert list(read) == ["classic (queries cropped)"]
    assert read["classic (queries cropped)"]["queries"] == 3
    for part in ("classic protocol, queries cropped", "3 queries", "12 images", "1 listed images"):
        assert part in result.text()
        assert part in (tmp_path / "calculate_mAP.log").read_text()
    # one feature file for each query, in pixels of the whole photo, of the box alone
    (folder,) = (tmp_path / "work").rglob("queries-*")
    assert read_manifest(folder).images == (
        ("a_1", "a0.png"),
        ("a_2", "a0.png"),
        ("b_1", "b0.png"),
    )
    first, second = (read_features(folder / f"{label}.npz").locations for label in ("a_1", "a_2"))
    assert first.max() < 192
    assert second.min() >= 64
    assert second.max() > 192
    whole = read_features(folder.parent / "features" / "a0.npz")
    assert len(whole) > len(first)
    # the query's photo is searched whole, and is the best of its list
    assert best(tmp_path, "a_1")[0] == "a0"
    assert best(tmp_path, "b_1")[0] == "b0"
    assert "a0" in best(tmp_path, "a_2")[:2]  # a1 shows all of that box as well
    # the mean is over the lists as they came out, by hand
    names = [name for name in best(tmp_path, "b_1") if name != "b4"]
    places = [names.index(name) for name in ("b0", "b1", "b2", "b3")]
    value = results(tmp_path)["setups"]["classic"]["queries"]["b_1"]
    assert value["AP"] == pytest.approx(average_precision(places, 4))
    assert value["positives"] == 4


def test_revisited_takes_the_queries_out_and_crops_them(tmp_path, run):
    result = run("gnd_world.pkl")
    assert list(read_map_text(tmp_path / "mAP.txt")) == [
        f"revisited {name} (queries cropped)" for name in ("easy", "medium", "hard")
    ]
    names = index_names(tmp_path)
    assert names == ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4", "other0", "other1")
    for part in (
        "revisited protocol, queries cropped to their boxes and not in the index",
        "3 queries, 10 images (0 of them distractors), 1 listed images missing",
        "1 (hard) queries without positives",
    ):
        assert part in result.text()
    assert best(tmp_path, "b0")[0] == "b1"
    (folder,) = (tmp_path / "work").rglob("queries-*")
    assert read_manifest(folder).names == ("a0-1", "a0-2", "b0")
    assert [query["label"] for query in results(tmp_path)["queries"]] == ["b0", "a0-1", "a0-2"]
    hard = results(tmp_path)["setups"]["hard"]
    assert hard["queries"]["a0-2"]["AP"] is None
    assert hard["ranks"] == [1, 5, 10]
    aps = [hard["queries"][label]["AP"] for label in ("b0", "a0-1")]
    assert hard["mAP"] == pytest.approx(np.mean(aps))
    assert result.metrics["easy"].mean_precisions[0] == 1  # a1 and b1 share most


@pytest.mark.parametrize("gt", ["gt", "gnd_world.pkl"])
def test_cropping_can_be_chosen_for_every_protocol(tmp_path, run, gt):
    protocol = "classic" if gt == "gt" else "revisited"
    result = run(gt, protocol=protocol, crop_queries="False")
    assert "queries not cropped" in result.text()
    assert "(queries not cropped)" in (tmp_path / "mAP.txt").read_text()
    assert not list((tmp_path / "work").rglob("queries-*"))
    assert results(tmp_path)["crop_queries"] is False
    whole = np.load(Path(results(tmp_path)["made"]["ranks_folder"]) / "scores.npz")["votes"]
    run(gt, protocol=protocol, crop_queries="True")
    cropped = np.load(Path(results(tmp_path)["made"]["ranks_folder"]) / "scores.npz")["votes"]
    assert whole.shape == cropped.shape
    assert cropped.sum() < whole.sum()  # fewer features vote
    run("gt", protocol="levels", crop_queries="True")
    assert list(read_map_text(tmp_path / "mAP.txt")) == [
        f"{name} (queries cropped)" for name in ("easy", "hard", "medium")
    ]


@pytest.mark.parametrize("gt", ["gt", "gnd_world.pkl"])
def test_distractors_are_searched_and_their_features_shared(tmp_path, run, buildings, gt):
    plain = run(gt)
    count = len(index_names(tmp_path))
    result = run(gt, distractors_path=f"{buildings / 'more'},{buildings / 'even_more'}")
    names = index_names(tmp_path)
    assert len(names) == count + 4
    assert list(names) == sorted(names)
    assert {"far0", "far1", "farther0", "farther1"} < set(names)
    assert f"{count + 4} images (4 of them distractors)" in result.text()
    assert results(tmp_path)["distractors"] == 4
    # they share nothing with the queries: what was right stays right
    for name, metrics in plain.metrics.items():
        assert result.metrics[name].average_precisions == pytest.approx(
            metrics.average_precisions, nan_ok=True, abs=0.3
        )
    before = made_files(tmp_path / "work")
    other = "gnd_world.pkl" if gt == "gt" else "gt"
    run(other, distractors_path=buildings / "more")
    after = made_files(tmp_path / "work")
    assert before.items() <= after.items()
    assert not any("features/" in path for path in after.keys() - before.keys())


def test_all_protocols_share_the_photos_features_and_start_again(tmp_path, run, buildings):
    cases = [
        {},
        {"protocol": "classic"},
        {"gt": "gnd_world.pkl"},
        {"gt": "gnd_world.pkl", "distractors_path": buildings / "more"},
    ]
    texts = [run(**case).text() for case in cases]
    made = made_files(tmp_path / "work")
    tables = [(tmp_path / "mAP.txt").read_bytes(), (tmp_path / "mAP.json").read_bytes()]
    assert [run(**case).text() for case in cases] == texts
    assert made_files(tmp_path / "work") == made
    assert [(tmp_path / "mAP.txt").read_bytes(), (tmp_path / "mAP.json").read_bytes()] == tables
    assert len([path for path in made if path.endswith("features/a1.npz")]) == 1
    # what was lost is made again, and comes out the same
    for path in made:
        if path.endswith(("a0.npz", "a0-1.npz", "b_1.npz", "far0.npz")):
            os.unlink(path)
    assert [run(**case).text() for case in cases] == texts
    again = made_files(tmp_path / "work")
    assert {path: content for path, (_, content) in again.items()} == {
        path: content for path, (_, content) in made.items()
    }


def test_an_interrupted_run_goes_on(tmp_path, run, monkeypatch):
    wanted = run("gnd_world.pkl", work_path="quiet").text()
    retrieve, calls = evaluation.retrieve, []

    def interrupted(*arguments, **options):
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "retrieve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("gnd_world.pkl")
    monkeypatch.setattr(evaluation, "retrieve", retrieve)
    made = made_files(tmp_path / "work")
    assert run("gnd_world.pkl").text() == wanted
    assert made_files(tmp_path / "work").items() >= made.items()
    assert calls == [1]


def test_the_same_ranks_by_any_number_of_workers(tmp_path, run):
    texts = [
        run("gnd_world.pkl", work_path=f"work{workers}", retrieval_workers=workers).text()
        for workers in (1, 3)
    ]
    assert texts[0] == texts[1]


def changed_query(buildings, folder, box, name="a0"):
    gnd = pickle.loads((buildings / "gnd_world.pkl").read_bytes())
    gnd["gnd"][1]["bbx"] = box
    gnd["qimlist"][1] = name
    path = folder / "gnd_changed.pkl"
    path.write_bytes(pickle.dumps(gnd))
    return path


def test_box_outside_of_the_photo(tmp_path, run, buildings):
    path = changed_query(buildings, tmp_path, [300, 300, 400, 400])
    for _ in range(2):  # the second time as well
        with pytest.raises(UserError, match=r"query a0-1 cannot be described: box \(300.*256×256"):
            run(path)
    assert "error: query a0-1" in (tmp_path / "extract_feature.log").read_text()
    assert not (tmp_path / "mAP.txt").exists()


def test_box_partly_outside_is_cut_and_a_box_of_a_pixel_finds_nothing(
    tmp_path, run, buildings, caplog
):
    run(changed_query(buildings, tmp_path, [-50.5, 128, 9999, 9999]))
    (folder,) = (tmp_path / "work").rglob("queries-*")
    locations = read_features(folder / "a0-1.npz").locations
    assert locations[:, 0].min() >= 128
    assert locations[:, 1].min() < 64
    run(changed_query(buildings, tmp_path, [7, 7, 8, 8]))
    folder = Path(results(tmp_path)["made"]["query_folder"])
    assert len(read_features(folder / "a0-1.npz")) == 0
    assert "a0-1 has no features" in caplog.text


def test_missing_and_unreadable_query_photos(tmp_path, run, buildings):
    with pytest.raises(UserError, match="image gone of query gone"):
        run(changed_query(buildings, tmp_path, [0, 0, 9, 9], "gone"))
    images = tmp_path / "images"
    images.mkdir()
    for path in (buildings / "images").iterdir():
        os.link(path, images / path.name)
    (images / "a0.png").unlink()
    (images / "a0.png").write_bytes(b"no photo")
    for crop in ("True", "False"):
        with pytest.raises(UserError, match=r"query a_1 cannot be described: .*a0\.png"):
            run(images_path=images, crop_queries=crop)


def test_faults_of_ground_truth_and_distractors_come_before_any_work(tmp_path, run, buildings):
    bomb = tmp_path / "gnd_bomb.pkl"
    bomb.write_bytes(b"cos\nsystem\n(S'touch mark'\ntR.")
    (tmp_path / "empty").mkdir()
    for options, message in (
        ({"gt": bomb}, r"asks for os\.system"),
        ({"gt": "gnd_world.pkl", "protocol": "classic"}, "needs a folder"),
        ({"gt": buildings / "images"}, r"no \*_query\.txt"),
        ({"distractors_path": tmp_path / "empty"}, "no image in"),
        ({"distractors_path": tmp_path / "gone"}, "does not exist"),
        ({"distractors_path": buildings / "images"}, "12 photos of the distractors"),
        ({"map_output": "table.json"}, "mAP.txt"),
        ({"crop_queries": "maybe"}, "choose from auto, True, False"),
        ({"protocol": "hardest"}, "choose from auto, levels, classic, revisited"),
    ):
        with pytest.raises(UserError, match=message):
            run(**options)
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "mark").exists()


def test_what_cannot_be_judged_is_refused_before_any_work(tmp_path, run, buildings):
    entries = [{"bbx": [0, 0, 99, 99], "easy": [], "hard": [], "junk": [0]}]
    gnd = tmp_path / "gnd_none.pkl"
    gnd.write_bytes(pickle.dumps({"imlist": ["a1", "b1"], "qimlist": ["a0"], "gnd": entries}))
    with pytest.raises(UserError, match="nothing to judge"):
        run(gnd)
    queries = tmp_path / "queries"
    queries.mkdir()
    for name in ("a0.png", "b0.png"):
        os.link(buildings / "images" / name, queries / name)
    for protocol in ("levels", "classic"):
        with pytest.raises(UserError, match=r"9 of the 11 images listed .*--missing_images=ignore"):
            run(images_path=queries, protocol=protocol)
    for gt in ("gt", "gnd_world.pkl"):
        with pytest.raises(UserError, match=r"nothing to judge|none of the 11 database images"):
            run(gt, images_path=queries, missing_images="ignore")
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "mAP.txt").exists()


@pytest.mark.parametrize("gt", ["gt", "gnd_world.pkl"])
def test_names_with_suffixes_give_the_same_table(tmp_path, run, buildings, gt):
    wanted = run(gt).text()
    named = tmp_path / gt
    if gt == "gt":
        named.mkdir()
        for path in (buildings / gt).iterdir():
            lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
            text = [" ".join([f"{name}.jpg", *rest]) for name, *rest in lines]
            (named / path.name).write_text("\n".join(text))
    else:
        gnd = pickle.loads((buildings / gt).read_bytes())
        for key in ("imlist", "qimlist"):
            gnd[key] = [f"{name}.JPG" for name in gnd[key]]
        named.write_bytes(pickle.dumps(gnd))
    assert run(named).text() == wanted
    assert len(results(tmp_path)["missing"]) == 1
