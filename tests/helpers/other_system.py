"""What Python has on Linux and lacks on Windows, or on macOS, is taken away from this process.

Libraries are imported before: theirs is their own matter. `python -m tests.helpers.other_system
FOLDER` then imports every module of ours and searches a small folder with the toy engine.
"""

from __future__ import annotations

import _signal
import importlib
import importlib.util
import os
import signal
import sys
from pathlib import Path

#: Modules of the standard library, and members of `os` and `signal`, that Windows lacks.
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "_posixshmem")
OF_OS = (
    "EX_OK", "F_LOCK", "O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOCTTY", "O_NOFOLLOW",
    "O_NONBLOCK", "O_SYNC", "POSIX_FADV_DONTNEED", "POSIX_FADV_SEQUENTIAL", "POSIX_FADV_WILLNEED",
    "SCHED_OTHER", "chown", "ctermid", "fchdir", "fchmod", "fchown", "fdatasync", "fork",
    "forkpty", "fstatvfs", "getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid",
    "getpgrp", "getpriority", "getresuid", "getsid", "getuid", "getxattr", "initgroups", "killpg",
    "lchown", "listxattr", "lockf", "memfd_create", "mkfifo", "mknod", "nice", "openpty", "pipe2",
    "posix_fadvise", "posix_fallocate", "posix_spawn", "posix_spawnp", "pread", "preadv", "pwrite",
    "pwritev", "readv", "sched_getaffinity", "sched_setaffinity", "sched_yield",
    "setpgid", "setpgrp", "setpriority", "setresuid", "setsid", "setuid", "setxattr", "statvfs",
    "sync", "sysconf", "tcgetpgrp", "ttyname", "uname", "wait", "wait3", "wait4", "waitid",
    "writev",
)  # fmt: skip
OF_SIGNAL = (
    "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGIO", "SIGKILL", "SIGPIPE", "SIGQUIT",
    "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2", "SIG_BLOCK", "SIG_SETMASK",
    "SIG_UNBLOCK", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt",
    "sigpending", "sigtimedwait", "sigwait", "sigwaitinfo",
)  # fmt: skip
LIBRARIES = (
    "asyncio", "concurrent.futures", "csv", "cv2", "faiss", "filelock", "h5py", "http.client",
    "matplotlib.pyplot", "multiprocessing.connection", "multiprocessing.spawn", "numpy", "openvino",
    "pandas", "PIL.Image", "platform", "psutil", "scipy", "shutil", "subprocess", "tarfile",
    "tempfile", "tqdm", "urllib.request", "webbrowser", "yaml",
)  # fmt: skip
FOLDERS = ("delf", "model_utils", "sample_world", "src")


class Absent:
    """Finds none of the modules that the other system lacks, and no MindSpore."""

    def find_spec(self, name, path=None, target=None):
        if name in MODULES or name.split(".")[0] == "mindspore":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def become_another_system() -> None:
    """Take away what is not there on Windows, and MindSpore."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Absent())
    for module, names in ((os, OF_OS), (signal, OF_SIGNAL), (_signal, OF_SIGNAL)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)


def modules(root: Path) -> list[str]:
    """Return the names of all modules of ours."""
    found = [path.stem for path in root.glob("*.py") if path.stem != "setup"]
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found.append(name.removesuffix(".__init__"))
    return found


def import_everything(root: Path) -> dict[str, str]:
    """Import every module; return what is wrong with those that cannot be, by name."""
    wrong = {}
    for name in modules(root):
        try:
            importlib.import_module(name)
        except (AttributeError, ImportError) as error:
            if (getattr(error, "name", "") or "").split(".")[0] != "mindspore":
                wrong[name] = str(error)
    return wrong


def search(folder: Path) -> None:
    """Search, match and group photos of a folder, as far as no MindSpore is asked for."""
    from src.describe.engines import choice
    from src.index.folder import load_index
    from src.pages.match_picture import draw_matches
    from src.photo_search.duplicates import find_groups, write_report
    from src.photo_search.links import LinkFinder
    from src.photo_search.opening import open_collection, photos_of
    from src.photos.reading import read_image
    from src.ranking.pair import match_pair
    from tests.helpers.search import CountingEngine, configuration, find, names, photo

    photos = folder / "photos"
    for seed in range(4):
        photo(photos / "sub" / f"{seed}.png", seed)
    query = photo(folder / "query.png", 2, (192, 160))
    found, described, _ = find(photos, query)
    assert names(found)[0] == "sub/2.png", names(found)
    assert described == 5 and found[0].page.is_file()
    assert find(photos, query)[1] == 0  # all is kept

    choice.ENGINES["mindspore"] = CountingEngine
    settings = configuration(folder / "work")
    collection = open_collection(settings, photos)
    collection.update(photos_of(settings, photos))
    finder = LinkFinder(collection, load_index(collection.index), settings.retrieval)
    features = finder._features("sub/1.png")
    match = match_pair(features, features)
    assert match.inlier_count == len(features)
    image = read_image(photos / "sub" / "1.png")
    draw_matches(image, image, match, folder / "match.jpg")
    write_report(folder / "out", photos, 4, find_groups(finder))


def evaluate(folder: Path) -> None:
    """Evaluate three photos of which two show one thing, by the toy engine."""
    from model_utils.config import load_config
    from src.describe.engines import choice
    from src.evaluation.retrieval import evaluate_retrieval
    from src.evaluation.settings import EvaluationSettings
    from tests.helpers.ground_truth import write_query
    from tests.helpers.search import CountingEngine, photo

    folder.mkdir()
    os.chdir(folder)
    for name, seed, size in (("a1", 1, (224, 160)), ("a2", 1, (192, 160)), ("b", 2, (224, 160))):
        photo(Path("photos", f"{name}.png"), seed, size)
    write_query(Path("gt"), "a", "a1", ["a1", "a2"], box="0 0 224 160")
    choice.ENGINES["mindspore"] = CountingEngine
    choice.read_known_weights = lambda _: choice.KnownWeights("toy", True)
    config = load_config(
        [
            *("--images_path=photos", "--gt_path=gt", "--checkpoint_path=none", "--work_path=work"),
            *("--engine=mindspore", "--image_scales=1.0", "--use_pca=False"),
            *("--retrieval_workers=1", "--map_output=mAP.txt"),
        ]
    )
    result = evaluate_retrieval(EvaluationSettings.from_config(config))
    assert result.metrics["medium"].mean_average_precision == 1.0
    assert Path("mAP_page", "index.html").is_file()


if __name__ == "__main__":
    become_another_system()
    ROOT = Path(__file__).resolve().parents[2]
    WRONG = import_everything(ROOT)
    assert not WRONG, "\n".join(f"{name}: {reason}" for name, reason in WRONG.items())
    search(Path(sys.argv[1]))
    evaluate(Path(sys.argv[1], "evaluation"))
    print(f"imported {len(modules(ROOT))} modules, searched and evaluated")
