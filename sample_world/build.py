"""Render a small world of landmarks in the layouts of Google Landmarks v2 and Oxford5k.

Written are

    gldv2/train/            train.csv, train_clean.csv, train_label_to_category.csv, a/b/c/<id>.jpg
    retrieval/images/       the photos to search, retrieval/gt/ their ground truth
    contact_sheet.jpg       a selection
    sample_world.json       the options, and what each photo shows (.parts/: what is finished)

The same options and seed give the same bytes on any number of processes. The same call continues an
interrupted run.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

from sample_world.contact_sheet import CONTACT_SHEET, write_contact_sheet
from sample_world.data_sets import data_sets_exist, write_gldv2, write_ground_truth
from sample_world.options import WorldOptions
from sample_world.plan import DISTRACTOR, RETRIEVAL, TRAIN, Group, plan
from sample_world.scenes.visibility import visibility_class
from sample_world.work import finished, run_groups, worker_count
from src.common.atomic_files import write_json
from src.common.errors import UserError

LOG = logging.getLogger(__name__)

SUMMARY_FILE = "sample_world.json"
# Raised when the same options begin to give other pictures, so that old folders are not continued.
GENERATOR_VERSION = 1


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
    missing = [group for group in groups if finished(output, group) is None]
    if found is not None and found.get("complete") and not missing and _tables_exist(output):
        LOG.info("%s is complete", output)
        return found
    write_json(output / SUMMARY_FILE, {"options": wanted, "complete": False})
    if missing:
        photos, workers = _count(missing), worker_count(num_workers, len(missing))
        LOG.info("rendering %d photos in %s with %d process(es)", photos, output, workers)
        run_groups(output, options, missing, workers)
    records = {group.name: finished(output, group) or [] for group in groups}
    by_part = {
        part: {g.name: records[g.name] for g in groups if g.part == part}
        for part in (TRAIN, RETRIEVAL)
    }
    write_gldv2(output, options.seed, by_part[TRAIN])
    write_ground_truth(output, options.queries, by_part[RETRIEVAL])
    write_contact_sheet(output, groups, options)
    for left_over in output.rglob(".*.tmp.*"):  # of a run that was killed
        left_over.unlink()
    summary = _summarise(options, wanted, groups, records)
    write_json(output / SUMMARY_FILE, summary)
    return summary


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


def _tables_exist(output: Path) -> bool:
    return data_sets_exist(output) and (output / CONTACT_SHEET).is_file()


def _count(groups: list[Group]) -> int:
    return sum(len(group.shots) for group in groups)


def _summarise(
    options: WorldOptions, wanted: dict, groups: list[Group], records: dict[str, list[dict]]
) -> dict:
    """Return what is written down of a finished world; `records` are those of the photos."""
    parts = {part: [g for g in groups if g.part == part] for part in (TRAIN, RETRIEVAL, DISTRACTOR)}
    classes = {"good": 0, "ok": 0, "junk": 0}
    for group in parts[RETRIEVAL]:
        for item in records[group.name]:
            classes[visibility_class(item["visible"])] += 1
    return {
        "options": wanted,
        "complete": True,
        "train_photos": sum(len(records[group.name]) for group in parts[TRAIN]),
        "retrieval_photos": sum(len(records[group.name]) for group in parts[RETRIEVAL]),
        "distractors": _count(parts[DISTRACTOR]),
        "queries": options.queries * options.retrieval_landmarks,
        "visibility": classes,
        "photos": sorted((r for items in records.values() for r in items), key=lambda r: r["file"]),
    }
