"""What makes data sets of the photos: the tables of Google Landmarks v2, Oxford's ground truth."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from sample_world.plan import GLDV2_FOLDER, RETRIEVAL_GROUND_TRUTH, TRAIN
from sample_world.scenes.visibility import visibility_class
from src.common.atomic_files import write_text

QUERY_PREFIX = "oxc1_"


def _csv_text(header: list[str], rows: list[list]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_gldv2(output: Path, seed: int, records: dict[str, list[dict]]) -> None:
    """Write the three tables of the training part; landmark ids are scattered, as the real ones.

    `records` are those of the photos, by group.
    """
    rng = np.random.default_rng([seed, TRAIN])
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


def write_ground_truth(output: Path, queries: int, records: dict[str, list[dict]]) -> None:
    """Write query, good, ok and junk lists of every landmark, in Oxford's form.

    `queries` is how many each landmark has, `records` are those of the photos, by landmark.
    """
    folder = output / RETRIEVAL_GROUND_TRUTH
    for landmark, items in sorted(records.items()):
        lists: dict[str, list[str]] = {"good": [], "ok": [], "junk": []}
        for item in items:
            lists[visibility_class(item["visible"])].append(item["name"])
        for number, query in enumerate(_choose_queries(items, queries), start=1):
            stem = f"{landmark}_{number}"
            box = " ".join(f"{value:.1f}" for value in query["box"])
            write_text(folder / f"{stem}_query.txt", f"{QUERY_PREFIX}{query['name']} {box}\n")
            for name, images in lists.items():
                text = "".join(f"{image}\n" for image in sorted(images))
                write_text(folder / f"{stem}_{name}.txt", text)


def _choose_queries(items: list[dict], count: int) -> list[dict]:
    """Return the photos that were planned as queries and came out well, then the clearest."""
    ranked = sorted(items, key=lambda item: (-item["visible"], item["name"]))  # ties go by name
    good = [item for item in items[:count] if visibility_class(item["visible"]) == "good"]
    rest = [item for item in ranked if item not in good and item["box"] is not None]
    return (good + rest)[:count]


def data_sets_exist(output: Path) -> bool:
    """Say whether the tables and some ground truth are there."""
    names = ("train.csv", "train_clean.csv", "train_label_to_category.csv")
    return all((output / GLDV2_FOLDER / name).is_file() for name in names) and any(
        (output / RETRIEVAL_GROUND_TRUTH).glob("*_query.txt")
    )
