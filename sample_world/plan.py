"""Which photos a world consists of. The landmarks to search for do not occur in the training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from sample_world.buildings.kinds import KINDS
from sample_world.options import WorldOptions

GLDV2_FOLDER = "gldv2/train"
RETRIEVAL_IMAGES = "retrieval/images"
RETRIEVAL_GROUND_TRUTH = "retrieval/gt"
TRAIN, RETRIEVAL, DISTRACTOR = 1, 2, 3  # the parts of a world

# The retrieval part takes its kinds in another order than the training part.
_RETRIEVAL_ORDER = (
    "clocktower", "cathedral", "castle", "rotunda", "pagoda", "palace", "gate", "mosque",
    "townhall", "temple", "monument", "skyscraper",
)  # fmt: skip
_TALL = ("clocktower", "skyscraper", "monument", "pagoda", "cathedral")
_PHOTOS_PER_OTHER_BUILDING = 2
_OF_LANDMARK = 1 << 20  # in a seed: where a photo's has its number


@dataclass(frozen=True)
class Shot:
    """One photo to take: file relative to the output folder, class to aim at, portrait or not."""

    file: str
    name: str
    wanted: str
    portrait: bool
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Photos of one landmark, or views without one; the unit a process works on.

    kind is the landmark's, or city, park or square for views.
    """

    part: int
    name: str
    kind: str
    seed: tuple[int, ...]
    shots: tuple[Shot, ...]


def plan(options: WorldOptions) -> list[Group]:
    """Return all photos of a world, by landmark."""
    rng = np.random.default_rng([options.seed, DISTRACTOR])
    return [
        *_plan_training(options),
        *_plan_retrieval(options),
        *_plan_other_buildings(options, rng),
        *_plan_views(options, rng),
    ]


def _landmark_names(kinds: tuple[str, ...], count: int) -> list[tuple[str, str]]:
    """Return (name, kind) of landmarks: each kind once, then clocktower2, …"""
    names = []
    for index in range(count):
        kind, again = kinds[index % len(kinds)], index // len(kinds)
        names.append((kind if not again else f"{kind}{again + 1}", kind))
    return names


def _portrait(kind: str, rng: np.random.Generator) -> bool:
    """Decide whether a photo stands upright; tall buildings are taken so more often."""
    return bool(rng.random() < (0.55 if kind in _TALL else 0.2))


def _plan_training(options: WorldOptions) -> list[Group]:
    """Return the training photos, named as those of Google Landmarks v2."""
    groups = []
    for index, (name, kind) in enumerate(_landmark_names(tuple(KINDS), options.train_landmarks)):
        rng = np.random.default_rng([options.seed, TRAIN, index])
        shots = []
        for photo in range(options.train_photos):
            key = f"{options.seed}/train/{name}/{photo}"
            image_id = hashlib.sha256(key.encode()).hexdigest()[:16]
            # Web photos of a landmark mostly show it; every fifth lets something stand before it.
            wanted = "ok" if photo % 5 == 4 else "good"
            file = f"{GLDV2_FOLDER}/{image_id[0]}/{image_id[1]}/{image_id[2]}/{image_id}.jpg"
            seed = (options.seed, TRAIN, index, photo)
            shots.append(Shot(file, image_id, wanted, _portrait(kind, rng), seed))
        seed = (options.seed, TRAIN, index, _OF_LANDMARK)
        groups.append(Group(TRAIN, f"train_{name}", kind, seed, tuple(shots)))
    return groups


def _plan_retrieval(options: WorldOptions) -> list[Group]:
    """Return the photos of the landmarks to search for, the queries first."""
    groups = []
    names = _landmark_names(_RETRIEVAL_ORDER, options.retrieval_landmarks)
    for index, (name, kind) in enumerate(names):
        rng = np.random.default_rng([options.seed, RETRIEVAL, index])
        shots = []
        for photo in range(options.retrieval_photos):
            wanted = _wanted(photo, options.queries)
            seed = (options.seed, RETRIEVAL, index, photo)
            shots.append(_retrieval_shot(f"{name}_{photo:06d}", wanted, _portrait(kind, rng), seed))
        seed = (options.seed, RETRIEVAL, index, _OF_LANDMARK)
        groups.append(Group(RETRIEVAL, name, kind, seed, tuple(shots)))
    return groups


def _wanted(index: int, sure: int) -> str:
    """Return what a photo aims at: the first `sure` are queries, then comes a mix of classes."""
    if index < sure:
        return "query"
    cycle = ("ok", "good", "junk", "ok", "good", "ok", "good")
    return cycle[(index - sure) % len(cycle)]


def _retrieval_shot(name: str, wanted: str, portrait: bool, seed: tuple[int, ...]) -> Shot:
    return Shot(f"{RETRIEVAL_IMAGES}/{name}.jpg", name, wanted, portrait, seed)


def _plan_other_buildings(options: WorldOptions, rng: np.random.Generator) -> list[Group]:
    """Return photos of buildings that are no landmarks: half of the distractors."""
    buildings = options.distractors // 2
    groups = []
    for start in range(0, buildings, _PHOTOS_PER_OTHER_BUILDING):
        number = start // _PHOTOS_PER_OTHER_BUILDING
        kind = list(KINDS)[(number * 5 + 3) % len(KINDS)]
        shots = []
        for index in range(start, min(start + _PHOTOS_PER_OTHER_BUILDING, buildings)):
            name, seed = f"building_{index:06d}", (options.seed, DISTRACTOR, index)
            shots.append(_retrieval_shot(name, "good", _portrait(kind, rng), seed))
        seed = (options.seed, DISTRACTOR, number, _OF_LANDMARK)
        groups.append(Group(DISTRACTOR, f"other_{number}", kind, seed, tuple(shots)))
    return groups


def _plan_views(options: WorldOptions, rng: np.random.Generator) -> list[Group]:
    """Return the rest of the distractors: views of streets, parks and squares."""
    index = options.distractors // 2
    rest = options.distractors - index
    quarter = rest // 4
    groups = []
    for view, name, count in (
        ("city", "street", rest - 2 * quarter),
        ("park", "park", quarter),
        ("square", "square", quarter),
    ):
        shots = []
        for number in range(count):
            portrait, seed = bool(rng.random() < 0.25), (options.seed, DISTRACTOR, index)
            shots.append(_retrieval_shot(f"{name}_{number:06d}", "good", portrait, seed))
            index += 1
        if shots:
            groups.append(Group(DISTRACTOR, f"view_{view}", view, (), tuple(shots)))
    return groups
