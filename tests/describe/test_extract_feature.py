import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.common import progress
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.claim import UNFINISHED_NAME
from src.describe.engines.in_process import network_outputs
from src.describe.engines.static_batches import StaticPlan
from src.describe.folder import extract_folder
from src.describe.pca import Pca
from src.describe.tasks import PhotoTask, chosen_tasks, read_cropped
from src.describe.workers import parse_devices
from src.feature_io import read_features, read_manifest, write_features
from src.photos.reading import UnreadableImageError
from tests.helpers.toy_engine import CONFIG, PCA, FakeEngine, FakeNetwork, extract_image

ROOT = Path(__file__).resolve().parents[2]


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# --- one photo


def test_any_texture_gives_features_with_any_weights():
    for shape in ((20, 20, 3), (1, 2, 3), (3, 900, 3), (400, 2, 3)):
        image = np.full(shape, 200, np.uint8)
        image[0, 0, 1] = 199
        for score in ("attention", "norm"):
            config = DelfConfig(pca_dim=4, score=score, score_threshold=0.9)
            features = extract_image(FakeNetwork(), image, config, PCA)
            assert len(features) > 0, shape
            assert (features.locations < shape[:2]).all()


def test_no_texture_needs_no_network():
    network = FakeNetwork()
    features = extract_image(network, np.full((50, 60, 3), 7, np.uint8), CONFIG, PCA)
    assert features.descriptors.shape == (0, 4)
    assert network.calls == []


def test_levels_go_through_the_network_one_by_one():
    network = FakeNetwork()
    image = np.eye(64, dtype=np.uint8)[..., None].repeat(3, axis=2)
    outputs = network_outputs(network, image, CONFIG)
    assert network.calls == [(1, 3, 32, 32), (1, 3, 64, 64)]
    assert [output.scores.shape for output in outputs] == [(1, 1), (2, 2)]


def test_crop_boxes_are_rounded_and_clipped(photos):
    path = photos / "photo_0.png"  # 60 rows, 150 columns
    whole, origin, size, photo_size = read_cropped(path, None)
    assert origin == (0, 0) and size == photo_size == (60, 150)
    part, origin, size, photo_size = read_cropped(path, (10.4, 20.6, 199.0, 40.0))
    assert origin == (21, 10) and size == (19, 140) and photo_size == (60, 150)
    assert (part == whole[21:40, 10:150]).all()
    for box in ((150, 0, 170, 10), (10, 10, 5, 20), (-20, -20, -1, -1)):
        with pytest.raises(UnreadableImageError, match="holds nothing"):
            read_cropped(path, box)


@pytest.mark.parametrize("plan", [None, StaticPlan(((128, 160),), 2)])
def test_the_size_of_the_whole_photo_is_told(photos, plan):
    tasks = [PhotoTask("a", "photo_0.png"), PhotoTask("b", "photo_1.png", (20, 10, 90, 60))]
    whole, part = FakeEngine(plan=plan).outputs(photos, tasks, CONFIG)
    assert (whole.size, whole.photo_size) == ((60, 150), (60, 150))
    assert (part.size, part.origin, part.photo_size) == ((50, 70), (10, 20), (70, 140))


# --- devices


@pytest.mark.parametrize(
    ("text", "devices"),
    [("0", (0,)), ("01", (0, 1)), ("03", (0, 3)), ("0,1,10", (0, 1, 10)), ("12,", (12,))],
)
def test_devices(text, devices):
    assert parse_devices(text) == devices


@pytest.mark.parametrize("text", ["", ",", "0,a", "-1", "00", "0,1,0", "0 1", "٣"])
def test_wrong_devices_are_named(text):
    with pytest.raises(UserError, match="devices"):
        parse_devices(text)


# --- a folder


def test_a_folder_becomes_features_and_a_manifest(photos, tmp_path):
    out = tmp_path / "features"
    summary = extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    manifest = read_manifest(out)
    assert manifest.images == tuple((f"photo_{n}", f"photo_{n}.png") for n in range(7))
    assert manifest.failed == {}
    assert manifest.settings == {
        **json.loads(json.dumps(CONFIG.settings())),
        "checkpoint": "fake",
        "pca": PCA.fingerprint,
        "crop_boxes": None,
    }
    assert not (out / UNFINISHED_NAME).exists()
    assert summary.extracted == 7
    total = 0
    for name in manifest.names:
        image = read_cropped(photos / f"{name}.png", None).pixels
        expected = extract_image(FakeNetwork(), image, CONFIG, PCA)
        found = read_features(out / f"{name}.npz")
        total += len(found)
        assert (found.descriptors == expected.descriptors).all()
        assert (found.locations == expected.locations).all()
    assert summary.features == total
    assert summary.peak_megabytes > 10
    assert summary.worker_seconds.keys() == {
        *("open", "decode", "pyramid", "network", "selection", "write")
    }
    assert "7 photos" in summary.text()


@pytest.mark.parametrize("devices", [(0,), (0, 1)])
def test_how_far_it_is_counts_the_photos_of_all_workers(
    photos, tmp_path, monkeypatch, caplog, devices
):
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    caplog.set_level(logging.INFO)
    extract_folder(photos, tmp_path / "features", FakeEngine(), CONFIG, PCA, devices=devices)
    said = [record.getMessage() for record in caplog.records if record.name == progress.__name__]
    assert [line.split(" photos")[0] for line in said] == [
        f"describing: {number} of 7" for number in range(1, 8)
    ]
    assert said[-1].endswith(" photos/s, 0 s left")


def test_any_number_of_workers_gives_the_same_bytes(photos, tmp_path):
    extract_folder(photos, tmp_path / "one", FakeEngine(), CONFIG, PCA)
    summary = extract_folder(
        photos, tmp_path / "three", FakeEngine(), CONFIG, PCA, devices=(0, 1, 2)
    )
    assert summary.extracted == 7
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "three")


def test_what_is_there_is_kept_and_what_is_not_is_made(photos, tmp_path):
    out = tmp_path / "features"
    extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    whole = _bytes(out)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.glob("*.npz")}
    # As a run leaves it that was killed half-way.
    manifest = json.loads((out / "features.json").read_text())
    (out / "features.json").unlink()
    (out / UNFINISHED_NAME).write_text(json.dumps(manifest["settings"]))
    for number in (1, 4):
        (out / f"photo_{number}.npz").unlink()
    (out / ".photo_4.99999.tmp.npz").write_bytes(b"half a file")
    summary = extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    assert (summary.extracted, summary.skipped) == (2, 5)
    (out / ".photo_4.99999.tmp.npz").unlink()
    assert _bytes(out) == whole
    kept = [n for n in stamps if (out / n).stat().st_mtime_ns == stamps[n]]
    assert len(kept) == 5
    again = extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    assert (again.extracted, again.skipped) == (0, 7)


def test_a_photo_that_was_replaced_is_described_again(photos, tmp_path):
    out = tmp_path / "features"
    extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    before = (out / "photo_3.npz").read_bytes()
    Image.fromarray(np.eye(99, dtype=np.uint8) * 200).save(photos / "photo_3.png")
    os.utime(photos / "photo_3.png", (4e9, 4e9))
    assert extract_folder(photos, out, FakeEngine(), CONFIG, PCA).extracted == 1
    assert (out / "photo_3.npz").read_bytes() != before


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_by_name(photos, tmp_path, finished):
    out = tmp_path / "features"
    extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    if not finished:
        settings = read_manifest(out).settings
        (out / "features.json").unlink()
        (out / UNFINISHED_NAME).write_text(json.dumps(settings))
    before = _bytes(out)
    other_pca = Pca(PCA.mean + 1, PCA.projection, PCA.variances)
    cases = {
        "checkpoint": (FakeEngine(fingerprint="other"), CONFIG, PCA, None),
        "pca_dim": (FakeEngine(), DelfConfig(image_scales=(0.5, 1.0), pca_dim=5), PCA, None),
        "pca:": (FakeEngine(), CONFIG, other_pca, None),
        "crop_boxes": (FakeEngine(), CONFIG, PCA, {"photo_1": (0, 0, 50, 50)}),
    }
    names = {f"photo_{number}": f"photo_{number}" for number in range(7)}
    for key, (engine, config, pca, boxes) in cases.items():
        with pytest.raises(UserError, match=key):
            extract_folder(photos, out, engine, config, pca, chosen_tasks(photos, names, boxes))
    assert _bytes(out) == before


@pytest.mark.parametrize("is_cache", [False, True])
def test_without_a_manifest_the_feature_files_are_asked(photos, tmp_path, is_cache):
    out = tmp_path / "features"
    extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    whole = _bytes(out)
    (out / "features.json").unlink()
    other = DelfConfig(image_scales=(0.5, 1.0), pca_dim=5, max_feature_num=20)
    if is_cache:  # ours, by its name: what is of others is of no use
        summary = extract_folder(photos, out, FakeEngine(), other, PCA, is_cache=True)
        assert (summary.extracted, summary.skipped) == (7, 0)
        return
    with pytest.raises(UserError, match="other settings"):
        extract_folder(photos, out, FakeEngine(), other, PCA)
    summary = extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    assert (summary.extracted, summary.skipped) == (0, 7)
    assert _bytes(out) == whole


def test_features_of_unknown_settings_are_refused(photos, tmp_path):
    out = tmp_path / "features"
    extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    write_features(out / "photo_3.npz", read_features(out / "photo_3.npz"))  # as older ones are
    (out / "features.json").unlink()
    with pytest.raises(UserError, match="unknown settings"):
        extract_folder(photos, out, FakeEngine(), CONFIG, PCA)


def test_chosen_names_and_crop_boxes(photos, tmp_path):
    out = tmp_path / "features"
    boxes = {"photo_5": (30, 40, 90, 100), "photo_0": (0, 0, 9, 9)}
    names = {name: name for name in ("photo_5", "photo_2")}
    extract_folder(photos, out, FakeEngine(), CONFIG, PCA, chosen_tasks(photos, names, boxes))
    assert read_manifest(out).names == ("photo_2", "photo_5")
    cropped = read_features(out / "photo_5.npz")
    image = read_cropped(photos / "photo_5.png", None).pixels
    expected = extract_image(FakeNetwork(), image[40:100, 30:90], CONFIG, PCA)
    assert (cropped.descriptors == expected.descriptors).all()
    assert (cropped.locations == expected.locations + np.float32([40, 30])).all()
    with pytest.raises(UserError, match="nobody"):
        chosen_tasks(photos, {"nobody": "nobody"})


def test_one_photo_in_several_parts(photos, tmp_path):
    out = tmp_path / "features"
    parts = {"left": "photo_5", "right": "photo_5", "other": "photo_2"}
    boxes = {"left": (0, 0, 60, 90), "right": (50, 10, 110, 100), "photo_5": (0, 0, 9, 9)}
    tasks = chosen_tasks(photos, parts, boxes)
    summary = extract_folder(photos, out, FakeEngine(), CONFIG, PCA, tasks, devices=(0, 1))
    assert summary.extracted == 3
    file = {name: file for name, file in read_manifest(out).images}
    assert file == {"left": "photo_5.png", "other": "photo_2.png", "right": "photo_5.png"}
    image = read_cropped(photos / "photo_5.png", None).pixels
    for name, (x1, y1, x2, y2) in list(boxes.items())[:2]:
        found = read_features(out / f"{name}.npz")
        expected = extract_image(FakeNetwork(), image[y1:y2, x1:x2], CONFIG, PCA)
        np.testing.assert_array_equal(found.descriptors, expected.descriptors)
        np.testing.assert_array_equal(found.locations, expected.locations + np.float32([y1, x1]))
    again = extract_folder(photos, out, FakeEngine(), CONFIG, PCA, tasks)
    assert (again.extracted, again.skipped) == (0, 3)
    with pytest.raises(UserError, match="crop_boxes"):
        moved = {**boxes, "left": (0, 0, 50, 90)}
        tasks = chosen_tasks(photos, parts, moved)
        extract_folder(photos, out, FakeEngine(), CONFIG, PCA, tasks)
    with pytest.raises(UserError, match="nobody"):
        chosen_tasks(photos, {"left": "nobody"})


def test_a_bad_photo_is_reported_counted_and_skipped(photos, tmp_path, caplog):
    out = tmp_path / "features"
    (photos / "photo_2.png").write_bytes(b"nonsense")
    summary = extract_folder(
        photos, out, FakeEngine(), CONFIG, PCA, devices=(0, 1), max_bad_fraction=0.2
    )
    manifest = read_manifest(out)
    assert list(manifest.failed) == ["photo_2"]
    assert "photo_2.png" in manifest.failed["photo_2"]
    assert len(manifest.images) == 7
    assert not (out / "photo_2.npz").exists()
    assert (summary.extracted, len(summary.failed)) == (6, 1)
    assert "photo_2.png" in caplog.text
    # Once it is repaired, the next run takes it in.
    Image.fromarray(np.eye(99, dtype=np.uint8) * 200).save(photos / "photo_2.png")
    assert extract_folder(photos, out, FakeEngine(), CONFIG, PCA).extracted == 1
    assert read_manifest(out).failed == {}


def test_too_many_bad_photos_are_an_error_after_the_good_ones(photos, tmp_path):
    out = tmp_path / "features"
    for number in (0, 6):
        (photos / f"photo_{number}.png").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"2 of 7.*photo_0"):
        extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    assert len(list(out.glob("*.npz"))) == 5
    assert not (out / "features.json").exists()
    summary = extract_folder(photos, out, FakeEngine(), CONFIG, PCA, max_bad_fraction=0.5)
    assert (summary.extracted, summary.skipped) == (0, 5)


def test_a_plain_photo_has_a_file_without_features(photos, tmp_path):
    Image.new("L", (30, 40), 128).save(photos / "photo_3.png")
    extract_folder(photos, tmp_path / "features", FakeEngine(), CONFIG, PCA)
    assert read_features(tmp_path / "features" / "photo_3.npz").descriptors.shape == (0, 4)


def test_use_of_pca_without_one_is_refused(photos, tmp_path):
    with pytest.raises(UserError, match=r"fit_pca\.py"):
        extract_folder(photos, tmp_path / "features", FakeEngine(), CONFIG)


def test_a_pca_of_another_network_is_remarked_on(photos, tmp_path, caplog):
    pca = Pca(PCA.mean, PCA.projection, PCA.variances, {"network": "older"})
    extract_folder(photos, tmp_path / "features", FakeEngine(), CONFIG, pca)
    assert "older" in caplog.text
