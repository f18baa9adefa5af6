import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.box_list_np import BoxList
from src.box_list_ops_np import intersection_over_union
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.pca import fit_pca
from src.extract_utils_np import (
    LevelOutput,
    LevelSize,
    build_pyramid,
    has_texture,
    pyramid_level_sizes,
    receptive_boxes,
    select_features,
    to_photo_pixels,
    unit_length,
)

PLAIN = DelfConfig(use_pca=False)


def _cells(size, stride=32):
    return -(-size.height // stride), -(-size.width // stride)


def _outputs(height, width, config, channels=8, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [_cells(size) for size in pyramid_level_sizes(height, width, config)]
    return [
        LevelOutput(
            rng.normal(size=(*shape, channels)).astype(np.float32),
            rng.random(shape).astype(np.float32),
        )
        for shape in shapes
    ]


# --- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_scales": ()},
        {"image_scales": (1.0, 0.0)},
        {"image_scales": (float("nan"),)},
        {"score": "beauty"},
        {"nms_iou": 0.0},
        {"nms_iou": 1.5},
        {"max_feature_num": 0},
        {"max_level_side": 8},
        {"score_threshold": -0.1},
        {"pca_dim": 0},
    ],
)
def test_impossible_settings_are_named(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        DelfConfig(**wrong)


def test_settings_of_a_list_and_a_tuple_are_equal():
    assert DelfConfig(image_scales=[1, 2]) == DelfConfig(image_scales=(1.0, 2.0))
    assert DelfConfig(image_scales=[1, 2]).settings()["image_scales"] == [1.0, 2.0]


# --- pyramid


def test_levels_of_a_common_photo():
    sizes = pyramid_level_sizes(768, 1024, DelfConfig())
    assert [tuple(size) for size in sizes] == [
        (0.25, 192, 256),
        (0.3536, 272, 362),
        (0.5, 384, 512),
        (0.7071, 543, 724),
        (1.0, 768, 1024),
        (1.4142, 1086, 1448),
        (2.0, 1536, 2048),
    ]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([64, 500, 2048]))
def test_levels_keep_the_limits(height, width, longest):
    config = DelfConfig(max_level_side=longest)
    sizes = pyramid_level_sizes(height, width, config)
    assert 1 <= len(sizes) <= 7
    assert max(max(size.height, size.width) for size in sizes) <= longest
    assert min(min(size.height, size.width) for size in sizes) >= 1
    assert len(sizes) == 1 or min(min(s.height, s.width) for s in sizes) >= config.min_level_side
    for size in sizes:
        assert abs(size.height - height * size.scale) <= max(0.5, 1 - height * size.scale)
        assert abs(size.width - width * size.scale) <= max(0.5, 1 - width * size.scale)


def test_a_small_photo_is_not_made_smaller_and_a_large_one_is():
    assert pyramid_level_sizes(300, 200, DelfConfig())[-1] == LevelSize(2.0, 600, 400)
    panorama = pyramid_level_sizes(800, 6000, DelfConfig())
    assert panorama[-1] == LevelSize(pytest.approx(2048 / 6000), 273, 2048)


def test_an_icon_keeps_the_levels_worth_having():
    assert [s.height for s in pyramid_level_sizes(20, 20, DelfConfig())] == [20, 28, 40]
    assert pyramid_level_sizes(3, 2, DelfConfig()) == [LevelSize(2.0, 6, 4)]
    assert pyramid_level_sizes(1, 1, DelfConfig(image_scales=(0.25,))) == [LevelSize(0.25, 1, 1)]


def test_levels_are_normalised_rgb():
    image = np.zeros((64, 96, 3), np.uint8)
    image[...] = (0, 128, 255)
    image[0, 0] = 7
    config = DelfConfig(image_scales=(1.0,))
    ((scale, level),) = build_pyramid(image, config)
    assert scale == 1
    assert level.shape == (1, 3, 64, 96)
    assert level.dtype == np.float32
    expected = (image.astype(np.float64).transpose(2, 0, 1) - 128) / 128
    assert (level[0] == expected).all()


def test_levels_are_made_one_at_a_time():
    levels = build_pyramid(np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2), DelfConfig())
    assert iter(levels) is levels
    assert next(levels)[1].shape == (1, 3, 16, 16)


def test_shrinking_does_not_alias():
    """A checkerboard of single pixels is plain grey from afar."""
    board = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    board = np.repeat(board[..., None], 3, axis=2)
    for scale in (0.25, 0.3536, 0.5):
        ((_, level),) = build_pyramid(board, DelfConfig(image_scales=(scale,)))
        assert np.abs(level).max() < 0.2


def test_a_plain_photo_has_no_texture_and_no_levels():
    plain = np.full((50, 40, 3), (9, 99, 199), np.uint8)
    assert not has_texture(plain)
    assert list(build_pyramid(plain, DelfConfig())) == []
    for pixel, channel in (((49, 39), 2), ((0, 0), 0), ((20, 20), 1)):
        spotted = plain.copy()
        spotted[(*pixel, channel)] += 1
        assert has_texture(spotted)


# --- receptive fields


def test_receptive_fields_by_hand():
    boxes = receptive_boxes(2, 3, 291, 32, 145)
    assert boxes.tolist() == [
        [-145, -145, 145, 145],
        [-145, -113, 145, 177],
        [-145, -81, 145, 209],
        [-113, -145, 177, 145],
        [-113, -113, 177, 177],
        [-113, -81, 177, 209],
    ]


def test_receptive_field_and_padding_follow_from_the_layers():
    """Walk through the layers up to conv4 and its subsampling: (kernel, stride, padding)."""
    layers = [(7, 2, 3), (3, 2, 1)]
    for units in (3, 4, 6):
        layers += [(3, 1, 1)] * (units - 1) + [(3, 2, 1)]
    field, stride, padding = 1, 1, 0
    for kernel, step, pad in layers:
        field, padding, stride = (
            field + (kernel - 1) * stride,
            padding + pad * stride,
            stride * step,
        )
    config = DelfConfig()
    assert stride == config.stride
    # The published figures subsample behind conv4 instead of in its last 3×3 convolution, which
    # sees the same pixels.
    assert field == config.receptive_field
    assert padding == config.padding


@pytest.mark.parametrize(("height", "width"), [(203, 317), (768, 1024), (97, 640)])
@pytest.mark.parametrize("scale", DelfConfig().image_scales)
def test_positions_follow_what_resizing_does(height, width, scale):
    """Draw ramps whose values are the coordinates, resize them, and read the values back."""
    ((_, level_height, level_width),) = pyramid_level_sizes(
        height, width, DelfConfig(image_scales=(scale,))
    )
    ramp = np.indices((height, width)).astype(np.float32).transpose(1, 2, 0)
    resized = cv2.resize(
        ramp,
        (level_width, level_height),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    rows, columns = np.mgrid[0:level_height:32, 0:level_width:32]
    points = np.stack((rows, columns), axis=-1).reshape(-1, 2)
    boxes = np.hstack((points, points))
    found = to_photo_pixels(boxes, LevelSize(scale, level_height, level_width), height, width)
    seen = resized[points[:, 0], points[:, 1]]
    inside = (points > 0).all(axis=1)  # a ramp is bent at the border
    assert inside.sum() > 0 or min(level_height, level_width) <= 32
    assert found[inside, :2] == pytest.approx(seen[inside], abs=0.1 / min(scale, 1) + 0.01)


def test_a_dot_is_found_where_it_was_drawn():
    """The brightest cell of a network that sees brightness only lies on the dot, on every level."""
    for scale in DelfConfig().image_scales:
        config = DelfConfig(image_scales=(scale,), use_pca=False, max_feature_num=1)
        (size,) = pyramid_level_sizes(600, 800, config)
        row, column = _cells(size)[0] // 2, _cells(size)[1] // 3
        y = (32 * row + 0.5) * 600 / size.height - 0.5
        x = (32 * column + 0.5) * 800 / size.width - 0.5
        image = np.zeros((600, 800, 3), np.uint8)
        cv2.circle(image, (round(x), round(y)), max(2, round(3 / scale)), (255,) * 3, -1)
        ((_, level),) = build_pyramid(image, config)
        bright = level[0].mean(axis=0)[::32, ::32]  # a cell reads the pixel it is centred on
        output = LevelOutput(np.ones((*bright.shape, 4), np.float32), bright + 2)
        (location,) = select_features([output], 600, 800, config).locations
        assert location == pytest.approx([y, x], abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700))
def test_locations_lie_in_the_photo(height, width):
    features = select_features(_outputs(height, width, PLAIN), height, width, PLAIN)
    assert len(features) > 0
    assert features.locations.min() >= 0
    assert (features.locations <= [height - 1, width - 1]).all()


# --- choice


def test_choice_agrees_with_a_sort_of_all_cells():
    config = DelfConfig(use_pca=False, max_feature_num=50)
    outputs = _outputs(300, 400, config)
    found = select_features(outputs, 300, 400, config)
    rows = []
    for size, output in zip(pyramid_level_sizes(300, 400, config), outputs):
        for i, j in np.ndindex(output.scores.shape):
            y = (32 * i + 0.5) * 300 / size.height - 0.5
            x = (32 * j + 0.5) * 400 / size.width - 0.5
            rows.append((output.scores[i, j], y, x, size.scale, output.features[i, j]))
    best = sorted(rows, key=lambda row: -row[0])[:50]
    assert found.attention.tolist() == [row[0] for row in best]
    locations = np.clip([row[1:3] for row in best], 0, (299, 399))
    assert found.locations == pytest.approx(locations, abs=1e-3)
    assert found.scales == pytest.approx([row[3] for row in best])
    for descriptor, row in zip(found.descriptors, best):
        assert descriptor == pytest.approx(row[4] / np.linalg.norm(row[4]), abs=1e-6)


class _Halving:
    """A projection that counts what it is given."""

    rows = 0

    def project(self, descriptors, dimension, whiten):
        self.rows += len(descriptors)
        return descriptors[:, :dimension] * 0.5


def test_only_kept_cells_are_normalised_and_projected_to_the_same_bytes():
    config = DelfConfig(max_feature_num=50, pca_dim=2, score_threshold=0.5)
    outputs = _outputs(300, 400, config)
    pca = _Halving()
    found = select_features(outputs, 300, 400, config, pca)
    assert pca.rows == len(found) == 50
    rows = np.concatenate([output.features.reshape(output.scores.size, -1) for output in outputs])
    reduced = _Halving().project(unit_length(rows), 2, False)
    scores = np.concatenate([output.scores.ravel() for output in outputs])
    best = np.argsort(-scores, kind="stable")[:50]
    assert found.descriptors.tobytes() == reduced[best].tobytes()
    assert found.attention.tobytes() == scores[best].tobytes()


def test_scores_by_norm_ignore_the_attention():
    config = DelfConfig(use_pca=False, score="norm", max_feature_num=5)
    outputs = _outputs(200, 200, config)
    norms = np.concatenate([np.linalg.norm(o.features, axis=2).ravel() for o in outputs])
    found = select_features(outputs, 200, 200, config)
    assert found.attention == pytest.approx(np.sort(norms)[::-1][:5])


def test_threshold_counts_relative_to_the_best():
    config = DelfConfig(use_pca=False, score_threshold=0.75)
    outputs = _outputs(300, 400, config)
    for factor in (1e-12, 1.0, 1e12):
        scaled = [LevelOutput(o.features, o.scores * np.float32(factor)) for o in outputs]
        scores = np.concatenate([o.scores.ravel() for o in scaled])
        expected = (scores >= np.float32(0.75) * scores.max()).sum()
        assert 0 < expected < len(scores)
        assert len(select_features(scaled, 300, 400, config)) == expected


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_equal_scores_go_by_level_and_place(threshold):
    config = DelfConfig(use_pca=False, max_feature_num=20, score_threshold=threshold)
    for value in (0.0, 0.3):
        outputs = [
            LevelOutput(o.features, np.full_like(o.scores, value))
            for o in _outputs(300, 400, config)
        ]
        found = select_features(outputs, 300, 400, config)
        assert len(found) == 20
        assert (np.diff(found.scales) >= 0).all()
        first = found.locations[found.scales == found.scales[0]]
        assert first.tolist() == sorted(first.tolist())


def test_suppression_leaves_no_two_fields_that_overlap_too_much():
    config = DelfConfig(use_pca=False, nms_iou=0.5)
    outputs = _outputs(600, 800, config)
    found = select_features(outputs, 600, 800, config)
    everything = select_features(outputs, 600, 800, PLAIN)
    assert 0 < len(found) < len(everything)
    assert found.attention[0] == everything.attention[0]
    half = 145 / found.scales[:, None]
    boxes = BoxList(np.hstack((found.locations - half, found.locations + half)))
    overlaps = intersection_over_union(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    assert overlaps.max() == pytest.approx(0.5, abs=0.03)


def test_features_without_direction_are_dropped():
    outputs = _outputs(200, 200, PLAIN)
    outputs[0].features[0, 0] = 0
    outputs[0].scores[0, 0] = 100
    total = sum(o.scores.size for o in outputs)
    found = select_features(outputs, 200, 200, PLAIN)
    assert len(found) == total - 1
    assert np.linalg.norm(found.descriptors, axis=1) == pytest.approx(np.ones(total - 1), abs=1e-5)


def test_reduced_descriptors_are_unit_length_and_those_of_the_pca():
    config = DelfConfig(pca_dim=3, max_feature_num=30)
    outputs = _outputs(300, 300, config)
    plain = select_features(outputs, 300, 300, DelfConfig(use_pca=False, max_feature_num=30))
    pca = fit_pca(plain.descriptors, 4)
    found = select_features(outputs, 300, 300, config, pca)
    expected = (plain.descriptors - pca.mean) @ pca.projection[:3].T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.descriptors == pytest.approx(expected, abs=1e-5)
    assert found.descriptors.dtype == np.float32


def test_no_texture_no_features():
    empty = select_features([], 30, 40, DelfConfig(pca_dim=7), fit_pca(np.eye(20), 7))
    assert empty.descriptors.shape == (0, 7)
    assert empty.locations.shape == (0, 2)
    assert select_features([], 30, 40, PLAIN).descriptors.shape == (0, 1024)


def test_a_network_may_lack_the_last_row_and_column():
    outputs = _outputs(300, 400, PLAIN)
    fewer = [
        LevelOutput(output.features[:-1, :-1], output.scores[:-1, :-1])
        if min(output.scores.shape) > 1
        else output
        for output in outputs
    ]
    every, some = (select_features(out, 300, 400, PLAIN) for out in (outputs, fewer))
    assert 0 < len(some) < len(every)
    places = {(*location, scale) for location, scale in zip(every.locations.tolist(), every.scales)}
    for location, scale in zip(some.locations.tolist(), some.scales):
        assert (*location, scale) in places  # the cells that are there stay where they are


def test_wrong_outputs_are_refused():
    outputs = _outputs(300, 400, PLAIN)
    with pytest.raises(ValueError, match="levels"):
        select_features(outputs[:-1], 300, 400, PLAIN)
    with pytest.raises(ValueError, match="cells"):
        select_features(outputs, 400, 300, PLAIN)
    with pytest.raises(ValueError, match="PCA"):
        select_features(outputs, 300, 400, DelfConfig())
    for value in (np.nan, np.inf):
        outputs[3].features[0, 0, 0] = value
        with pytest.raises(UserError, match="not finite"):
            select_features(outputs, 300, 400, PLAIN)
