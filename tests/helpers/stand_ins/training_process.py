"""A process of a job, for tests: does what it is told on standard input, a word or two a line.

Called with the settings as JSON. `enter` begins the job, `write NAME` writes a checkpoint; `end`,
`exit`, `fail` and `interrupt` end it. Each is answered by a line, but for the last.
"""

import json
import logging
import sys
from pathlib import Path

from model_utils.config import Config
from model_utils.modelarts import modelarts_job


def commands():
    for line in sys.stdin:
        yield line.split()
        print("done", flush=True)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    told = commands()
    assert next(told) == ["enter"]
    with modelarts_job(Config(**json.loads(sys.argv[1]))) as job:
        for word, *names in told:
            if word == "end":
                break
            if word == "exit":
                sys.exit(0)
            if word == "fail":
                raise ValueError("the loss is no number")
            if word == "interrupt":
                raise KeyboardInterrupt
            folder = Path(job.config.save_ckpt)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / names[0]).write_text(names[0])


main()
