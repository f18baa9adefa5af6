"""Which models the runtime of the C++ program reads: it is asked."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from src.common.atomic_files import PathLike

# What MindSpore's reader of models says of a newer one, from release 2.0 to 2.10 at least
# (mindspore/core/load_mindir/load_model.cc).
_REFUSAL = re.compile(rb"the maximum mind ir version: (\d+)")


def newest_readable(version: int, program: PathLike) -> int:
    """Return the newest version of MindIR that the runtime reads, `version` at most.

    The runtime checks the version before anything else, so a model that holds nothing but its
    version is enough. That takes a third of a second; a whole model may be compiled for minutes.

    Args:
        version: of the model that is to run.
        program: the executable.
    """
    from mindspore.train.mind_ir_pb2 import ModelProto

    head = ModelProto(
        mind_ir_version=version, ir_version="1", producer_name="MindSpore", model_version="1"
    )
    with tempfile.TemporaryDirectory(prefix="delf-") as folder:
        model = Path(folder, "head.mindir")
        model.write_bytes(head.SerializeToString())
        try:
            said = subprocess.run(
                [str(program), f"--model={model}"],  # on a CPU: no device is needed to refuse
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={**os.environ, "GLOG_v": "3"},  # errors are said
            ).stderr
        except OSError:  # whoever starts it in earnest says why
            return version
    refusal = _REFUSAL.search(said)
    return min(version, int(refusal[1])) if refusal else version
