"""The path of a device with static shapes, run on the CPU: planned, batched, in order, exact."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src import delf_model
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.choice import EngineSettings, KnownWeights, choose_engine
from src.describe.engines.mindspore_graph import FeatureNetwork, MindSporeEngine
from src.describe.engines.static_batches import (
    Gathering,
    StaticPhoto,
    StaticPlan,
    static_batches,
)
from src.describe.folder import extract_folder
from src.describe.tasks import list_tasks
from src.feature_io import read_features, read_manifest
from src.network.weights import fingerprint
from tests.helpers.toy_engine import CONFIG, PCA, FakeEngine
from tests.helpers.weights import random_weights

PLAN = StaticPlan.of((64, 96), 160, 3)
# ------------------------------------------------------------------------------------- sizes


def test_sizes_lie_stand_and_are_square():
    plan = StaticPlan.of((512, 1024, 4096), 2048, 7)
    assert plan.sizes[:3] == ((384, 512), (512, 384), (512, 512))
    assert plan.sizes[-3:] == ((1536, 2048), (2048, 1536), (2048, 2048))
    assert len(plan.sizes) == 9  # 4096 is beyond the largest level
    assert StaticPlan.of((500,), 100, 1).sizes == ((96, 128), (128, 96), (128, 128))


def test_a_level_goes_into_the_smallest_size_that_holds_it():
    rng = np.random.default_rng(0)
    plan = StaticPlan.of((100, 200, 340), 512, 7)
    for _ in range(200):
        height, width = rng.integers(1, 513, 2)
        size = plan.size_for(height, width)
        holding = [s for s in plan.sizes if s[0] >= height and s[1] >= width]
        assert size in holding
        assert size[0] * size[1] == min(rows * columns for rows, columns in holding)
    with pytest.raises(UserError, match=r"513×10 .*max_level_side"):
        plan.size_for(513, 10)


def test_the_sizes_of_the_settings_pad_a_photo_by_a_tenth():
    """Of one size, 2048×2048, the levels of a 1024×768 photo take 4.7 times their pixels."""
    settings = EngineSettings()
    plan = StaticPlan.of(settings.static_sides, settings.max_level_side, settings.static_batch)
    for height, width in ((768, 1024), (1024, 768)):
        scales = np.array(DelfConfig().image_scales)
        levels = [(round(height * s), round(width * s)) for s in scales]
        sizes = [plan.size_for(*level) for level in levels]
        padded, bare = (sum(h * w for h, w in some) for some in (sizes, levels))
        assert bare < padded < 1.11 * bare


# ------------------------------------------------------------------------------------- batches


def photos_of(*shapes, name="p"):
    """Photos with one level of each shape in each list."""
    for number, levels in enumerate(shapes):
        yield (
            StaticPhoto(f"{name}{number}", [None] * len(levels)),
            [np.full((*level, 3), number, np.uint8) for level in levels],
        )


def test_batches_are_full_or_single_and_hold_each_level_once():
    rng = np.random.default_rng(1)
    shapes = [[tuple(rng.integers(1, 161, 2)) for _ in range(5)] for _ in range(40)]
    gathering, batches = Gathering(PLAN), []
    waiting = []
    for photo, levels in photos_of(*shapes):
        batches += gathering.add(photo, levels)
        done = {(p.name, level) for batch in batches for p, level in batch.places}
        waiting.append(int(photo.name[1:]) - oldest(shapes, done))
    batches += gathering.rest()
    assert 0 < max(waiting) <= 2 * PLAN.batch
    places = [(photo.name, level) for batch in batches for photo, level in batch.places]
    assert sorted(places) == sorted((f"p{n}", i) for n in range(40) for i in range(5))
    assert {len(batch.images) for batch in batches} == {1, PLAN.batch}
    full = sum(len(batch.images) > 1 for batch in batches)
    assert full * PLAN.batch > 0.8 * len(places)
    for batch in batches:
        for image, (height, width), (photo, level) in zip(batch.images, batch.sides, batch.places):
            assert (height, width) == shapes[int(photo.name[1:])][level]
            wanted = np.zeros_like(image)
            wanted[:, :height, :width] = int(photo.name[1:]) / 128 - 1
            assert (image == wanted).all()


def oldest(shapes, done):
    """The number of the first photo of which not all has left."""
    for number, levels in enumerate(shapes):
        if any((f"p{number}", level) not in done for level in range(len(levels))):
            return number
    return len(shapes)


def test_a_rare_size_does_not_hold_the_others_up():
    gathering = Gathering(PLAN)
    ((rare, level),) = photos_of([(160, 20)], name="rare")
    assert list(gathering.add(rare, level)) == []
    for photo, levels in photos_of(*[[(30, 40)]] * 2 * PLAN.batch):
        left = [place for batch in gathering.add(photo, levels) for place in batch.places]
    assert (rare, 0) in left


def test_what_has_left_is_not_kept():
    """A batch or an output held by a later photo would be memory that grows."""
    ((photo, levels),) = photos_of([(50, 60)] * PLAN.batch)
    (batch,) = Gathering(PLAN).add(photo, levels)
    rows, columns = (side // 32 for side in batch.images.shape[2:])
    features = np.zeros((PLAN.batch, rows, columns, 4), np.float32)
    kept = weakref.ref(features)
    batch.take(features, features[..., 0])
    assert photo.result().levels[2].features.shape == (2, 2, 4)
    del features
    gc.collect()
    assert kept() is None


def test_photos_come_before_their_levels_and_bad_ones_with_their_reason(photos, tmp_path):
    (photos / "photo_2.png").write_bytes(b"no photo")
    Image.new("RGB", (50, 40)).save(photos / "photo_3.png")
    seen, levels = [], 0
    for came, batch in static_batches(PLAN, photos, list_tasks(photos), CONFIG):
        seen += came
        if batch is not None:
            assert {photo.name for photo, _ in batch.places} <= {photo.name for photo in seen}
            levels += len(batch.places)
    assert [photo.name for photo in seen] == [f"photo_{number}" for number in range(7)]
    assert seen[2].result().levels is None and "photo_2.png" in seen[2].result().reason
    assert seen[3].result().levels == []
    assert levels == 5 * len(CONFIG.image_scales)


# ------------------------------------------------------------------------------------- engines


def test_a_folder_is_described_the_same_way_by_batches(photos, tmp_path, caplog):
    (photos / "photo_4.png").write_bytes(b"no photo")
    folders = {}
    for kind, plan in (("static", PLAN), ("dynamic", None)):
        folder = folders[kind] = tmp_path / kind
        engine = FakeEngine(plan=plan)
        summary = extract_folder(photos, folder, engine, CONFIG, PCA, max_bad_fraction=0.5)
        assert summary.extracted == 6 and list(summary.failed) == ["photo_4"]
    assert "photo_4.png" in caplog.text
    for name in read_manifest(folders["static"]).names:
        if name == "photo_4":
            continue
        static, dynamic = ((folder / f"{name}.npz").read_bytes() for folder in folders.values())
        assert static == dynamic


@pytest.fixture
def small_network(cpu, monkeypatch):
    """Weights of a network with one unit a stage, which is built in a fraction of the time."""
    short = {number: (inner, 1, stride) for number, (inner, _, stride) in delf_model.STAGES.items()}
    monkeypatch.setattr(delf_model, "STAGES", short)
    return random_weights(delf_model.FeatureExtractor())


class WeightsEngine(MindSporeEngine):
    """Opens weights that are in memory."""

    def __init__(self, weights, plan):
        super().__init__("it", fingerprint(weights), True, "CPU", plan)
        self.weights = weights

    def open(self, device_id):
        return FeatureNetwork(self.weights, "it", "CPU", device_id, self.plan)


def test_static_shapes_give_the_features_of_the_levels_as_they_are(
    small_network, photos, tmp_path, caplog
):
    """At the borders too, where what is beside a level must not be seen."""
    (photos / "photo_1.png").write_bytes(b"no photo")
    config = DelfConfig(use_pca=False, image_scales=(0.5, 0.7071, 1.0), max_level_side=128)
    plan = StaticPlan.of((64, 96), 128, 3)
    for kind, chosen in (("static", plan), ("dynamic", None)):
        engine = WeightsEngine(small_network, chosen)
        extract_folder(photos, tmp_path / kind, engine, config, None, max_bad_fraction=0.5)
    assert "photo_1.png" in caplog.text
    manifests = [read_manifest(tmp_path / kind) for kind in ("static", "dynamic")]
    assert manifests[0] == manifests[1] and manifests[0].failed.keys() == {"photo_1"}
    for name in set(manifests[0].names) - {"photo_1"}:
        ours, theirs = (
            read_features(Path(tmp_path, kind, f"{name}.npz")) for kind in ("static", "dynamic")
        )
        order, others = (np.lexsort((*f.locations.T, f.scales)) for f in (ours, theirs))
        assert ours.locations[order] == pytest.approx(theirs.locations[others], abs=1e-3)
        assert ours.descriptors[order] == pytest.approx(theirs.descriptors[others], abs=1e-5)
        assert ours.attention[order] == pytest.approx(theirs.attention[others], rel=1e-4, abs=1e-6)


def test_no_branch_by_what_is_computed(small_network):
    from mindspore.common.api import _cell_graph_executor

    network = FeatureNetwork(small_network, "it", "CPU", plan=StaticPlan.of((), 64, 2))
    network(np.zeros((2, 3, 64, 64), np.float32), np.int32([[64, 40], [33, 64]]))
    graph = _cell_graph_executor.get_optimize_graph_proto(network._network).lower()
    assert b"conv2d" in graph and b"less" in graph
    assert b"switch" not in graph


def test_an_ascend_gets_the_plan_and_the_level_of_compilation_of_the_settings():
    settings = EngineSettings(
        checkpoint="it.ckpt",
        device_target="Ascend",
        max_level_side=256,
        static_batch=5,
        static_sides=(128,),
        jit_level="O1",
    )
    known = KnownWeights("abc", True)
    engine = choose_engine(settings, known)
    assert isinstance(engine, MindSporeEngine)
    assert engine.plan == StaticPlan.of((128,), 256, 5) and engine.jit_level == "O1"
    cpu = EngineSettings("mindspore", "it.ckpt", device_target="CPU")
    assert choose_engine(cpu, known).plan is None
    with pytest.raises(UserError, match="static_batch is 0"):
        EngineSettings(static_batch=0)
    with pytest.raises(UserError, match="static_sides is 16"):
        EngineSettings(static_sides=(512, 16))
