"""The manifest of a feature folder, packed or not: its images, and what their features are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError, raise_if_of_system
from src.common.json_files import read_json, shaped

FORMAT = 1
MANIFEST_NAME = "features.json"


@dataclass(frozen=True)
class Manifest:
    """What a feature folder holds.

    Attributes:
        images: (name, photo file relative to the photo folder) for every image, sorted by name.
        settings: everything that changes the features, as JSON values.
        failed: the reason for each image without a feature file.
    """

    images: tuple[tuple[str, str], ...]
    settings: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Image names, sorted."""
        return tuple(name for name, _ in self.images)


def write_manifest(folder: PathLike, manifest: Manifest) -> None:
    """Write the manifest of a feature folder; call it last, it says that the folder is complete.

    Raises:
        ValueError: when the images are not sorted by name, or one is named twice.
    """
    names = manifest.names
    if list(names) != sorted(set(names)):
        raise ValueError("the images of a manifest must be sorted by name, each named once")
    write_json(
        Path(folder) / MANIFEST_NAME,
        {
            "format": FORMAT,
            "images": [list(image) for image in manifest.images],
            "settings": manifest.settings,
            "failed": manifest.failed,
        },
    )


def read_manifest(folder: PathLike) -> Manifest:
    """Read the manifest of a feature folder.

    Raises:
        UserError: when there is none, or it is not one of this program.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no complete features (no {MANIFEST_NAME}); "
            "run the feature extraction to its end first"
        ) from None
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path} ({error}); extract the features again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a feature manifest of format {FORMAT}; extract again")
    try:
        manifest = shaped({"failed": None, **content}, Manifest)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); extract again") from None
    if list(manifest.names) != sorted(set(manifest.names)):
        raise UserError(f"{path} lists its images out of order or twice; extract again")
    return manifest
