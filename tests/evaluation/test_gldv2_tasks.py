"""mAP@100 and µAP of Google Landmarks v2, worked by hand, and their files."""

import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from src.common.errors import UserError
from src.evaluation import gldv2_tasks as tasks
from src.evaluation.gldv2_score import main, score_recognition, score_retrieval

ROOT = Path(__file__).resolve().parents[2]

RETRIEVAL = """id,images,Usage
t1,a b c,Public
t2,d,Public
t3,e f,Private
t4,None,Ignored
"""
RECOGNITION = """id,landmarks,Usage
t1,7,Public
t2,8 9,Public
t3,,Public
t4,5,Private
t5,,Ignored
"""


def written(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return [folder / f"{name}.csv" for name in files]


# -- worked by hand


@pytest.mark.parametrize(
    ("found", "wanted", "value"),
    [
        ("a b c", "a b c", Fraction(1)),
        ("x a y b", "a b c", (Fraction(1, 2) + Fraction(2, 4)) / 3),
        ("x y z", "a", Fraction(0)),
        ("", "a", Fraction(0)),
        ("a a b", "a b", (Fraction(1, 1) + Fraction(2, 3)) / 2),  # twice: the second is a miss
        ("b a", "a", Fraction(1, 2)),
    ],
)
def test_average_precision(found, wanted, value):
    got = tasks.average_precision_at(found.split(), set(wanted.split()))
    assert got == pytest.approx(float(value), abs=1e-15)


def test_only_a_hundred_count_of_what_is_found_and_of_what_is_wanted():
    wanted = {f"w{i}" for i in range(250)}
    assert tasks.average_precision_at(sorted(wanted), wanted) == 1.0  # 100 of 100, not of 250
    late = [f"x{i}" for i in range(100)] + ["w0"]
    assert tasks.average_precision_at(late, {"w0"}) == 0.0
    assert tasks.average_precision_at([*late[:99], "w0"], {"w0"}) == pytest.approx(0.01)


def test_the_mean_is_over_queries_with_something_to_find_answered_or_not():
    truth = {"q1": {"a"}, "q2": {"b"}, "q3": set()}
    assert tasks.mean_average_precision({"q1": ["a"], "q3": ["a"]}, truth) == 0.5
    assert math.isnan(tasks.mean_average_precision({}, {"q3": set()}))


def test_micro_average_precision():
    """Five predictions by score: right, wrong (a distractor), right, wrong, right; M = 4.

    (1/1 + 2/3 + 3/5) / 4: the fourth query that shows a landmark was answered wrongly.
    """
    truth = {"q1": {"1"}, "q2": {"2", "3"}, "q3": {"4"}, "q4": {"5"}, "d": set()}
    predicted = {
        "q1": ("1", 0.9), "d": ("1", 0.8), "q2": ("3", 0.7), "q3": ("9", 0.6), "q4": ("5", 0.1),
    }  # fmt: skip
    got = tasks.global_average_precision(predicted, truth)
    assert got == pytest.approx(float((1 + Fraction(2, 3) + Fraction(3, 5)) / 4), abs=1e-15)
    del predicted["d"]  # who says nothing of a distractor gains: (1 + 1 + 3/4) / 4
    got = tasks.global_average_precision(predicted, truth)
    assert got == pytest.approx((1 + 1 + 3 / 4) / 4, abs=1e-15)


def test_only_the_order_of_scores_counts_and_equal_ones_go_by_id():
    truth = {"a": {"1"}, "b": {"2"}}
    right_first = {"a": ("1", 0.5), "b": ("9", 0.5)}
    assert tasks.global_average_precision(right_first, truth) == 0.5
    wrong_first = {"a": ("9", 0.5), "b": ("2", 0.5)}
    assert tasks.global_average_precision(wrong_first, truth) == 0.25
    shifted = {"a": ("9", -3.0), "b": ("2", 1e9)}
    assert tasks.global_average_precision(shifted, truth) == 0.5


def test_neighbours_vote_with_their_scores():
    ranked = {"q": [("a", 0.625), ("b", 0.5), ("c", 0.375), ("d", 0.25)], "empty": []}
    labels = {"a": "1", "b": "2", "c": "2", "d": "1"}
    assert tasks.landmarks_of_neighbours(ranked, labels, 1) == {"q": ("1", 0.625)}
    assert tasks.landmarks_of_neighbours(ranked, labels, 3)["q"] == ("2", 0.875)
    assert tasks.landmarks_of_neighbours(ranked, labels, 4)["q"] == ("1", 0.875)  # met first
    with pytest.raises(UserError, match="d, found for q, has no landmark"):
        tasks.landmarks_of_neighbours(ranked, {"a": "1", "b": "2", "c": "2"}, 4)


# -- files


def test_retrieval_from_a_csv(tmp_path, capsys):
    """t1: (1/2 + 2/3) / 3 = 0.3889, t2: 1; t3 is of the other part: (1/1) / 2."""
    solution, found, index, test = written(
        tmp_path,
        solution=RETRIEVAL,
        found="id,images\nt1,x a b\nt2,d\nt3,e\nt4,a\n",
        index="id\n" + "\n".join("abcdefx") + "\n",
        test="id\nt1\nt2\nt3\nt4\n",
    )
    main(["retrieval", "--solution", str(solution), "--index", str(index), "--test", str(test),
          str(found)])  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "Public   mAP@100 = 69.44  (2 test photos, 2 with a landmark, 2 with a prediction)",
        "Private  mAP@100 = 50.00  (1 test photos, 1 with a landmark, 1 with a prediction)",
    ]


def test_retrieval_from_our_ranks_in_any_order(tmp_path):
    solution, ranks = written(
        tmp_path,
        solution=RETRIEVAL,
        ranks="query,rank,photo,score\nt/t1,2,0/1/a,0.5\nt/t1,1,0/1/x,0.9\nt/t1,3,0/2/b,0.4\n"
        "t/t2,1,d,0.1\n",
    )
    assert "mAP@100 = 69.44" in score_retrieval(ranks, solution)


def test_recognition_from_a_csv(tmp_path, capsys):
    """By score: t3 wrong (shows nothing), t1 right 1/2, t2 right 2/3; M = 2: 58.33."""
    solution, predicted = written(
        tmp_path,
        solution=RECOGNITION,
        predicted="id,landmarks\nt1,7 0.5\nt2,9 0.4\nt3,7 0.6\nt4,\nt5,7 9\n",
    )
    main(["recognition", "--solution", str(solution), str(predicted)])
    public, private = capsys.readouterr().out.splitlines()
    told = "µAP = 58.33  (3 test photos, 2 with a landmark, 3 with a prediction)"
    assert public == f"Public   {told}"
    assert private.startswith("Private  µAP = 0.00")


def test_recognition_by_the_landmarks_of_neighbours(tmp_path):
    solution, ranks, labels = written(
        tmp_path,
        solution=RECOGNITION,
        ranks="query,rank,photo,score\nt1,1,p,0.9\nt1,2,q,0.8\nt1,3,r,0.7\nt2,1,s,1\n",
        labels="id,url,landmark_id\np,http://a,1\nq,http://b,7\nr,http://c,7\ns,http://d,8\n",
    )
    # One neighbour: t2 (1.0) right, t1 (0.9) says 1, wrong: (1/1) / 2. Three: t1 says 7 with 1.5.
    assert "Public   µAP = 50.00" in score_recognition(ranks, solution, labels, 1)
    assert "Public   µAP = 100.00" in score_recognition(ranks, solution, labels, 3)


@pytest.mark.parametrize(
    ("solution", "found", "told"),
    [
        (RETRIEVAL, "id,images\nnobody,a\n", "predicts for nobody, which is no test photo"),
        (RETRIEVAL, "id,images\nt4,a\n", "predicts for no photo that counts"),
        (RETRIEVAL, "id,images\nt1,a\nt1,b\n", "line 3: t1 is there twice"),
        (RETRIEVAL, "id,pictures\nt1,a\n", r"has no column images \(it has: id, pictures\)"),
        (RETRIEVAL, "id,images\nt1\n", "line 2: there are 1 cells, not 2"),
        (RETRIEVAL, "", r"has no column id, images \(it has: none\)"),
        (RETRIEVAL, "query,rank,photo,score\nt1,x,a,1\n", "line 2: rank 'x' and score '1'"),
        (RETRIEVAL, "query,rank,photo,score\nt1,1,a,nan\n", "and score 'nan' are no numbers"),
        (RETRIEVAL, "query,rank,photo,score\nt1,1,a,1\nt1,1,b,1\n", "two photos of rank 1"),
        ("id,images,Usage\nt1,a,public\n", "id,images\nt1,a\n", "Usage is 'public'; it should be"),
        ("id,images,Usage\nt1,a,Public\nt1,b,Public\n", "id,images\nt1,a\n", "t1 is there twice"),
        ("id,images\nt1,a\n", "id,images\nt1,a\n", "has no column Usage"),
        ("id,images,Usage\nt1,None,Public\n", "id,images\nt1,a\n", "has no test photo that shows"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, solution, found, told):
    solution, found = written(tmp_path, solution=solution, found=found)
    with pytest.raises(UserError, match=told):
        score_retrieval(found, solution)


@pytest.mark.parametrize("cell", ["7", "7 0.5 8 0.4", "7 high", "7 inf"])
def test_a_prediction_is_a_landmark_and_a_score(tmp_path, cell):
    solution, predicted = written(
        tmp_path, solution=RECOGNITION, predicted=f"id,landmarks\nt1,{cell}\n"
    )
    with pytest.raises(UserError, match=r"line 2: .* is not one landmark and its score"):
        score_recognition(predicted, solution)


def test_files_that_do_not_belong_together_are_named(tmp_path):
    solution, found, index, test = written(
        tmp_path,
        solution=RETRIEVAL,
        found="id,images\nt1,a z\n",
        index="id\na\n",
        test="id\nt1\nt2\nt4\n",
    )
    with pytest.raises(UserError, match=r"finds z for t1, which is not in index\.csv"):
        score_retrieval(found, solution, index)
    with pytest.raises(UserError, match=r"has t3, which is not in test\.csv"):
        score_retrieval(found, solution, test=test)


def test_a_pipe_keeps_nobody_waiting(tmp_path):
    (solution,) = written(tmp_path, solution=RETRIEVAL)
    os.mkfifo(tmp_path / "found.csv")
    with pytest.raises(UserError, match=r"found\.csv \(it is no regular file\); give a csv file"):
        score_retrieval(tmp_path / "found.csv", solution)


def test_the_command_ends_with_a_line_and_2(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "src/evaluation/gldv2_score.py"), "retrieval",
         "--solution", "nowhere.csv", "found.csv"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    line = "error: cannot read nowhere.csv (No such file or directory); give a csv file\n"
    assert done.stderr == line
