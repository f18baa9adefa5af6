"""What a search of a folder is told, taken out of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.describe.recipe import DescribeSettings
from src.index.choice import IndexSettings
from src.ranking.settings import RetrievalSettings


@dataclass(frozen=True)
class SearchSettings:
    """How a folder of photos is described, indexed and ranked.

    Attributes:
        work_path: where all that is kept lies.
        describe: how photos are described.
        index: kind of index.
        retrieval: how images are ranked.
    """

    work_path: Path
    describe: DescribeSettings
    index: IndexSettings
    retrieval: RetrievalSettings

    @classmethod
    def from_config(cls, config: Any) -> SearchSettings:
        """Take what concerns the search out of the configuration."""
        return cls(
            Path(config.work_path),
            DescribeSettings.from_config(config),
            IndexSettings.from_config(config),
            RetrievalSettings.from_config(config),
        )
