"""DELF on MindSpore from Python: search a folder of photos, describe a photo, match two.

    from delf import PhotoSearch
    photos = PhotoSearch("holiday/")
    for hit in photos.find("query.jpg", top=5):
        print(hit.path, hit.confidence, hit.inliers)

    from delf import describe, match
    features = describe("query.jpg")  # locations [N, 2], descriptors [N, 40], …
    print(match("a.jpg", "b.jpg").inlier_count)

    for group in photos.duplicates():  # the same file, near-duplicates, the same building
        print(group.kind, [member.name for member in group.members])

Deep local features with attention: Noh et al., ICCV 2017. Nothing is loaded before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from delf.photos import Hit, PhotoSearch
    from delf.single import Features, PairMatch, attention, describe, match
    from src.common.errors import UserError

__version__ = "1.0.0"

_PLACES = {
    "PhotoSearch": "photos",
    "Hit": "photos",
    "describe": "single",
    "match": "single",
    "attention": "single",
    "Features": "single",
    "PairMatch": "single",
    "UserError": "photos",
}
__all__ = [
    "Features",
    "Hit",
    "PairMatch",
    "PhotoSearch",
    "UserError",
    "__version__",
    "attention",
    "describe",
    "match",
]


def __getattr__(name: str) -> Any:
    """Load a part of the package when it is first asked for (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """List what there is, loaded or not."""
    return sorted(__all__)
