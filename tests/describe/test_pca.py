import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.in_process import InProcessEngine
from src.describe.fit_pca import choose_files, fit_pca_on_photos
from src.describe.pca import Pca, fit_pca, read_pca, write_pca
from src.extract_utils_np import unit_length
from src.network.feature_weights import read_feature_weights
from src.network.weights import fingerprint
from tests.helpers.checkout import copy_project
from tests.helpers.toy_engine import extract_image


def _descriptors(count=400, channels=24, seed=0):
    rng = np.random.default_rng(seed)
    spread = np.linspace(3, 0.1, channels)
    rotation = np.linalg.qr(rng.normal(size=(channels, channels)))[0]
    return (5 + rng.normal(size=(count, channels)) * spread @ rotation).astype(np.float32)


def test_fit_agrees_with_a_singular_value_decomposition():
    x = _descriptors()
    pca = fit_pca(x, 10)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    assert pca.mean == pytest.approx(x.mean(axis=0, dtype=np.float64), abs=1e-5)
    assert pca.variances == pytest.approx(singular[:10] ** 2 / (len(x) - 1), rel=1e-4)
    cosines = np.abs((pca.projection * rows[:10]).sum(axis=1))
    assert cosines == pytest.approx(np.ones(10), abs=1e-4)
    assert {array.dtype for array in (pca.mean, pca.projection, pca.variances)} == {
        np.dtype(np.float32)
    }


def test_signs_do_not_depend_on_the_solver():
    pca = fit_pca(_descriptors(), 10)
    largest = np.abs(pca.projection).argmax(axis=1)
    assert (pca.projection[np.arange(10), largest] > 0).all()


def test_blocks_give_what_the_whole_gives():
    x = _descriptors()
    whole = fit_pca(x, 8)
    blocks = (block for block in np.split(x, [0, 1, 17, 200]))  # the first one is empty
    parts = fit_pca(blocks, 8)
    for name in ("mean", "projection", "variances"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-4, abs=1e-5)


def test_a_far_away_mean_does_not_cost_precision():
    x = _descriptors().astype(np.float64)
    far = fit_pca((block for block in np.split(x + 1e5, 4)), 5)
    assert far.variances == pytest.approx(fit_pca(x, 5).variances, rel=1e-5)


@pytest.mark.parametrize("blocks", [[], [np.zeros((10, 24))], [np.eye(24)[:8], np.eye(24)[8:11]]])
def test_too_few_descriptors_are_an_error(blocks):
    with pytest.raises(UserError, match="more photos"):
        fit_pca(blocks, 11)


def test_projection_by_hand():
    pca = Pca(
        np.array([1, 0, 0], np.float32),
        np.array([[0, 1, 0], [0, 0, 1]], np.float32),
        np.array([4, 0.25], np.float32),
    )
    x = np.array([[1, 3, 4], [1, 0, 0]], np.float32)
    assert pca.project(x, 2, whiten=False) == pytest.approx(np.array([[0.6, 0.8], [0, 0]]))
    # Whitened: (3 / 2, 4 / 0.5) = (1.5, 8) before it is brought to unit length.
    length = np.hypot(1.5, 8)
    assert pca.project(x, 2, whiten=True)[0] == pytest.approx([1.5 / length, 8 / length])
    assert pca.project(x, 1, whiten=False)[:, 0].tolist() == [1, 0]
    assert pca.project(x, 2, whiten=True).dtype == np.float32


def test_whitened_components_have_equal_variance():
    x = _descriptors(count=4000)
    pca = fit_pca(x, 6)
    reduced = (x - pca.mean) @ pca.projection.T / np.sqrt(pca.variances)
    assert np.cov(reduced.T) == pytest.approx(np.eye(6), abs=1e-3)
    whitened = pca.project(x, 6, whiten=True)
    assert whitened == pytest.approx(reduced / np.linalg.norm(reduced, axis=1)[:, None], abs=1e-4)


def test_a_direction_without_variance_stays_finite_when_whitened():
    x = _descriptors(channels=4)
    x[:, 3] = 2
    pca = fit_pca(x, 4)
    assert np.isfinite(pca.project(x, 4, whiten=True)).all()


def test_projection_refuses_what_does_not_fit():
    pca = fit_pca(_descriptors(), 5)
    with pytest.raises(UserError, match="at most 5"):
        pca.project(_descriptors(), 6, whiten=False)
    with pytest.raises(UserError, match="23"):
        pca.project(_descriptors()[:, :23], 5, whiten=False)


def test_unit_length_leaves_zero_alone():
    assert unit_length(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [
        pytest.approx([0.6, 0.8]),
        [0, 0],
    ]


def test_files_come_back(tmp_path):
    pca = fit_pca(_descriptors(), 5)
    write_pca(tmp_path, Pca(pca.mean, pca.projection, pca.variances, {"network": "abc"}))
    back = read_pca(tmp_path)
    assert back.fingerprint == pca.fingerprint
    assert (back.projection == pca.projection).all()
    assert back.about["network"] == "abc"
    assert np.load(tmp_path / "pca_proj_mat.npy").shape == (5, 24)


def test_fingerprint_sees_every_array():
    pca = fit_pca(_descriptors(), 5)
    arrays = (pca.mean, pca.projection, pca.variances)
    for i in range(3):
        changed = [a * np.float32(1.0001) if i == j else a for j, a in enumerate(arrays)]
        assert Pca(*changed).fingerprint != pca.fingerprint


def test_files_of_a_release_without_a_description(tmp_path):
    """A square projection in double precision, as files converted from elsewhere are."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "mean.npy", rng.normal(size=(1, 24)))
    np.save(tmp_path / "pca_proj_mat.npy", rng.normal(size=(24, 24)))
    np.save(tmp_path / "pca_variances.npy", rng.random(24))
    pca = read_pca(tmp_path)
    assert pca.mean.shape == (24,)
    assert pca.projection.dtype == np.float32
    assert pca.project(_descriptors(), 4, whiten=True).shape == (400, 4)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("mean.npy", np.zeros(23)),
        ("pca_proj_mat.npy", np.zeros((24, 5))),
        ("pca_proj_mat.npy", np.zeros(24)),
        ("pca_proj_mat.npy", np.zeros((0, 24))),
        ("pca_variances.npy", np.zeros(4)),
        ("mean.npy", np.full(24, np.nan)),
        ("mean.npy", np.array(["a"] * 24)),
        ("pca_variances.npy", np.arange(5.0)),  # fits, and is not what was fitted
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, name, array):
    write_pca(tmp_path, fit_pca(_descriptors(), 5))
    np.save(tmp_path / name, array)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_pca(tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"mean\.npy.*fit_pca"):
        read_pca(tmp_path)
    write_pca(tmp_path, fit_pca(_descriptors(), 5))
    content = (tmp_path / "pca_proj_mat.npy").read_bytes()
    for damaged in (b"", content[:100], content[:40], b"pickle?" * 30):
        (tmp_path / "pca_proj_mat.npy").write_bytes(damaged)
        with pytest.raises(UserError, match=r"pca_proj_mat\.npy"):
            read_pca(tmp_path)
    (tmp_path / "pca_proj_mat.npy").write_bytes(content)
    (tmp_path / "pca.json").write_text("{")
    with pytest.raises(UserError, match=r"pca\.json"):
        read_pca(tmp_path)


# --- fitting to photos


class _Colours:
    """A network whose features are pixels: six numbers around the centre of each cell."""

    plan = None

    def __call__(self, images):
        padded = np.pad(images[0], ((0, 0), (0, 1), (0, 0)), mode="edge")
        features = np.concatenate((padded[:, :-1:32, ::32], padded[:, 1::32, ::32]))
        features = features.transpose(1, 2, 0)[: -(-images.shape[2] // 32)] + np.float32(2)
        return features, features.sum(axis=2)


class _ColoursEngine(InProcessEngine):
    name, fingerprint, has_attention = "colours", "colours", True

    def open(self, device_id):
        return _Colours()


def _pictures(count):
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (90, 120, 3)).astype(np.uint8) for _ in range(count)]


def _saved(folder, pictures):
    files = [f"{number}.png" for number in range(len(pictures))]
    for file, picture in zip(files, pictures):
        Image.fromarray(picture).save(folder / file)
    return files


def _fit(folder, files, config):
    return fit_pca_on_photos(_ColoursEngine(), folder, files, config, 5)


def test_fit_on_photos_is_the_fit_of_their_features(tmp_path):
    pictures = [*_pictures(4), np.zeros((50, 50, 3), np.uint8)]  # the last one has no features
    config = DelfConfig(pca_dim=3, max_feature_num=25)
    pca = _fit(tmp_path, _saved(tmp_path, pictures), config)
    plain = DelfConfig(use_pca=False, max_feature_num=25)
    blocks = [extract_image(_Colours(), picture, plain).descriptors for picture in pictures[:4]]
    expected = fit_pca(np.concatenate(blocks), 5)
    assert pca.projection == pytest.approx(expected.projection, abs=1e-3)
    assert pca.variances == pytest.approx(expected.variances, rel=1e-4)
    assert pca.about == {
        "network": "colours",
        "images": 5,
        "descriptors": sum(map(len, blocks)),
    }


def test_choice_of_photos_depends_on_the_seed_only(tmp_path):
    for number in range(12):
        (tmp_path / f"{number:02}.jpg").touch()
    first = choose_files(tmp_path, 5, seed=1)
    assert first == choose_files(tmp_path, 5, seed=1)
    assert first != choose_files(tmp_path, 5, seed=2)
    assert len(set(first)) == 5
    assert first == sorted(first)
    assert len(choose_files(tmp_path, 99, seed=1)) == 12


def test_unreadable_photos_are_passed_over(tmp_path, caplog):
    files = _saved(tmp_path, _pictures(2))
    (tmp_path / "b.png").write_bytes(b"")
    pca = _fit(tmp_path, [*files, "b.png"], DelfConfig())
    assert pca.about["images"] == 2
    assert "b.png" in caplog.text


@pytest.mark.slow
def test_the_command_takes_photos_of_several_folders_but_those_left_out(
    attention_checkpoint, tmp_path
):
    """And leaves the PCA where the programs look for those of these weights."""
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        for name in "abc":
            picture = np.random.default_rng(number).integers(0, 256, (96, 128, 3)).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / f"{name}{number}.png")
    (tmp_path / "out.tsv").write_text("file\treason\nx/a0.png\ta drawing\nb1 a drawing\n")
    project = copy_project(tmp_path / "project")
    shipped = {path.name: path.read_bytes() for path in (project / "pca").iterdir()}
    done = subprocess.run(
        [
            *(sys.executable, str(project / "src" / "describe" / "fit_pca.py")),
            *("--checkpoint", str(attention_checkpoint), "--images_path", "one", "two"),
            *("--leave_out", "out.tsv", "--dimensions", "8", "--max_level_side", "128"),
            *("--device_target", "CPU"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    network = fingerprint(read_feature_weights(attention_checkpoint))
    pca = read_pca(project / "pca" / network)
    assert pca.projection.shape == (8, 1024)
    assert pca.about["network"] == network and pca.about["images"] == 4
    sources = [f"2 of {tmp_path.name}/{folder}" for folder in ("one", "two")]
    assert pca.about["source"] == ", ".join(sources)
    for name, content in shipped.items():
        assert (project / "pca" / name).read_bytes() == content
