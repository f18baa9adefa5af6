"""Settings as keyword arguments, and where weights and results lie by default."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from model_utils.config import Config, load_config
from model_utils.environment import PROJECT_ROOT, kept_root
from src.common.errors import UserError
from src.downloads.weights import WEIGHTS_NAME

#: What a search changes of delf_config.yaml.
SEARCH = PROJECT_ROOT / "scripts" / "search.yaml"


def settings_of(given: Mapping[str, Any]) -> Config:
    """Return the settings of a search with some of them changed.

    Weights that are not named are the ImageNet weights, which are got where they are not there.

    Args:
        given: values by the names of delf_config.yaml; None leaves a setting as it is.

    Raises:
        UserError: a name is no setting, or its value is out of its bounds; the weights cannot be
            got.
    """
    check_names(given)
    values = {name: value for name, value in given.items() if value is not None}
    if not values.keys() & {"checkpoint_path", "mindir_path"}:
        values["checkpoint_path"] = weights_at_hand()
    texts = [f"--{name}={_text(value)}" for name, value in values.items()]
    return load_config(texts, config_path=str(SEARCH))


def check_names(given: Iterable[str]) -> None:
    """Raise `UserError` unless all are names of settings: before photos are looked for."""
    strange = sorted(set(given) - _names())
    if strange:
        raise UserError(f"{strange[0]} is no setting; delf_config.yaml names and explains them all")


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(vars(load_config([], config_path=str(SEARCH))))


def weights_at_hand() -> Path:
    """Return the file of the ImageNet weights, which are got where they are not there.

    Raises:
        UserError: they cannot be got.
    """
    path = kept_root() / WEIGHTS_NAME
    if not path.is_file():
        from src.downloads.pretrained import main

        path.parent.mkdir(parents=True, exist_ok=True)
        main(["--weights_only", f"--output={path}"])
    return path


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
