"""Fetching the data sets: Google Landmarks v2, Oxford5k and Paris6k.

Downloads resume where they stopped, are tried again with growing pauses, checked against the
published md5 sums where there are any, and unpacked. A small record beside each file, in the folder
`.download`, says what is complete, so that a second run does not read 500 GB again to find out.
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
import os
from collections.abc import Sequence
from pathlib import Path

from src.common.errors import run_command
from src.downloads import gldv2, oxford_paris
from src.downloads.http_fetch import Network


def yes_or_no(text: str) -> bool:
    """Read a switch from the environment or the command line.

    Raises:
        ValueError: it is neither yes nor no.
    """
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _switch(parser: argparse.ArgumentParser, name: str, variable: str, text: str) -> None:
    """Add --name / --no-name; the environment variable gives the default."""
    parser.add_argument(
        f"--{name}", action="store_true", help=f"{text} (or {variable}=1; the default)"
    )
    parser.add_argument(f"--no-{name}", dest=name, action="store_false", help=f"or {variable}=0")
    given = os.environ.get(variable, "1")
    try:
        parser.set_defaults(**{name: yes_or_no(given)})
    except ValueError as error:
        parser.error(f"{variable}: {error}")


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    defaults = Network()
    common.add_argument(
        "--timeout", type=float, default=defaults.timeout, help="seconds of silence"
    )
    common.add_argument(
        "--retries", type=int, default=defaults.retries, help="tries after a failure"
    )
    common.add_argument(
        "--backoff", type=float, default=defaults.backoff, help="first pause, seconds"
    )
    common.add_argument(
        *("--accept_md5", "--accept_sum"),
        dest="accept",
        action="append",
        default=[],
        metavar="NAME",
        help="take the file of this name, say images_000.tar, whatever its sum is",
    )
    _switch(common, "keep_archives", "DELF_KEEP_ARCHIVES", "keep archives once they are unpacked")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    gl = commands.add_parser("gldv2", parents=[common], help="Google Landmarks v2, training set")
    gl.add_argument("first", type=int, metavar="MIN", help="number of the first archive, from 0")
    gl.add_argument("last", type=int, metavar="MAX", help="number of the last archive, up to 499")
    _switch(gl, "unpack", "DELF_UNPACK", "unpack the archives")
    oxford = commands.add_parser("oxford", parents=[common], help="Oxford5k")
    paris = commands.add_parser("paris", parents=[common], help="Paris6k")
    for command, url in (
        (gl, gldv2.URL),
        (oxford, oxford_paris.OXFORD_URL),
        (paris, oxford_paris.PARIS_URL),
    ):
        variable = f"DELF_{command.prog.split()[-1].upper()}_URL"
        command.add_argument("dataset_path", type=Path, metavar="DATASET_PATH", help="folder")
        command.add_argument(
            "--base_url",
            default=os.environ.get(variable) or url,
            help=f"address of a mirror (or {variable}; now %(default)s)",
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Download a data set."""
    options = _parser().parse_args(arguments)
    network = Network(options.timeout, options.retries, options.backoff)
    if options.command == "gldv2":
        gldv2.download_gldv2(
            options.first,
            options.last,
            options.dataset_path,
            options.base_url,
            network,
            options.unpack,
            options.keep_archives,
            options.accept,
        )
        return
    is_oxford = options.command == "oxford"
    download = oxford_paris.download_oxford if is_oxford else oxford_paris.download_paris
    how = (network, options.keep_archives, options.accept)
    download(options.dataset_path, options.base_url, *how)


if __name__ == "__main__":
    run_command(main)
