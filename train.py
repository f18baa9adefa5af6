"""Train a stage of DELF: python3 train.py --train_state=tuning [--name=value ...]."""

from __future__ import annotations

if __name__ == "__main__":  # by any Python
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import logging

from model_utils.config import load_config
from model_utils.modelarts import modelarts_job
from model_utils.worker_group import is_scheduler, join_group
from src.common.errors import run_command

LOG = logging.getLogger(__name__)


def main() -> None:
    """Read the configuration, train, report."""
    config = load_config(description=__doc__)
    if is_scheduler():
        join_group()  # until the job has ended
    # MindSpore takes seconds to import: --help does not wait.
    from src.training.loop import train
    from src.training.settings import TrainingSettings

    with modelarts_job(config) as job:
        result = train(TrainingSettings.from_config(job.config), job.copy_out)
    accuracy = "" if result.accuracy is None else f", validation accuracy {result.accuracy:.4f}"
    where = "" if result.checkpoint is None else f", checkpoint {result.checkpoint}"
    LOG.info("done: loss %.5f%s%s", result.loss, accuracy, where)


if __name__ == "__main__":
    run_command(main)
