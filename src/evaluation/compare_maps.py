"""Print several mAP tables side by side.

python3 src/evaluation/compare_maps.py before=A.txt after=B.txt
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
from collections.abc import Mapping

from src.common.errors import UserError, run_command
from src.evaluation.report import read_map_text


def comparison(tables: Mapping[str, Mapping[str, Mapping[str, object]]]) -> str:
    """Return the mAP of each protocol (rows) in each table (columns), in percent.

    Args:
        tables: title → protocol → metrics, as `evaluation_report.read_map_text` returns them.
    """
    protocols = list(next(iter(tables.values())))
    head = ["mAP", *tables]
    rows = [
        [name, *(f"{table[name]['mAP']:.2f}" for table in tables.values())] for name in protocols
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))
        for row in [head, *rows]
    )


def main() -> None:
    """Read the tables named on the command line and print them together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", metavar="TITLE=FILE", help="a title and a mAP.txt")
    tables = {}
    for text in parser.parse_args().tables:
        title, separator, path = text.partition("=")
        if not separator:
            raise UserError(f"{text} is not of the form TITLE=FILE")
        tables[title] = read_map_text(path)
    if len({tuple(table) for table in tables.values()}) > 1:
        raise UserError(
            "the tables are of different protocols, or of cropped queries and whole ones"
        )
    print(comparison(tables))


if __name__ == "__main__":
    run_command(main)
