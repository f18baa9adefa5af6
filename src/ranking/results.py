"""The results of a retrieval, kept on the disk: one file a query, then the ranks of all."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import write_json, write_npy, write_npz
from src.common.errors import UserError, raise_if_of_system
from src.common.file_names import file_name_for
from src.common.json_files import read_json, shaped
from src.common.npy_format import read_npz
from src.feature_io import check_settings, features_checksum
from src.ranking.one_query import RankedQuery

LOG = logging.getLogger(__name__)

SETTINGS_NAME = "retrieval.json"
_KEPT = ("ranks", "scores", "inliers", "votes", "turns", "similarities")


def begin_results(output: Path, settings: Mapping[str, Any]) -> None:
    """Write down what the results of a folder depend on, or check that it is the same as before.

    Raises:
        UserError: when the folder holds results of other settings.
    """
    path = output / SETTINGS_NAME
    if not path.exists():
        write_json(path, settings)
        return
    try:
        found = shaped(read_json(path), dict[str, Any])
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path} ({error}); delete {output} and run again") from None
    check_settings(found, settings, f"the retrieval in {output}")


def result_path(output: Path, label: str) -> Path:
    """Return where the result of a query is kept, whatever its label is made of."""
    return output / "queries" / f"{file_name_for(label)}.npz"


def write_results(output: Path, results: Mapping[str, RankedQuery]) -> np.ndarray:
    """Write the results of all queries, label → result, in this order; return the ranks."""
    ranks = np.stack([result.ranks for result in results.values()])
    arrays = {"queries": np.array(list(results))}
    for name in _KEPT[1:]:
        arrays[name] = np.stack([getattr(result, name) for result in results.values()])
    write_npz(output / "scores.npz", arrays)
    write_npy(output / "ranks.npy", ranks)
    return ranks


@dataclass(frozen=True)
class QueryTask:
    """One query.

    Attributes:
        label: of the query.
        features: its features' file; a query whose photo could not be read has none.
        result: where its result goes.
        settings: what the result depends on.
        turned: features of its turns.
        photo: the query's own name among the images.
    """

    label: str
    features: Path | None
    result: Path
    settings: dict
    turned: tuple[Path, ...] = ()
    photo: str | None = None

    def fingerprint(self) -> str:
        """Identify everything that the result depends on."""
        content = features_checksum(self.features) if self.features else "unreadable"
        more = [*map(features_checksum, self.turned), *([self.photo] if self.turned else [])]
        parts = [content, *map(str, more), json.dumps(self.settings, sort_keys=True)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def read(self) -> RankedQuery | None:
        """Return the result of an earlier run, None where there is none that still holds."""
        try:
            arrays = read_npz(self.result)
            if str(arrays["fingerprint"]) != self.fingerprint():
                return None
            return RankedQuery(*(arrays[name] for name in _KEPT))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            raise_if_of_system(error, self.result)
            LOG.warning("%s is damaged and is computed again", self.result)
            return None

    def write(self, result: RankedQuery) -> None:
        """Keep a result."""
        kept = {name: getattr(result, name) for name in _KEPT}
        write_npz(self.result, {"fingerprint": np.array(self.fingerprint()), **kept})
