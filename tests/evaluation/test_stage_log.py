"""The log of a stage: begun anew, but never under the hands of another process."""

import logging

import pytest

from src.common.errors import UserError
from src.evaluation.stage_log import stage_log
from tests.helpers.other_process import OtherProcess

LOG = logging.getLogger(__name__)

OTHER = """
import logging
from src.evaluation.stage_log import stage_log
logging.basicConfig(level=logging.INFO)
with stage_log(sys.argv[1]):
    logging.info("the other begins")
    print("began", flush=True)
    sys.stdin.readline()
    logging.info("the other ends")
"""


def said(path):
    return [line.split(" INFO ")[-1] for line in path.read_text().splitlines()]


def test_a_second_evaluation_writes_behind_the_first(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "extract_feature.log"
    path.write_text("an older one\n")
    with OtherProcess(OTHER, path) as other:
        other.says("began")
        assert said(path) == ["the other begins"]
        with pytest.raises(UserError), stage_log(path):
            LOG.info("mine")
            raise UserError("no photos;\nsay where")
        assert other.finish()[0] == 0
    assert said(path) == [
        "the other begins",
        "mine",
        "error: no photos; say where",
        "the other ends",
    ]
    with stage_log(path):
        LOG.info("alone again")
    LOG.info("behind it")
    assert said(path) == ["alone again"]
