"""Export DELF as MindIR: python3 export.py --device_id=0 --ckpt_path=CKPT [--name=value ...]."""

from __future__ import annotations

if __name__ == "__main__":  # by any Python
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

from model_utils.config import load_config
from src.common.errors import UserError, run_command


def main() -> None:
    """Read the configuration and export to the current folder."""
    config = load_config(description=__doc__)
    if not config.ckpt_path:
        raise UserError("ckpt_path is not set; give --ckpt_path=CHECKPOINT of the attn stage")
    # MindSpore takes seconds to import: not for --help.
    from src.network.export import ExportSettings, export_model

    print(export_model(config.ckpt_path, config.file_name, ExportSettings.from_config(config)))


if __name__ == "__main__":
    run_command(main)
