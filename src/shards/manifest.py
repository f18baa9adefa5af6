"""What a data set says of itself: `dataset.json`, written last by the build, and read with it.

Whether a set is whole cannot be seen from what is there of it: the manifest says what has to be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.common.digests import sha256_of
from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.json_files import Count, read_shape

MANIFEST = "dataset.json"
FORMAT = 1
WORK = ".building"  # sub-folder of a data set's folder while a build is under way


@dataclass(frozen=True)
class Counts:
    """What a data set holds, as its manifest says."""

    train: Count
    validation: Count
    classes: Count


@dataclass(frozen=True)
class ManifestFile:
    """The shape of `dataset.json`: see `Manifest`, and `write_manifest` for the rest."""

    format: int
    shards: dict[str, Count]
    counts: Counts
    sha256: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a data set consists of.

    Attributes:
        path: of `dataset.json`.
        shards: number of photos in each shard, by its name.
        classes: number of labels.
        digests: sha256 of the files beside the shards, by their names; sets built before these were
            noted have none.
    """

    path: Path
    shards: dict[str, int]
    classes: int
    digests: dict[str, str]

    def check_present(self, kind: str, present: Iterable[str]) -> None:
        """Make sure that all the listed shards of a kind are there, and no others.

        Args:
            kind: what their names begin with, say `train.mindrecord`.
            present: the names of the shards of this kind that are there.

        Raises:
            UserError: one is missing or does not belong to the set.
        """
        present = set(present)
        listed = [name for name in self.shards if name.startswith(kind)]
        missing = [name for name in listed if name not in present]
        if missing:
            raise UserError(
                f"{len(missing)} of the {len(listed)} shards of {kind} that {self.path} lists are "
                f"missing ({', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}); copy or "
                "build the data set again"
            )
        for name in sorted(present.difference(listed)):
            raise self._unlisted(name)

    def check_photos(self, shard: Path, photos: int) -> None:
        """Make sure that a shard holds as many photos as it was built with.

        Raises:
            UserError: it does not, or it is no shard of this set.
        """
        wanted = self.shards.get(shard.name)
        if wanted is None:
            raise self._unlisted(shard.name)
        if photos != wanted:
            raise UserError(
                f"{shard} holds {photos} photos, but {self.path} lists it with {wanted}; copy or "
                "build the data set again"
            )

    def check_digest(self, file: Path) -> None:
        """Make sure that a file beside the shards holds what the build has written.

        Raises:
            UserError: it does not.
        """
        wanted = self.digests.get(file.name)
        if wanted is not None and sha256_of(file) != wanted:
            raise UserError(
                f"{file} is not the file that {self.path} was written with: it is damaged or of "
                "another data set; copy or build the data set again"
            )

    def _unlisted(self, name: str) -> UserError:
        return UserError(
            f"{self.path} does not list {name}, which lies beside it: it is of another data set; "
            "move it away"
        )


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of the data set in a folder; None where there is none.

    Raises:
        UserError: it cannot be read or contradicts itself, or there is none yet, since a build is
            under way or was interrupted.
    """
    path = folder / MANIFEST
    try:
        content = read_shape(path, ManifestFile)
        for split in ("train", "validation"):
            said = getattr(content.counts, split)
            photos = sum(count for name, count in content.shards.items() if name.startswith(split))
            if photos != said:
                raise ValueError(f"{said} {split} photos, but {photos} in the shards")
    except FileNotFoundError:
        if (folder / WORK / MANIFEST).exists():
            raise UserError(
                f"the build of the data set in {folder} was interrupted while its shards were "
                "moved there; run src/build_image_dataset.py again, which finishes it"
            ) from None
        return None
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(
            f"{path} is damaged or was not written by src/build_image_dataset.py "
            f"({one_line(error)}); copy it again, or move it away if the shards are of another "
            "program"
        ) from error
    if content.format != FORMAT:
        raise UserError(
            f"{path} is of format {content.format}, which this version of the project does not know"
        )
    return Manifest(path, content.shards, content.counts.classes, content.sha256)
