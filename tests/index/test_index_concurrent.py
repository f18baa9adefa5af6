"""Searches in other processes while the index that they open is brought up to date."""

from __future__ import annotations

import json

from src.index.build import update_index
from src.index.files import read_description
from src.index.folder import load_index
from tests.helpers.index import ALL_KINDS, answers_digest, assert_same_answers, write_folder
from tests.helpers.other_process import OtherProcess

LISTED = ["ivf", "ivf_pq"]

#: Opens the indexes again and again, and looks once more into the one it had opened before; says
#: when it has begun, and in the end what it has seen of each generation, and how often.
SEARCHER = """
import json
from src.index.folder import load_index
from tests.helpers.index import answers_digest
folder, kinds = Path(sys.argv[1]), sys.argv[2:]
seen, before = {}, {}
def look(kind, index):
    key = f"{kind} {index.description['generation']} {answers_digest(index)}"
    seen[key] = seen.get(key, 0) + 1
def look_at_all():
    for kind in kinds:
        if kind in before: look(kind, before[kind])
        before[kind] = load_index(folder / kind)
        look(kind, before[kind])
look_at_all()
print("searching", flush=True)
while not (folder / "stop").exists(): look_at_all()
look_at_all()
print(json.dumps(seen), flush=True)
"""


def states(names):
    """Which images the index is to hold, one after the other: they come singly, and go in crowds.

    So lists are added, merged when there are too many files of them, and written anew.
    """
    base, others = names[:4], names[4:]
    return [*(base + others[:count] for count in range(len(others) + 1)), names[2:9], base]


def test_searches_during_updates_see_one_generation_or_the_next(tmp_path):
    counts = {f"image_{number:02}": 150 if number < 4 else 12 for number in range(12)}
    names = sorted(counts)
    write_folder(tmp_path / "features", counts)
    held = states(names)
    right = {}

    def update(kind, wanted):
        changes = update_index(tmp_path / "features", tmp_path / kind, ALL_KINDS[kind], wanted)
        index = load_index(tmp_path / kind)
        right[kind, index.description["generation"]] = answers_digest(index)
        return changes

    for kind in LISTED:
        update(kind, held[0])
    rebuilt, merged = set(), set()
    with (
        OtherProcess(SEARCHER, tmp_path, *LISTED) as one,
        OtherProcess(SEARCHER, tmp_path, *reversed(LISTED)) as other,
    ):
        for searcher in (one, other):
            searcher.says("searching")
        for wanted in held[1:]:
            for kind in LISTED:
                files = len(read_description(tmp_path / kind)["search"]["lists_files"])
                if update(kind, wanted).rebuilt:
                    rebuilt.add(kind)
                elif len(read_description(tmp_path / kind)["search"]["lists_files"]) < files:
                    merged.add(kind)
        (tmp_path / "stop").touch()
        seen = [json.loads(searcher.line()) for searcher in (one, other)]
        assert [searcher.finish() for searcher in (one, other)] == [(0, "")] * 2
    assert rebuilt == merged == set(LISTED)
    for searches in seen:
        for key in searches:
            kind, generation, digest = key.split()
            assert right[kind, int(generation)] == digest, (kind, generation)
        last = {kind: read_description(tmp_path / kind)["generation"] for kind in LISTED}
        assert {(kind, str(number)) for kind, number in last.items()} <= {
            tuple(key.split()[:2]) for key in searches
        }
    update_index(tmp_path / "features", tmp_path / "fresh", ALL_KINDS["ivf"], held[-1])
    assert_same_answers(tmp_path / "ivf", tmp_path / "fresh")
