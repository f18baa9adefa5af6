"""What an evaluation is told, taken out of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_utils.bounds import check_fields
from src.common.errors import UserError
from src.describe.engines.lite_program import TIME_FILE
from src.describe.recipe import DescribeSettings
from src.index.choice import IndexSettings
from src.pages.match_picture import PICTURE_SUFFIXES
from src.ranking.settings import RetrievalSettings


@dataclass(frozen=True)
class EvaluationSettings:
    """What is evaluated, how, and where the results go.

    Attributes:
        images_path: folder of the photos.
        gt_path: ground truth: a folder of text files, or a pickle.
        distractors_path: folders of distractors, with commas between them.
        protocol: a name, or "auto".
        crop_queries: None for what the protocol says.
        missing_images: "refuse" or "ignore" listed images that do not exist.
        work_path: where features, indexes and ranks are kept.
        map_output: the table.
        result_page: whether a page is made beside it.
        retrieval_workers: processes of the search.
        describe: how photos are described.
        index: kind of index.
        retrieval: how images are ranked.

    Raises:
        UserError: a number is out of its bounds.
    """

    images_path: str
    gt_path: str
    distractors_path: str
    protocol: str
    crop_queries: bool | None
    missing_images: str
    work_path: Path
    map_output: str
    result_page: bool
    retrieval_workers: int
    describe: DescribeSettings
    index: IndexSettings
    retrieval: RetrievalSettings

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_config(cls, config: Any) -> EvaluationSettings:
        """Take what concerns an evaluation out of the configuration.

        Raises:
            UserError: photos or ground truth are not set, or a setting is out of its range.
        """
        require(config, "images_path", "gt_path")
        return cls(
            config.images_path,
            config.gt_path,
            config.distractors_path,
            config.protocol,
            {"auto": None, "True": True, "False": False}[config.crop_queries],
            config.missing_images,
            Path(config.work_path),
            config.map_output,
            config.result_page,
            config.retrieval_workers,
            DescribeSettings.from_config(config, TIME_FILE),
            IndexSettings.from_config(config),
            RetrievalSettings.from_config(config),
        )


@dataclass(frozen=True)
class MatchTaskSettings:
    """Which two photos are matched, how, and where the picture goes.

    Attributes:
        images_path: folder of the photos.
        list_images_path: file with the two names.
        match_output: the picture.
        work_path: where features are kept.
        describe: how photos are described.
        retrieval: how matches are verified.
    """

    images_path: str
    list_images_path: str
    match_output: str
    work_path: Path
    describe: DescribeSettings
    retrieval: RetrievalSettings

    @classmethod
    def from_config(cls, config: Any) -> MatchTaskSettings:
        """Take what concerns the match of two photos out of the configuration.

        Raises:
            UserError: the photos are not set, or a setting is out of its range.
        """
        require(config, "images_path")
        if Path(config.match_output).suffix.lower() not in PICTURE_SUFFIXES:
            raise UserError(
                f"match_output is {config.match_output}; its name should end in one of "
                f"{', '.join(PICTURE_SUFFIXES)}"
            )
        return cls(
            config.images_path,
            config.list_images_path,
            config.match_output,
            Path(config.work_path),
            DescribeSettings.from_config(config, TIME_FILE),
            RetrievalSettings.from_config(config),
        )


def require(config: Any, *names: str) -> None:
    """Raise `UserError` for the first of some settings that is empty."""
    for name in names:
        if not getattr(config, name):
            raise UserError(f"{name} is not set; give --{name}=PATH")
