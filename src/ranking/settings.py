"""How a query is ranked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from model_utils.bounds import check_fields
from src.common.errors import UserError
from src.feature_io import Features
from src.index.choice import TWO_STAGE_IMAGES
from src.index.folder import AnyIndex
from src.ranking.geometry import VerifySettings

#: In collections too small for all neighbours there is one for so many images, and at least these.
IMAGES_A_NEIGHBOUR = 4
LEAST_NEIGHBOURS = 5


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
        global_weight: how much the similarity of global descriptors counts beside the share of the
            votes, where query and images have one; 0 = not at all.
        rerank_images: of how many images, the best ones, the global descriptors are refined.
        query_rotations: the degrees, counter-clockwise, by which a query is turned, with commas
            between them; whatever they are, it is asked for upright, too. "auto": by each of 90,
            180 and 270 where nothing convincing was found upright.
        search_kind: "local": all features of the index vote; "two_stage": those of the images whose
            global descriptors are most like the query's; "auto": two stages in large collections.
        candidate_images: how many images the first stage finds.
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
    global_weight: float = 2.0
    rerank_images: int = 1000
    query_rotations: str = "auto"
    search_kind: str = "auto"
    candidate_images: int = 300
    by_inliers: bool = False
    verify: VerifySettings = field(default_factory=VerifySettings)

    def __post_init__(self) -> None:
        check_fields(self, {"neighbours": "num_neighbors"})
        _ = self.turns

    @property
    def turns(self) -> tuple[int, ...]:
        """By how many quarters, counter-clockwise, a query is turned; upright goes without saying.

        Raises:
            UserError: `query_rotations` is neither "auto" nor a list of right angles.
        """
        if self.query_rotations == "auto":
            return (1, 2, 3)
        degrees = {part.strip() for part in self.query_rotations.split(",")}
        wrong = sorted(degrees - {"0", "90", "180", "270"})
        if wrong:
            raise UserError(
                f"query_rotations is {self.query_rotations!r}; give auto, or some of 0, 90, 180 "
                "and 270 with commas between them"
            )
        return tuple(sorted(int(each) // 90 for each in degrees if each != "0"))

    def is_two_stage(self, index: AnyIndex, has_global: bool = True) -> bool:
        """Tell whether an index is searched in two stages; without global descriptors none is.

        Args:
            index: the index.
            has_global: whether the query has a global descriptor.

        Raises:
            UserError: it cannot be searched otherwise, and settings or query do not allow that.
        """
        if index.is_two_stage and not has_global:
            raise UserError(
                f"the index {index.folder} is searched by global descriptors first, and the query "
                "has none; describe it with the settings of the photos"
            )
        wants_local = self.search_kind == "local" or not self.global_weight
        if index.is_two_stage and wants_local:
            raise UserError(
                f"in the index {index.folder} not all local features can vote, as search_kind "
                "local, global_weight 0 and plain_ranking want it; take search_kind=auto, or make "
                "another index with index_kind=ivf"
            )
        if not index.has_globals or not has_global or wants_local:
            return False
        is_large = index.is_two_stage or index.image_count > TWO_STAGE_IMAGES
        return is_large or self.search_kind == "two_stage"

    def fitted(self, index: AnyIndex, features: Features) -> RetrievalSettings:
        """Return the settings for an index and a query; by local features alone they stay.

        In a small collection 60 neighbours of a feature are votes for everything.
        """
        if features.global_descriptor is None or not index.has_globals:
            return replace(self, global_weight=0.0)
        if not self.global_weight:
            return self
        few = max(index.image_count // IMAGES_A_NEIGHBOUR, LEAST_NEIGHBOURS)
        return replace(self, neighbours=min(self.neighbours, few))

    @classmethod
    def plain(cls) -> RetrievalSettings:
        """Return the settings of the published retrieval: inliers alone, of any map."""
        return cls(
            single_match=False,
            shortlist=0,
            expansion_images=0,
            global_weight=0.0,
            query_rotations="0",
            search_kind="local",
            by_inliers=True,
            verify=VerifySettings(max_scale=0, diagonal=0),
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
                global_weight=config.global_weight,
                rerank_images=config.rerank_images,
                query_rotations=str(config.query_rotations),
                search_kind=config.search_kind,
                candidate_images=config.candidate_images,
            )
        verify = replace(
            settings.verify, threshold=config.inlier_threshold, max_trials=config.ransac_trials
        )
        return replace(settings, neighbours=config.num_neighbors, verify=verify)
