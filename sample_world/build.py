"""Render a small world of landmarks in the layouts of Google Landmarks v2 and Oxford5k.

    python3 sample_world/build.py --output_directory=sample

Nothing is downloaded: buildings, streets, trees, people and skies are drawn and photographed in 3-D
(`sample_buildings`, `sample_props`, `sample_scene`, `sample_render`). Written are

    gldv2/train/            train.csv, train_clean.csv, train_label_to_category.csv, a/b/c/<id>.jpg
    retrieval/images/       the photos to search, retrieval/gt/ their ground truth
    contact_sheet.jpg       a selection
    sample_world.json       the options, and what each photo shows (.parts/: what is finished)

The same options and seed give the same bytes on any number of processes. The landmarks of the
retrieval part do not occur in the training part. The same command continues an interrupted run.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import csv
import functools
import hashlib
import io
import json
import logging
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from sample_world.buildings import KINDS, build_landmark
from sample_world.mesh import Mesh
from sample_world.props import Props, build_props
from sample_world.scene import (
    take_photo,
    take_view,
    visibility_class,
)
from src.common.atomic_files import atomic_path, write_json, write_text
from src.common.errors import UserError, run_command

LOG = logging.getLogger(__name__)

SUMMARY_FILE = "sample_world.json"
CONTACT_SHEET = "contact_sheet.jpg"
GLDV2_FOLDER = "gldv2/train"
RETRIEVAL_IMAGES = "retrieval/images"
RETRIEVAL_GROUND_TRUTH = "retrieval/gt"
QUERY_PREFIX = "oxc1_"
JPEG_QUALITY = 90
# Raised when the same options begin to give other pictures, so that old folders are not continued.
GENERATOR_VERSION = 1

# The retrieval part takes its kinds in another order than the training part.
_RETRIEVAL_ORDER = (
    "clocktower", "cathedral", "castle", "rotunda", "pagoda", "palace", "gate", "mosque",
    "townhall", "temple", "monument", "skyscraper",
)  # fmt: skip
_TRAIN, _RETRIEVAL, _DISTRACTOR = 1, 2, 3
_PHOTOS_PER_OTHER_BUILDING = 2


@dataclass(frozen=True)
class WorldOptions:
    """How large a world to render; see the command line's help."""

    seed: int = 0
    train_landmarks: int = 12
    train_photos: int = 30
    retrieval_landmarks: int = 6
    retrieval_photos: int = 10
    queries: int = 3
    distractors: int = 40
    width: int = 480
    height: int = 360

    def check(self) -> None:
        """Raise a UserError that names the first option that cannot be."""
        least = {
            "seed": 0,
            "train_landmarks": 2,
            "train_photos": 1,
            "retrieval_landmarks": 1,
            "retrieval_photos": 1,
            "queries": 1,
            "distractors": 0,
            "width": 32,
            "height": 32,
        }
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UserError(f"--{name} is {getattr(self, name)}; give at least {low}")
        if max(self.width, self.height) > 4096:
            raise UserError("--width and --height go up to 4096")
        if self.queries > self.retrieval_photos:
            raise UserError(
                f"--queries ({self.queries}) are photos of a landmark: give at least as many "
                f"--retrieval_photos (now {self.retrieval_photos})"
            )


@dataclass(frozen=True)
class _Shot:
    """One photo to take: file relative to the output folder, class to aim at, portrait or not."""

    file: str
    name: str
    wanted: str
    portrait: bool
    seed: tuple[int, ...]


@dataclass(frozen=True)
class _Group:
    """Photos of one landmark, or views without one; the unit a process works on."""

    part: int
    name: str
    kind: str
    seed: tuple[int, ...]
    shots: tuple[_Shot, ...]


# -- plan ------------------------------------------------------------------------------------------


def _landmark_names(kinds: tuple[str, ...], count: int) -> list[tuple[str, str]]:
    """Return (name, kind) of landmarks: each kind once, then clocktower2, …"""
    names = []
    for index in range(count):
        kind, again = kinds[index % len(kinds)], index // len(kinds)
        names.append((kind if not again else f"{kind}{again + 1}", kind))
    return names


def _wanted(index: int, sure: int) -> str:
    """Return what a photo aims at: the first `sure` are queries, then comes a mix of classes."""
    if index < sure:
        return "query"
    cycle = ("ok", "good", "junk", "ok", "good", "ok", "good")
    return cycle[(index - sure) % len(cycle)]


def _portrait(kind: str, rng: np.random.Generator) -> bool:
    tall = kind in ("clocktower", "skyscraper", "monument", "pagoda", "cathedral")
    return bool(rng.random() < (0.55 if tall else 0.2))


def plan(options: WorldOptions) -> list[_Group]:
    """Return all photos of a world, by landmark."""
    groups = []
    for index, (name, kind) in enumerate(_landmark_names(tuple(KINDS), options.train_landmarks)):
        rng = np.random.default_rng([options.seed, _TRAIN, index])
        shots = []
        for photo in range(options.train_photos):
            key = f"{options.seed}/train/{name}/{photo}"
            image_id = hashlib.sha256(key.encode()).hexdigest()[:16]
            # Web photos of a landmark mostly show it; every fifth lets something stand before it.
            wanted = "ok" if photo % 5 == 4 else "good"
            file = f"{GLDV2_FOLDER}/{image_id[0]}/{image_id[1]}/{image_id[2]}/{image_id}.jpg"
            seed = (options.seed, _TRAIN, index, photo)
            shots.append(_Shot(file, image_id, wanted, _portrait(kind, rng), seed))
        seed = (options.seed, _TRAIN, index, 1 << 20)
        groups.append(_Group(_TRAIN, f"train_{name}", kind, seed, tuple(shots)))
    for index, (name, kind) in enumerate(
        _landmark_names(_RETRIEVAL_ORDER, options.retrieval_landmarks)
    ):
        rng = np.random.default_rng([options.seed, _RETRIEVAL, index])
        shots = []
        for photo in range(options.retrieval_photos):
            image = f"{name}_{photo:06d}"
            wanted = _wanted(photo, options.queries)
            seed = (options.seed, _RETRIEVAL, index, photo)
            file = f"{RETRIEVAL_IMAGES}/{image}.jpg"
            shots.append(_Shot(file, image, wanted, _portrait(kind, rng), seed))
        seed = (options.seed, _RETRIEVAL, index, 1 << 20)
        groups.append(_Group(_RETRIEVAL, name, kind, seed, tuple(shots)))
    return groups + _plan_distractors(options)


def _plan_distractors(options: WorldOptions) -> list[_Group]:
    """Return the photos that show no landmark: other buildings, streets, squares and parks."""
    rng = np.random.default_rng([options.seed, _DISTRACTOR])
    buildings = options.distractors // 2
    groups = []
    index = 0
    for start in range(0, buildings, _PHOTOS_PER_OTHER_BUILDING):
        number = start // _PHOTOS_PER_OTHER_BUILDING
        kind = list(KINDS)[(number * 5 + 3) % len(KINDS)]
        shots = []
        for _ in range(min(_PHOTOS_PER_OTHER_BUILDING, buildings - start)):
            name = f"building_{index:06d}"
            shots.append(
                _Shot(
                    f"{RETRIEVAL_IMAGES}/{name}.jpg",
                    name,
                    "good",
                    _portrait(kind, rng),
                    (options.seed, _DISTRACTOR, index),
                )
            )
            index += 1
        seed = (options.seed, _DISTRACTOR, number, 1 << 20)
        groups.append(_Group(_DISTRACTOR, f"other_{number}", kind, seed, tuple(shots)))
    for view, share in (("city", 2), ("park", 1), ("square", 1)):
        count = (options.distractors - buildings) * share // 4
        if view == "city":
            count = options.distractors - buildings - 2 * ((options.distractors - buildings) // 4)
        shots = []
        for number in range(count):
            name = f"{ {'city': 'street'}.get(view, view) }_{number:06d}"
            shots.append(
                _Shot(
                    f"{RETRIEVAL_IMAGES}/{name}.jpg",
                    name,
                    "good",
                    bool(rng.random() < 0.25),
                    (options.seed, _DISTRACTOR, index),
                )
            )
            index += 1
        if shots:
            groups.append(_Group(_DISTRACTOR, f"view_{view}", view, (), tuple(shots)))
    return groups


# -- work ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _props(seed: int) -> Props:
    return build_props(seed)


def _set_up_worker() -> None:
    """Use one thread of OpenCV in each process, and end when the run itself has been killed."""
    cv2.setNumThreads(1)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV could not encode {path}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _run_group(output: str, options: WorldOptions, group: _Group) -> list[dict]:
    """Take the photos of a group; returns a record for each."""
    props = _props(options.seed)
    landmark: Mesh | None = None
    if group.kind in KINDS:
        landmark = build_landmark(group.kind, list(group.seed))
    records = []
    for shot in group.shots:
        size = (options.width, options.height)
        if shot.portrait != (options.height > options.width):
            size = size[::-1]
        record = {"file": shot.file, "name": shot.name, "group": group.name}
        if landmark is None:
            picture = take_view(props, size, group.kind, list(shot.seed))
        else:
            photo = take_photo(landmark, props, size, shot.wanted, list(shot.seed))
            picture = photo.picture
            if group.part != _DISTRACTOR:
                record["visible"] = round(photo.visible, 4)
                record["box"] = photo.box
        _write_jpeg(Path(output) / shot.file, picture)
        records.append(record)
    return records


def _worker_count(num_workers: int | None, groups: int) -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(num_workers or available or 1, groups))


def _run_groups(output: Path, options: WorldOptions, groups: list[_Group], workers: int) -> None:
    """Take all photos, several groups at once; notes each finished group beside the photos."""
    progress = tqdm(total=sum(len(g.shots) for g in groups), unit="photo", disable=None)

    def finish(group: _Group, records: list[dict]) -> None:
        write_json(_part_file(output, group), records)
        progress.update(len(group.shots))

    with progress:
        if workers == 1:
            threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
            try:
                for group in groups:
                    finish(group, _run_group(str(output), options, group))
            finally:
                cv2.setNumThreads(threads)
            return
        # The largest first, so that no process is left alone with a long one at the end.
        ordered = sorted(groups, key=lambda group: -len(group.shots))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _set_up_worker) as pool:
            jobs = {pool.submit(_run_group, str(output), options, g): g for g in ordered}
            try:
                for job in as_completed(jobs):
                    finish(jobs[job], job.result())
            except BrokenProcessPool:
                raise UserError(
                    f"a process that renders for {output} was killed (out of memory?): run the "
                    "same command again, perhaps with fewer --num_workers; what is done is kept"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


# -- files -----------------------------------------------------------------------------------------


def _part_file(output: Path, group: _Group) -> Path:
    return output / ".parts" / f"{group.name}.json"


def _finished(output: Path, group: _Group) -> list[dict] | None:
    """Return the records of a group that is complete on disk, else None."""
    try:
        records = json.loads(_part_file(output, group).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if [record["file"] for record in records] != [shot.file for shot in group.shots]:
        return None
    return records if all((output / record["file"]).is_file() for record in records) else None


def _csv_text(header: list[str], rows: list[list]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _write_gldv2(output: Path, options: WorldOptions, records: dict[str, list[dict]]) -> None:
    """Write the three tables of the training part; landmark ids are scattered, as the real ones."""
    rng = np.random.default_rng([options.seed, _TRAIN])
    ids = np.sort(rng.choice(200_000, len(records), replace=False))
    photos, clean, categories = [], [], []
    for landmark_id, (group, items) in zip(ids.tolist(), sorted(records.items())):
        names = sorted(item["name"] for item in items)
        name = group.split("_", 1)[1]
        photos += [[image, f"sample:{name}/{image}", landmark_id] for image in names]
        clean.append([landmark_id, " ".join(names)])
        categories.append([landmark_id, f"sample:{name}"])
    folder = output / GLDV2_FOLDER
    write_text(folder / "train.csv", _csv_text(["id", "url", "landmark_id"], sorted(photos)))
    write_text(folder / "train_clean.csv", _csv_text(["landmark_id", "images"], clean))
    write_text(
        folder / "train_label_to_category.csv", _csv_text(["landmark_id", "category"], categories)
    )


def _write_ground_truth(
    output: Path, options: WorldOptions, records: dict[str, list[dict]]
) -> None:
    """Write query, good, ok and junk lists of every landmark, in Oxford's form."""
    folder = output / RETRIEVAL_GROUND_TRUTH
    for landmark, items in sorted(records.items()):
        lists: dict[str, list[str]] = {"good": [], "ok": [], "junk": []}
        for item in items:
            lists[visibility_class(item["visible"])].append(item["name"])
        # The clearest photos are the queries; ties go by name.
        ranked = sorted(items, key=lambda item: (-item["visible"], item["name"]))
        planned = items[: options.queries]
        good = [item for item in planned if visibility_class(item["visible"]) == "good"]
        rest = [item for item in ranked if item not in good and item["box"] is not None]
        queries = (good + rest)[: options.queries]
        for number, query in enumerate(queries, start=1):
            stem = f"{landmark}_{number}"
            box = " ".join(f"{value:.1f}" for value in query["box"])
            write_text(folder / f"{stem}_query.txt", f"{QUERY_PREFIX}{query['name']} {box}\n")
            for name, images in lists.items():
                text = "".join(f"{image}\n" for image in sorted(images))
                write_text(folder / f"{stem}_{name}.txt", text)


def _write_contact_sheet(output: Path, groups: list[_Group], options: WorldOptions) -> None:
    """Write a sheet of photos: rows of one landmark each, then a row of other views."""
    tall, columns, gap = 200, 6, 6
    width = (
        columns
        * round(
            tall * max(options.width, options.height) / min(options.width, options.height) * 0.82
        )
        + (columns - 1) * gap
    )
    rows = []
    shown = [g for g in groups if g.part == _RETRIEVAL][:4]
    kinds = {group.kind for group in shown}
    shown += [g for g in groups if g.part == _TRAIN and g.kind not in kinds][:6]
    sources = [[shot.file for shot in group.shots] for group in shown]
    sources.append([g.shots[0].file for g in groups if g.part == _DISTRACTOR][::-1])
    for files in sources:
        row, used = [], 0
        for file in files:
            picture = cv2.imread(str(output / file), cv2.IMREAD_COLOR)
            if picture is None:
                continue
            wide = round(picture.shape[1] * tall / picture.shape[0])
            if used + wide > width:
                continue
            row.append(cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_AREA))
            used += wide + gap
        if not row:
            continue
        strip = np.full((tall, width, 3), 250, np.uint8)
        # Spread what is left over between the photos.
        free = width - sum(p.shape[1] for p in row)
        space = min(free / max(1, len(row) - 1), 4 * gap)
        x = (free - space * (len(row) - 1)) / 2
        for picture in row:
            strip[:, round(x) : round(x) + picture.shape[1]] = picture
            x += picture.shape[1] + space
        rows += [strip, np.full((gap, width, 3), 250, np.uint8)]
    if rows:
        _write_jpeg(output / CONTACT_SHEET, np.concatenate(rows[:-1])[..., ::-1])


# -- the whole -------------------------------------------------------------------------------------


def _check_folder(output: Path, wanted: dict) -> dict | None:
    """Return the summary of an earlier run with the same options; refuse one with others."""
    path = output / SUMMARY_FILE
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: give --output_directory a folder")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        options = dict(found["options"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} is not the record of a sample world: delete it to render anew"
        ) from None
    differing = [
        f"{name} is {options.get(name)} there and {value} here"
        for name, value in wanted.items()
        if options.get(name) != value
    ]
    if differing:
        raise UserError(
            f"{output} holds a sample world of other options ({', '.join(differing)}): give the "
            "same ones or another --output_directory"
        )
    return found


def build_sample_world(
    output_directory: str | os.PathLike,
    options: WorldOptions,
    num_workers: int | None = None,
) -> dict:
    """Render a world into a folder and return its summary, the content of sample_world.json.

    `num_workers` processes share the work (default: one a processor); they do not change the
    result. What an earlier run with the same options finished is kept. Raises UserError where the
    folder holds a world of other options.
    """
    options.check()
    if num_workers is not None and num_workers < 1:
        raise UserError(f"--num_workers is {num_workers}; give at least 1")
    output = Path(output_directory)
    wanted = {**asdict(options), "generator": GENERATOR_VERSION}
    found = _check_folder(output, wanted)
    groups = plan(options)
    missing = [group for group in groups if _finished(output, group) is None]
    if found is not None and found.get("complete") and not missing and _tables_exist(output):
        LOG.info("%s is complete", output)
        return found
    write_json(output / SUMMARY_FILE, {"options": wanted, "complete": False})
    if missing:
        photos, workers = (
            sum(len(g.shots) for g in missing),
            _worker_count(num_workers, len(missing)),
        )
        LOG.info("rendering %d photos in %s with %d process(es)", photos, output, workers)
        _run_groups(output, options, missing, workers)
    records = {group.name: _finished(output, group) or [] for group in groups}
    by_part = {
        part: {g.name: records[g.name] for g in groups if g.part == part}
        for part in (_TRAIN, _RETRIEVAL)
    }
    _write_gldv2(output, options, by_part[_TRAIN])
    _write_ground_truth(output, options, by_part[_RETRIEVAL])
    _write_contact_sheet(output, groups, options)
    classes = {"good": 0, "ok": 0, "junk": 0}
    for items in by_part[_RETRIEVAL].values():
        for item in items:
            classes[visibility_class(item["visible"])] += 1
    summary = {
        "options": wanted,
        "complete": True,
        "train_photos": sum(map(len, by_part[_TRAIN].values())),
        "retrieval_photos": sum(map(len, by_part[_RETRIEVAL].values())),
        "distractors": sum(len(g.shots) for g in groups if g.part == _DISTRACTOR),
        "queries": options.queries * options.retrieval_landmarks,
        "visibility": classes,
        "photos": sorted((r for items in records.values() for r in items), key=lambda r: r["file"]),
    }
    for left_over in output.rglob(".*.tmp.*"):  # of a run that was killed
        left_over.unlink()
    write_json(output / SUMMARY_FILE, summary)
    return summary


def _tables_exist(output: Path) -> bool:
    names = ("train.csv", "train_clean.csv", "train_label_to_category.csv")
    files = [output / GLDV2_FOLDER / name for name in names] + [output / CONTACT_SHEET]
    return all(file.is_file() for file in files) and any(
        (output / RETRIEVAL_GROUND_TRUTH).glob("*_query.txt")
    )


def main() -> int:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(
        description="Render a small world of landmarks: training photos in the layout of Google "
        "Landmarks v2, photos to search in that of Oxford5k."
    )
    defaults = WorldOptions()
    parser.add_argument("--output_directory", required=True, help="folder to write")
    texts = {
        "seed": "decides everything that is drawn",
        "train_landmarks": "landmarks (classes) to train on",
        "train_photos": "photos of each of them",
        "retrieval_landmarks": "landmarks to search for; none of them is trained on",
        "retrieval_photos": "photos of each of them",
        "queries": "how many of these are queries",
        "distractors": "further photos among which to search: other buildings, streets, parks",
        "width": "width of a landscape photo in pixels; portraits are turned",
        "height": "its height",
    }
    for name, text in texts.items():
        value = getattr(defaults, name)
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{text} ({value})")
    parser.add_argument(
        "--num_workers", type=int, default=None, help="processes to use (one a processor)"
    )
    arguments = parser.parse_args()
    options = WorldOptions(**{name: getattr(arguments, name) for name in texts})
    summary = build_sample_world(arguments.output_directory, options, arguments.num_workers)
    classes = summary["visibility"]
    LOG.info(
        "%d training photos of %d landmarks; %d photos to search (%d good, %d ok, %d junk, "
        "%d without a landmark), %d queries; see %s",
        summary["train_photos"],
        options.train_landmarks,
        summary["retrieval_photos"] + summary["distractors"],
        classes["good"],
        classes["ok"],
        classes["junk"],
        summary["distractors"],
        summary["queries"],
        Path(arguments.output_directory) / CONTACT_SHEET,
    )
    return 0


if __name__ == "__main__":
    run_command(main)
