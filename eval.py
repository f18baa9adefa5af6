"""Evaluate DELF: mAP of a photo collection with ground truth, or the match of two photos.

python3 eval.py --images_path=PHOTOS --gt_path=GROUND_TRUTH --checkpoint_path=CKPT
python3 eval.py --eval_task=match --images_path=PHOTOS --checkpoint_path=CKPT
"""

from __future__ import annotations

if __name__ == "__main__":  # by any Python
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

from model_utils.config import load_config
from src.common.errors import run_command


def main() -> None:
    """Read the configuration, evaluate, print the result."""
    config = load_config(description=__doc__.splitlines()[0])
    # Imported here because MindSpore takes seconds: not for --help.
    from src.evaluation.retrieval import evaluate_retrieval
    from src.evaluation.settings import EvaluationSettings, MatchTaskSettings
    from src.evaluation.two_photos import match_two_photos

    if config.eval_task == "match":
        match = match_two_photos(MatchTaskSettings.from_config(config))
        print(f"{match.inlier_count} inliers; see {config.match_output}")
    else:
        print(evaluate_retrieval(EvaluationSettings.from_config(config)).text(), end="")


if __name__ == "__main__":
    run_command(main)
