"""What is answered to programs: the forms of the JSON, and how they are made."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from src.common.errors import UserError
from src.describe.tasks import Box
from src.feature_io import Features
from src.pages.query_sheet import Result
from src.photo_search.duplicates import Group
from src.photo_search.open_folder import OpenFolder
from src.ranking.pair import PairMatch
from src.serve.desk import Search, key_of


class Size(BaseModel):
    """Of a photo, in pixels, as it is displayed."""

    width: int
    height: int

    @classmethod
    def of(cls, size: tuple[int, int]) -> Size:
        """Return that of (height, width)."""
        return cls(width=size[1], height=size[0])


class Photo(BaseModel):
    """A photo of the folder."""

    photo: str = Field(description="what it is called in addresses")
    name: str = Field(description="path inside the folder")


class Photos(BaseModel):
    """Some of the photos that can be searched."""

    count: int
    photos: list[Photo]


class Hit(Photo):
    """A photo that a search found."""

    rank: int = Field(description="from 1")
    verdict: str = Field(description='"the same", "perhaps", "not here", or "unknown"')
    confidence: float | None = Field(
        description="probability that it shows the same; null where nobody can tell"
    )
    inliers: int = Field(description="points that one affine map takes from the query to the photo")
    votes: float


class Found(BaseModel):
    """What a search found. With `stream=true` one of these a line, the last one `final`."""

    search: str | None = Field(description="what the search is called; null until it is final")
    final: bool
    size: Size | None = Field(description="of the query; null until it is final")
    caption: str
    hits: list[Hit]


class Match(BaseModel):
    """Which points of a query match which points of a photo."""

    query_size: Size
    photo_size: Size
    inliers: list[tuple[float, float, float, float]] = Field(
        description="x, y in the query, x, y in the photo; in pixels"
    )
    matches: int = Field(description="of which these are the inliers")
    box: tuple[float, float, float, float] | None = Field(
        description="left, top, right, bottom around the inliers in the photo"
    )


class Described(BaseModel):
    """The features of a photo."""

    size: Size
    locations: list[tuple[float, float]] = Field(description="y, x in pixels")
    descriptors: list[list[float]] = Field(description="of unit length")
    scales: list[float]
    scores: list[float]
    global_descriptor: list[float] | None


class Member(Photo):
    """A photo of a group."""

    kind: str = Field(description='"same file", "near-duplicate" or "same building"')
    like: str = Field(description="name of the photo of the group that it is most like")
    confidence: float | None
    inliers: int


class Duplicates(BaseModel):
    """Groups of photos of one thing."""

    ready: bool = Field(description="whether the photos have been compared; POST compares them")
    groups: list[list[Member]] = Field(description="the largest first")


class NotDescribed(BaseModel):
    """A photo that cannot be searched."""

    name: str
    reason: str


class State(BaseModel):
    """How far the work on the folder is."""

    folder: str = Field(description="its name")
    what: str = Field(
        description='what is done at the moment, such as "describing"; "" for nothing'
    )
    done: int
    total: int
    seconds_left: float | None
    photos: int = Field(description="that are there")
    searchable: int = Field(description="that a search finds now")
    trouble: str = Field(description='why the last work failed, or ""')
    failed: list[NotDescribed]
    most_bytes: int = Field(description="of a photo that is sent")


def hits_of(results: tuple[Result, ...]) -> list[Hit]:
    """Return what was found, as it is answered."""
    return [
        Hit(
            photo=key_of(result.name),
            name=result.name,
            rank=result.rank,
            verdict=result.verdict,
            confidence=result.probability,
            inliers=int(result.inliers),
            votes=float(result.votes),
        )
        for result in results
    ]


def found_of(search: Search) -> Found:
    """Return a search that was made, as it is answered."""
    return Found(
        search=search.key,
        final=True,
        size=Size.of(search.size),
        caption=search.answer.caption,
        hits=hits_of(search.answer.results),
    )


def match_of(search: Search, match: PairMatch, photo_size: tuple[int, int]) -> Match:
    """Return the matches of a query with a photo, as they are answered."""
    ends = [match.locations_a[match.inliers], match.locations_b[match.inliers]]
    rows = np.concatenate([end[:, ::-1] for end in ends], axis=1).astype(float).round(1).tolist()
    return Match(
        query_size=Size.of(search.size),
        photo_size=Size.of(photo_size),
        inliers=rows,
        matches=len(match.inliers),
        box=match.found_box,
    )


def duplicates_of(groups: list[Group] | None) -> Duplicates:
    """Return groups as they are answered."""
    return Duplicates(
        ready=groups is not None,
        groups=[
            [
                Member(
                    photo=key_of(each.name),
                    name=each.name,
                    kind=each.kind,
                    like=each.like,
                    confidence=each.confidence,
                    inliers=each.inliers,
                )
                for each in group.members
            ]
            for group in groups or []
        ],
    )


def described_of(features: Features, size: tuple[int, int]) -> Described:
    """Return features as they are answered."""
    whole = features.global_descriptor
    return Described(
        size=Size.of(size),
        locations=features.locations.tolist(),
        descriptors=features.descriptors.tolist(),
        scales=features.scales.tolist(),
        scores=features.attention.tolist(),
        global_descriptor=None if whole is None else whole.tolist(),
    )


def state_of(photos: OpenFolder, most_bytes: int, busy: bool, trouble: str) -> State:
    """Return how far the work on a folder is, as it is answered."""
    now = photos.standing()
    path = os.path.join(photos.folder, "")
    return State(
        folder=photos.folder.name or str(photos.folder),
        what=now.what or ("looking" if busy else ""),
        done=now.done,
        total=now.total,
        seconds_left=now.seconds_left,
        photos=now.photos,
        searchable=now.searchable,
        trouble=trouble.replace(path, ""),
        failed=[
            NotDescribed(name=name, reason=reason.replace(path, ""))
            for name, reason in photos.failed.items()
        ],
        most_bytes=most_bytes,
    )


def box_of(text: str | None) -> Box | None:
    """Return (left, top, right, bottom) of "left,top,right,bottom".

    Raises:
        UserError: it is none.
    """
    if not text:
        return None
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left = top = right = bottom = math.nan
    if not (math.isfinite(left + top + right + bottom) and left < right and top < bottom):
        raise UserError("the box is none; give box=LEFT,TOP,RIGHT,BOTTOM in pixels of the query")
    return left, top, right, bottom


def line_of(found: Found | dict[str, Any]) -> str:
    """Return a line of JSON."""
    import json

    content = found.model_dump(mode="json") if isinstance(found, BaseModel) else found
    return json.dumps(content, allow_nan=False) + "\n"
