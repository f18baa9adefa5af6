"""A small Google Landmarks v2, and its shards read back."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import numpy as np
from mindspore.mindrecord import FileReader
from PIL import Image

from src.shards.build import BuildSettings, build_image_dataset


def picture(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


class Landmarks:
    """A small Google Landmarks v2: landmark ids 7, 30, 31, …, photos in a/b/c/."""

    def __init__(self, root: Path, sizes=(6, 5, 1)):
        self.root = root
        self.photos = root / "train"
        self.classes: dict[int, list[str]] = {}
        self.train_rows: dict[str, int] = {}
        number = 0
        for index, size in enumerate(sizes):
            landmark = 7 if index == 0 else 29 + index
            for _ in range(size):
                name = hashlib.md5(str(number).encode()).hexdigest()[:16]
                self.add(landmark, name, encoded(picture(number), quality=85))
                number += 1

    def add(self, landmark: int, name: str, data: bytes | None, ending: str = ".jpg") -> None:
        self.classes.setdefault(landmark, []).append(name)
        self.train_rows[name] = landmark
        if data is not None:
            path = self.path(name, ending)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def path(self, name: str, ending: str = ".jpg") -> Path:
        return self.photos / name[0] / name[1] / name[2] / (name + ending)

    def write_tables(self) -> None:
        lines = ["landmark_id,images"]
        lines += [f"{landmark},{' '.join(names)}" for landmark, names in self.classes.items()]
        (self.root / "train_clean.csv").write_text("\n".join(lines) + "\n")
        lines = ["id,url,landmark_id", "ffffffffffffffff,http://x/y.jpg,99"]
        lines += [f"{name},,{landmark}" for name, landmark in self.train_rows.items()]
        (self.root / "train.csv").write_text("\n".join(lines) + "\n")

    def build(self, output: str = "out", **options) -> dict:
        self.write_tables()
        options = {"num_workers": 2, "train_csv_path": self.root / "train.csv", **options}
        where = options.pop("where", self.photos)
        table = self.root / "train_clean.csv"
        return build_image_dataset(BuildSettings(table, where, self.root / output, **options))

    def rows(self, split: str, output: str = "out") -> dict[str, tuple[int, bytes]]:
        """See `rows_of`."""
        return self.rows_of(self.root / output, split)

    @staticmethod
    def rows_of(folder: Path, split: str) -> dict[str, tuple[int, bytes]]:
        """Read shards with MindSpore's own reader: file_id → (old label, bytes)."""
        with open(folder / "relabeling.csv", newline="") as file:
            old = {int(row["new_label"]): int(row["old_label"]) for row in csv.DictReader(file)}
        found = {}
        for shard in sorted(folder.glob(f"{split}.mindrecord???")):
            reader = FileReader(str(shard))
            for row in reader.get_next():
                assert row["file_id"] not in found
                found[row["file_id"]] = old[int(row["label"])], bytes(row["data"])
            reader.close()
        return found

    def skipped(self, output: str = "out") -> dict[str, str]:
        with open(self.root / output / "skipped_images.csv", newline="") as file:
            return {row["file_id"]: row["reason"] for row in csv.DictReader(file)}
