"""What padding costs on a device with static shapes: pixels computed over pixels of the photos.

For photos of the usual shapes and the default pyramid, for sides that a person may set as
`static_sides`. The number of sizes is the number of graphs that may have to be compiled, twice (a
full batch, and one level alone). Nothing is run.

    python benchmarks/padded_pixels.py
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import itertools
from collections.abc import Sequence

from src.common.errors import run_command
from src.delf_config import DelfConfig
from src.describe.engines.static_batches import StaticPlan
from src.extract_utils_np import pyramid_level_sizes

#: Photos (height, width): 4:3 lying and standing, 3:2, 16:9, square, and a small one.
PHOTOS = ((768, 1024), (1024, 768), (683, 1024), (576, 1024), (1024, 1024), (375, 500))
SIDES = (256, 362, 512, 724, 1024, 1448)


def _levels(photo: tuple[int, int], config: DelfConfig) -> list[tuple[int, int]]:
    return [(size.height, size.width) for size in pyramid_level_sizes(*photo, config)]


def _ratio(plan: StaticPlan, levels: Sequence[tuple[int, int]]) -> float:
    padded = (plan.size_for(*level) for level in levels)
    return sum(h * w for h, w in padded) / sum(h * w for h, w in levels)


def main() -> None:
    """Print the best choice of so many sides, and what one size and all sizes would cost."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    config = DelfConfig()
    levels = [_levels(photo, config) for photo in PHOTOS]
    every = [level for photo in levels for level in photo]
    shapes = "  ".join(f"{width}x{height}" for height, width in PHOTOS)
    print(f"one size, {config.max_level_side} square: ", end="")
    square = StaticPlan(((config.max_level_side,) * 2,), 7)
    print("  ".join(f"{_ratio(square, photo):.2f}" for photo in levels))
    print(f"sizes  static_sides              all   {shapes}")
    for count in range(len(SIDES) + 1):
        plans = {
            sides: StaticPlan.of(sides, config.max_level_side, 7)
            for sides in itertools.combinations(SIDES, count)
        }
        sides, plan = min(plans.items(), key=lambda item: _ratio(item[1], every))
        row = "  ".join(f"{_ratio(plan, photo):.2f}" for photo in levels)
        print(f"{len(plan.sizes):5}  {list(sides)!s:24}  {_ratio(plan, every):.2f}  {row}")


if __name__ == "__main__":
    run_command(main)
