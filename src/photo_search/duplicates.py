"""Photos of one thing: the same file, the same picture, the same building."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.common.atomic_files import PathLike, write_csv
from src.pages.groups import ShownGroup, ShownPhoto, write_groups
from src.pages.look import counted
from src.photo_search.links import Link, LinkFinder
from src.ranking.grouping import grouped

#: Kinds of groups, the strictest first.
SAME_FILE, NEAR_DUPLICATE, SAME_BUILDING = "same file", "near-duplicate", "same building"
KINDS = (SAME_FILE, NEAR_DUPLICATE, SAME_BUILDING)
TABLE_NAME = "duplicates.csv"
_MEANING = (
    "Same file: equal byte for byte. Near-duplicate: one picture, made smaller, compressed again, "
    "brighter or with another margin. Same building: one affine map takes many points of the one "
    "to the other."
)


@dataclass(frozen=True)
class Member:
    """A photo of a group.

    Attributes:
        name: path inside the folder.
        path: of its file.
        like: name of the photo of the group that it is most like.
        kind: one of `KINDS`: how it is like that photo.
        confidence: that both show the same thing; 1 for one file, None where nobody can tell.
        inliers: points that agree between them.
    """

    name: str
    path: Path
    like: str
    kind: str
    confidence: float | None
    inliers: int


@dataclass(frozen=True)
class Group:
    """Photos of one thing.

    Attributes:
        number: from 1, the largest group first.
        kind: one of `KINDS`, the strictest that all its photos are of.
        members: at least two photos; what is the same file or picture stands side by side.
    """

    number: int
    kind: str
    members: tuple[Member, ...]


def find_groups(finder: LinkFinder) -> list[Group]:
    """Group the photos of a collection by the thing they show.

    In three steps, each over what the one before has joined: files of the same bytes, photos that
    are one picture, photos that show the same (`grouping.grouped` says when).

    Args:
        finder: asks the photos.

    Raises:
        UserError: features or the index are damaged.
    """
    links = finder.links()
    files = list(finder.twins.values())
    reach = finder.retrieval.shortlist or len(files)
    number_of = {names[0]: number for number, names in enumerate(files)}
    pairs = [(number_of[link.first], number_of[link.second]) for link in links]
    duplicates = [pair for pair, link in zip(pairs, links) if link.is_duplicate]
    pictures = grouped(len(files), duplicates, reach)
    picture_of = {file: number for number, of in enumerate(pictures) for file in of}
    between = dict.fromkeys(
        (min(ends), max(ends))
        for ends in (tuple(picture_of[file] for file in pair) for pair in pairs)
        if ends[0] != ends[1]
    )
    things = grouped(len(pictures), list(between), reach)
    thing_of = {
        file: number for number, of in enumerate(things) for each in of for file in pictures[each]
    }
    best = _best_links(
        [link for link, ends in zip(links, pairs) if thing_of[ends[0]] == thing_of[ends[1]]]
    )
    groups = []
    for thing in things:
        parts = [[files[file] for file in pictures[picture]] for picture in thing]
        if sum(len(names) for picture in parts for names in picture) > 1:
            groups.append(_group(finder, parts, best))
    groups.sort(key=lambda group: (-len(group.members), group.members[0].name))
    return [Group(number, group.kind, group.members) for number, group in enumerate(groups, 1)]


def _best_links(links: Sequence[Link]) -> dict[str, tuple[str, Link]]:
    """Return for each photo the one that it is most like and the link between them."""
    best: dict[str, tuple[str, Link]] = {}
    for link in links:  # the best first
        best.setdefault(link.first, (link.second, link))
        best.setdefault(link.second, (link.first, link))
    return best


def _group(
    finder: LinkFinder, parts: list[list[list[str]]], best: dict[str, tuple[str, Link]]
) -> Group:
    """Return a group of pictures, each of files, each of names."""
    members = [
        _member(finder, name, names, best)
        for picture in parts
        for names in picture
        for name in names
    ]
    kind = NEAR_DUPLICATE if len(parts) == 1 else SAME_BUILDING
    return Group(0, SAME_FILE if len(parts) == len(parts[0]) == 1 else kind, tuple(members))


def _member(
    finder: LinkFinder, name: str, names: list[str], best: dict[str, tuple[str, Link]]
) -> Member:
    """Return what is said of a photo, given the names of its file."""
    path = finder.file(name)
    others = [other for other in names if other != name]
    if others:
        return Member(name, path, others[0], SAME_FILE, 1.0, finder.feature_count(name))
    other, link = best[name]
    kind = NEAR_DUPLICATE if link.is_duplicate else SAME_BUILDING
    return Member(name, path, other, kind, link.confidence, link.inliers)


def write_report(folder: PathLike, photos: Path, count: int, groups: Sequence[Group]) -> Path:
    """Write the page and the table of groups.

    Args:
        folder: of both; the table is `duplicates.csv`: group, kind, name, confidence, inliers, and
            the name of the photo that each is most like.
        photos: the folder that was looked through.
        count: of its photos.
        groups: what was found.

    Returns:
        The page.
    """
    header = ("group", "kind", "name", "confidence", "inliers", "like")
    rows = [
        (number, each.kind, each.name, _number(each.confidence), each.inliers, each.like)
        for number, each in ((group.number, each) for group in groups for each in group.members)
    ]
    write_csv(Path(folder) / TABLE_NAME, header, rows)
    shown = [
        ShownGroup(
            f"{group.number}. {group.kind}, {len(group.members)} photos",
            [ShownPhoto(each.path, each.name, _note(each)) for each in group.members],
        )
        for group in groups
    ]
    lead = [
        f"{summary(groups, count)}. {_MEANING}",
        f"The same as a table: {TABLE_NAME}. A picture leads to its file.",
    ]
    return write_groups(folder, f"Photos of one thing in {photos.name}", lead, shown)


def summary(groups: Sequence[Group], count: int) -> str:
    """Return in a line what was found among so many photos."""
    grouped_photos = sum(len(group.members) for group in groups)
    kinds = Counter(group.kind for group in groups)
    told = ", ".join(f"{kind}: {kinds[kind]}" for kind in KINDS if kinds[kind])
    found = f"{counted(len(groups), 'group')} of {counted(grouped_photos, 'photo')}"
    return f"{found} among {count}" + (f" ({told})" if told else "")


def _note(member: Member) -> str:
    if member.kind == SAME_FILE:
        return f"{SAME_FILE} as {member.like}"
    sure = ""
    if member.confidence is not None:
        # Never 0 or 100: it is an estimate.
        sure = f"{min(max(round(100 * member.confidence), 1), 99)} % · "
    return f"{member.kind}, like {member.like}: {sure}{counted(member.inliers, 'inlier')}"


def _number(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.4f}"
