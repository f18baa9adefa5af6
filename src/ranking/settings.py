"""How a query is ranked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from model_utils.bounds import check_fields
from src.ranking.geometry import VerifySettings


@dataclass(frozen=True)
class RetrievalSettings:
    """How a query is ranked.

    Attributes:
        neighbours: nearest descriptors of the index that each query descriptor votes for.
        single_match: a query feature votes once for an image, for its nearest feature there, so
            that it is not its own witness when many alike lie side by side.
        shortlist: most images that are verified, those with the most votes; 0 = every voted one.
        inlier_weight: how many times the votes of inliers count beyond the first time.
        expansion_images: most images whose votes are added to the query's; 0 = none.
        expansion_inliers: an image needs as many inliers for that.
        expansion_features: most features that such an image votes with.
        by_inliers: rank as published, by the number of inliers, then by the number of votes.
        verify: how the matches of a voted image are verified.

    Raises:
        UserError: when one of the numbers makes no sense.
    """

    neighbours: int = 60
    single_match: bool = True
    shortlist: int = 100
    inlier_weight: float = 2.0
    expansion_images: int = 3
    expansion_inliers: int = 25
    expansion_features: int = 200
    by_inliers: bool = False
    verify: VerifySettings = field(default_factory=VerifySettings)

    def __post_init__(self) -> None:
        check_fields(self, {"neighbours": "num_neighbors"})

    @classmethod
    def plain(cls) -> RetrievalSettings:
        """Return the settings of the published retrieval: inliers alone, of any map."""
        return cls(
            single_match=False,
            shortlist=0,
            expansion_images=0,
            by_inliers=True,
            verify=VerifySettings(max_scale=0),
        )

    @classmethod
    def from_config(cls, config: Any) -> RetrievalSettings:
        """Return the settings of a configuration."""
        if config.plain_ranking:
            settings = cls.plain()
        else:
            settings = cls(
                shortlist=config.shortlist,
                inlier_weight=config.inlier_weight,
                expansion_images=config.expansion_images,
                expansion_inliers=config.expansion_inliers,
                expansion_features=config.expansion_features,
            )
        verify = replace(
            settings.verify, threshold=config.inlier_threshold, max_trials=config.ransac_trials
        )
        return replace(settings, neighbours=config.num_neighbors, verify=verify)
