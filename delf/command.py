"""The command `delf`: each of its words runs the program that does it."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Callable, Sequence
from typing import NamedTuple

import delf

#: Words that need more than searching does, and what brings it.
NEEDS = {"mindspore": ("MindSpore", "train"), "fastapi": ("FastAPI", "serve")}
EXIT_USER_ERROR = 2


class Word(NamedTuple):
    """What a word of the command does.

    Attributes:
        usage: what follows it.
        help: a line about it.
        program: file of the project that does it, or a function of ours.
        before: arguments that go in front of the person's.
        needs: package that has to be installed.
        settings: whether all settings of delf_config.yaml may follow.
    """

    usage: str
    help: str
    program: str | Callable[[Sequence[str]], None]
    before: tuple[str, ...] = ()
    needs: str = ""
    settings: bool = True


def _search(arguments: Sequence[str]) -> None:
    from src.photo_search.__main__ import main, sort_arguments

    options, _ = sort_arguments(arguments)
    photos = options[options.index("--") + 1 :]
    if photos and all(os.path.exists(photo) for photo in photos):
        _fetch_weights(arguments)
    main(arguments)


def _serve(arguments: Sequence[str]) -> None:
    if any(os.path.isdir(argument) for argument in arguments):
        _fetch_weights(arguments)
    from src.serve.__main__ import main

    main(arguments)


def _fetch_weights(arguments: Sequence[str]) -> None:
    """Get the ImageNet weights unless others are named; not for what is going to be refused."""
    own = ("--checkpoint_path=", "--mindir_path=", "--config_path=", "-h", "--help")
    if not any(argument.startswith(own) for argument in arguments):
        from delf.settings import weights_at_hand

        weights_at_hand()


def _match(arguments: Sequence[str]) -> None:
    from delf.pair_command import main

    main(arguments)


def _duplicates(arguments: Sequence[str]) -> None:
    from delf.duplicates_command import main

    main(arguments)


def _attention(arguments: Sequence[str]) -> None:
    from delf.attention_command import main

    main(arguments)


def _completion(arguments: Sequence[str]) -> None:
    from delf.completion import main

    main(arguments)


WORDS = {
    "search": Word(
        "PHOTOS [QUERY …] [--top=N] [--box=X,Y,WIDTH,HEIGHT] [--forget]",
        "find the photos of a folder that show what a photo shows, and see why",
        _search,
    ),
    "match": Word("A B [--output=match.jpg]", "match two photos and draw the inliers", _match),
    "attention": Word(
        "PHOTO [--output=attention.jpg]",
        "draw where the network looks in a photo, and its features",
        _attention,
    ),
    "duplicates": Word(
        "PHOTOS [--output=FOLDER]",
        "group photos of one thing: same file, near-duplicate, same building",
        _duplicates,
    ),
    "serve": Word(
        "PHOTOS [--port=8000] [--host=ADDRESS] [--token=TOKEN] [--keep_uploads=FOLDER]",
        "a page in the browser to search a folder of photos with",
        _serve,
        needs="fastapi",
    ),
    "describe": Word(
        "--images_path=PHOTOS --feature_path=FEATURES --checkpoint=WEIGHTS",
        "describe the photos of a folder",
        "src/extract_feature.py",
        settings=False,
    ),
    "index": Word(
        "--features_path=FEATURES --index_path=INDEX",
        "build or update the index of described photos",
        "src/build_feature_dataset.py",
        settings=False,
    ),
    "eval": Word(
        "--images_path=PHOTOS --gt_path=GROUND_TRUTH --checkpoint_path=WEIGHTS",
        "mAP of a photo collection with ground truth",
        "eval.py",
    ),
    "train": Word(
        "--train_state=tuning|attn --traindata_path=SHARD",
        "train one of the two stages",
        "train.py",
        needs="mindspore",
    ),
    "export": Word(
        "--ckpt_path=CHECKPOINT", "write a MindIR for Ascend 310", "export.py", needs="mindspore"
    ),
    "exchange": Word(
        "--features=FEATURES --photos=PHOTOS --to=hloc|colmap|kapture|delf|numpy --output=OUT",
        "hand features and matches to other programs, or take theirs",
        "src/exchange/__main__.py",
        settings=False,
    ),
    "download": Word(
        "[--weights_only] …",
        "get the ImageNet weights",
        "src/downloads/pretrained.py",
        settings=False,
    ),
    "completion": Word(
        "bash|zsh|fish",
        "print what completes this command in a shell",
        _completion,
        settings=False,
    ),
}


def usage() -> str:
    """Return what `delf --help` prints."""
    width = max(map(len, WORDS))
    lines = [f"  {name:<{width}}  {word.help}" for name, word in WORDS.items()]
    return "\n".join(
        [
            "usage: delf WORD …",
            "",
            "Deep local features for finding photos of the same thing.",
            "",
            *lines,
            "",
            "delf WORD --help says what follows it; all settings of delf_config.yaml may, as",
            "--name=value. --quiet leaves results and warnings only, --verbose says more.",
            "delf --version prints the version.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program of a word; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if given else EXIT_USER_ERROR
    if given[0] in ("-V", "--version", "version"):
        print(f"delf {delf.__version__}")
        return 0
    given = _loudness(given)
    if not given:
        print(usage())
        return EXIT_USER_ERROR
    word = WORDS.get(given[0])
    if word is None:
        return _refuse(f"delf knows no {given[0]!r}; it knows {', '.join(WORDS)}")
    if word.needs and importlib.util.find_spec(word.needs) is None:
        needed, extra = NEEDS[word.needs]
        return _refuse(
            f"delf {given[0]} needs {needed}, which is not installed for this Python; "
            f"pip install 'delf-mindspore[{extra}]'"
        )
    return _run(given[0], word, [*word.before, *given[1:]])


def _loudness(given: list[str]) -> list[str]:
    """Take --quiet and --verbose out of a command line, and keep to them from now on."""
    own = given[: given.index("--")] if "--" in given else given
    for option in ("--quiet", "--verbose"):
        if option in own:
            os.environ["DELF_LOG"] = option.removeprefix("--")
    kept = [argument for argument in own if argument not in ("--quiet", "--verbose")]
    return [*kept, *given[len(own) :]]


def _run(name: str, word: Word, arguments: Sequence[str]) -> int:
    """Run a program as if it had been called by itself."""
    from model_utils.environment import PROJECT_ROOT

    sys.argv = [f"delf {name}", *arguments]
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's own log: errors only
    if callable(word.program):
        from src.common.errors import run_command

        run_command(lambda: word.program(arguments))
    # The programs set the first entry of the path; their folder is what Python itself would set.
    path = PROJECT_ROOT / word.program
    sys.path.insert(0, os.fspath(path.parent))
    # As `runpy.run_path`, which would call the program by its file in its usage and errors.
    program = types.ModuleType("__main__", None)
    program.__file__ = os.fspath(path)
    ours, sys.modules["__main__"] = sys.modules["__main__"], program
    try:
        exec(compile(path.read_bytes(), path, "exec"), vars(program))
    finally:
        sys.modules["__main__"] = ours
    return 0


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return EXIT_USER_ERROR
