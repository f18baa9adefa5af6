"""What an evaluation asks: which protocol, which queries, which images are searched.

levels     the table of easy, medium and hard over Oxford's lists; queries whole, in the index
classic    Oxford5k and Paris6k as published: one mAP; queries cropped, in the index
revisited  Revisited Oxford and Paris: easy, medium, hard; queries cropped, not in the index

Distractors are more images to search that are negative for every query.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.dataset import (
    EASY_MEDIUM_HARD,
    REPORTED_RANKS,
    GroundTruth,
    Judge,
    judge_classic,
    read_ground_truth,
    refuse_missing,
)
from src.evaluation.revisited import (
    PATTERN,
    PRECISION_RANKS,
    SETUPS,
    Box,
    by_photo_names,
    database_images,
    read_gnd,
    revisited_ground_truth,
)
from src.feature_io import has_features, read_manifest
from src.photos.finding import list_images
from src.photos.names import normal_form

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protocol:
    """How ranked lists are judged.

    Attributes:
        name: as in the settings.
        setups: name → rule.
        ranks: where precision is reported.
        recall: whether recall is reported there too.
        crop: whether queries are cropped to their boxes, unless one says otherwise.
        in_pickle: whether the ground truth is a pickle, and the queries are not searched.
    """

    name: str
    setups: Mapping[str, Judge]
    ranks: tuple[int, ...]
    recall: bool
    crop: bool
    in_pickle: bool = False


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("levels", EASY_MEDIUM_HARD, REPORTED_RANKS, recall=True, crop=False),
        Protocol("classic", {"classic": judge_classic}, (), recall=False, crop=True),
        Protocol("revisited", SETUPS, PRECISION_RANKS, recall=False, crop=True, in_pickle=True),
    )
}


@dataclass(frozen=True)
class Benchmark:
    """A protocol with its queries and the images to search.

    Attributes:
        protocol: how to judge.
        crop: whether queries are described inside their boxes only.
        ground_truth: the queries; indices count in `images`.
        images: names of the images to search, sorted, distractors included.
        distractors: how many of them are distractors.
    """

    protocol: Protocol
    crop: bool
    ground_truth: GroundTruth
    images: tuple[str, ...]
    distractors: int

    @property
    def query_photos(self) -> dict[str, str]:
        """Label → photo of each query."""
        return {query.label: query.name for query in self.ground_truth.queries}

    @property
    def boxes(self) -> dict[str, Box]:
        """Label → box of each query."""
        return {query.label: query.box for query in self.ground_truth.queries}

    def title(self, setup: str) -> str:
        """Return the heading of a setup in the table of results; levels have their bare names.

        Examples: "easy", "classic (queries cropped)", "revisited hard (queries not cropped)".
        """
        name = self.protocol.name
        words = setup if name in ("levels", setup) else f"{name} {setup}"
        if name == "levels" and not self.crop:
            return words
        return f"{words} (queries {'cropped' if self.crop else 'not cropped'})"


def choose_protocol(name: str, gt_path: PathLike) -> Protocol:
    """Return the protocol of this name, with "auto" the one that the ground truth is made for.

    A folder with `*_query.txt` is for the levels, a pickle or a folder with one for "revisited".

    Raises:
        UserError: there is no such ground truth, or the protocol needs another kind of it.
    """
    path = Path(gt_path)
    if not path.exists():
        raise UserError(f"there is no ground truth {path}")
    has_lists = path.is_dir() and any(path.glob("[!.]*_query.txt"))
    has_pickle = path.is_file() or (path.is_dir() and any(path.glob(PATTERN)))
    if name == "auto":
        if not has_lists and not has_pickle:
            raise UserError(
                f"the ground truth folder {path} holds no *_query.txt file and no {PATTERN}"
            )
        name = "levels" if has_lists else "revisited"
    protocol = PROTOCOLS[name]
    if protocol.in_pickle and not has_pickle:
        raise UserError(f"the {name} protocol needs a {PATTERN} file; {path} holds none")
    if not protocol.in_pickle and path.is_file():
        raise UserError(
            f"the {name} protocol needs a folder of *_query.txt files; {path} is a file"
        )
    return protocol


def list_distractors(
    text: str, images_path: str | Path, photos: Sequence[str]
) -> dict[str, list[str]]:
    """Find the photos of the distractor folders.

    Args:
        text: the folders, of photos or of features, with commas between them; "" for none.
        images_path: the data set's folder, for messages.
        photos: names of the data set's photos.

    Returns:
        folder → names of its photos, sorted.

    Raises:
        UserError: a folder is missing or holds no photo, or a name is taken: a distractor must not
            be a photo of the data set, and images are known by their names.
    """
    holder = dict.fromkeys(map(normal_form, photos), str(images_path))
    folders: dict[str, list[str]] = {}
    for path in filter(None, (part.strip() for part in text.split(","))):
        if has_features(path):
            names = list(read_manifest(path).names)
        else:
            names = [name for name, _ in list_images(path)]
        taken = [name for name in names if normal_form(name) in holder]
        if taken:
            raise UserError(
                f"{len(taken)} photos of the distractors {path} have names of photos in "
                f"{holder[normal_form(taken[0])]}, such as {taken[0]}; take out what belongs to "
                "the data set and rename the rest"
            )
        holder.update(dict.fromkeys(map(normal_form, names), path))
        folders[str(Path(path).resolve())] = names
    return folders


def read_benchmark(
    gt_path: PathLike,
    photos: Sequence[str],
    distractors: Sequence[str] = (),
    protocol: str = "auto",
    crop: bool | None = None,
    missing_images: str = "refuse",
) -> Benchmark:
    """Read the ground truth for a folder of photos.

    Args:
        gt_path: folder of text files, `gnd_*.pkl`, or a folder that holds one.
        photos: names of the data set's photos, sorted.
        distractors: names of the photos to add; none of them may be among `photos`.
        protocol: a name of `PROTOCOLS`, or "auto".
        crop: whether to crop the queries; None: as the protocol does.
        missing_images: "refuse" where more of the listed images than a small share do not exist,
            or "ignore" that.

    Raises:
        UserError: the ground truth is missing, malformed, of another protocol, names a query
            without a photo or too many other photos that do not exist, or leaves nothing to judge.
    """
    chosen = choose_protocol(protocol, gt_path)
    if chosen.in_pickle:
        gnd = by_photo_names(read_gnd(gt_path), photos)
        database = database_images(gnd, photos)
        images = sorted([*database, *distractors])
        ground_truth = revisited_ground_truth(gnd, database, images)
    else:
        images = sorted([*photos, *distractors])
        ground_truth = _among(read_ground_truth(gt_path, photos), photos, images)
    refuse_missing(ground_truth, gt_path, missing_images)
    _refuse_nothing_to_judge(chosen, ground_truth, gt_path)
    crop = chosen.crop if crop is None else crop
    return Benchmark(chosen, crop, ground_truth, tuple(images), len(distractors))


def _refuse_nothing_to_judge(protocol: Protocol, truth: GroundTruth, gt_path: PathLike) -> None:
    """Refuse a ground truth by which no ranked list is better than another.

    Raises:
        UserError: no query has a positive image but its own photo.
    """
    found = wrong = 0
    for judge in protocol.setups.values():
        for query in truth.queries:
            judged = judge(query)
            itself = np.array([getattr(query, "image", -1)])
            found += np.setdiff1d(judged.positives, itself).size
            wrong += truth.image_count - judged.positives.size - judged.junk.size
    if not found:
        raise UserError(
            f"no query of {gt_path} has a positive image among the photos but its own: there is "
            "nothing to judge; do the photos and the ground truth belong together?"
        )
    if not wrong:
        LOG.warning("no photo is a wrong answer to any query: every order of them scores 100 %")


def _among(truth: GroundTruth, photos: Sequence[str], images: Sequence[str]) -> GroundTruth:
    """Let the indices of a ground truth count in all images instead of in the photos alone."""
    if len(images) == len(photos):
        return truth
    place = {name: index for index, name in enumerate(images)}
    moved = np.array([place[name] for name in photos], dtype=np.int64)
    queries = tuple(
        replace(
            query,
            image=int(moved[query.image]),
            good=moved[query.good],
            ok=moved[query.ok],
            junk=moved[query.junk],
        )
        for query in truth.queries
    )
    return replace(truth, queries=queries, image_count=len(images))
