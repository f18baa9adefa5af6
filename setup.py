"""Builds the wheel: the project becomes one package, `delf`, with the house inside it.

In the clone the rooms are imported as `src`, `model_utils` and `sample_world`, names that another
project may have too. In the wheel they are `delf.house.src` and so on: the import lines are written
for that here, and nothing else is changed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
HOUSE = "delf.house"
CODE = ("src", "model_utils", "sample_world", "train.py", "eval.py", "export.py")
FILES = ("delf_config.yaml", "pca", "weights", "ascend310_infer", "scripts/*.yaml")
_IMPORT = re.compile(r"^(\s*(?:from|import) )(src|model_utils|sample_world)(?=[.\s])", re.MULTILINE)


def housed(code: str) -> str:
    """Return code whose imports of the project's rooms go to the package's.

    >>> housed("from src.common.errors import UserError")
    'from delf.house.src.common.errors import UserError'
    """
    return _IMPORT.sub(rf"\g<1>{HOUSE}.\g<2>", code)


class BuildHouse(build_py):
    """Puts the house into the package."""

    def run(self) -> None:
        """Build the package, then the house inside it."""
        super().run()
        package = Path(self.build_lib, "delf")
        for path in package.glob("*.py"):
            _rewrite(path)
        house = package / "house"
        if house.exists():
            shutil.rmtree(house)
        house.mkdir()
        (house / "__init__.py").write_text('"""The project\'s rooms."""\n', encoding="utf-8")
        for pattern in (*CODE, *FILES):
            for source in ROOT.glob(pattern):
                target = house / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, ignore=_left_out)
                else:
                    shutil.copyfile(source, target)
        for path in house.rglob("*.py"):
            _rewrite(path)


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Leave out what Python and builds have left behind."""
    left_out = ("__pycache__", "build", "out", "build-sanitize", "out-sanitize")
    return {name for name in names if name in left_out}


def _rewrite(path: Path) -> None:
    path.write_text(housed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildHouse})
