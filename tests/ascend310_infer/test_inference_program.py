"""The C++ program by itself: built here, run on hand-made streams."""

import contextlib
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from src.describe.engines.lite_program import PROGRAM, PROGRAM_FOLDER, build_program
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.network.export import ExportSettings, export_model
from src.network.feature_weights import read_feature_weights
from tests.helpers.infer import (
    QUIET,
    answer,
    number,
    photo_frame,
    repeated_to,
    run_program,
    stream_of,
    text,
    textured,
)


@pytest.fixture(scope="module", autouse=True)
def program():
    build_program()
    return PROGRAM


@pytest.fixture(scope="module")
def weights(attention_checkpoint):
    return read_feature_weights(attention_checkpoint)


def network(weights):
    return FeatureNetwork(weights, "random weights", "CPU")


def tensor(*levels):
    """What the network gets of levels, one under the other."""
    return [(level.transpose(2, 0, 1)[None] / np.float32(128) - 1).astype("f4") for level in levels]


def run(mindir, *frames, options=()):
    done = run_program(f"--model={mindir}", *options, stream=stream_of(*frames))
    assert done.returncode == 0, done.stderr.decode()
    return answer(done.stdout)


def assert_close(found, features, scores):
    """Compare a level's [C, h, w], [h, w] with the Python network's [h, w, C], [h, w]."""
    expected = features.transpose(2, 0, 1)
    assert found[0].shape == expected.shape and found[1].shape == scores.shape
    assert found[0] == pytest.approx(expected, abs=1e-4 * np.abs(expected).max())
    assert found[1] == pytest.approx(scores, rel=1e-4, abs=1e-5)


def test_levels_of_any_size_give_what_the_network_gives(any_size_mindir, weights):
    levels = [textured(64, 95), textured(33, 31, 1), textured(97, 160, 2), textured(64, 95, 3)]
    frames = photo_frame("first", *levels[:3]), photo_frame("zwei ü", levels[3])
    results = run(any_size_mindir, *frames)
    assert [name for _, name, _ in results] == ["first", "zwei ü"]
    python = network(weights)
    found = [output for _, _, outputs in results for output in outputs]
    for output, array in zip(found, tensor(*levels)):
        assert_close(output, *python(array))


def test_a_static_model_takes_several_levels_at_once(static_mindir, weights):
    levels = [textured(64, 95), textured(128, 128, 1), textured(32, 20, 2)]
    ((_, _, outputs),) = run(static_mindir, photo_frame("p", *levels))
    python = network(weights)
    for level, output in zip(levels, outputs):
        features, scores = python(repeated_to(*tensor(level), 128))
        rows, columns = (-(-side // 32) for side in level.shape[:2])
        assert_close(output, features[:rows, :columns], scores[:rows, :columns])


def test_more_levels_than_places_take_several_runs(static_mindir):
    levels = [textured(40, 40, seed) for seed in range(9)]
    ((_, _, together),) = run(static_mindir, photo_frame("p", *levels))
    apart = run(static_mindir, *(photo_frame("p", level) for level in levels))
    for output, (_, _, (alone,)) in zip(together, apart):
        assert output[0] == pytest.approx(alone[0], abs=1e-5)


def test_listed_sizes_are_used_and_cut_off(tmp_path, any_size_mindir, weights):
    config = tmp_path / "lite.ini"
    config.write_text('[ascend_context]\ndynamic_dims = "[128,128],[64, 96]"\n')
    levels = [textured(64, 96), textured(50, 70, 1), textured(65, 40, 2)]
    ((_, _, outputs),) = run(
        any_size_mindir, photo_frame("p", *levels), options=[f"--config={config}"]
    )
    python = network(weights)
    for level, output, side in zip(levels, outputs, ((64, 96), (64, 96), (128, 128))):
        features, scores = python(repeated_to(*tensor(level), *side))
        rows, columns = (-(-length // 32) for length in level.shape[:2])
        assert_close(output, features[:rows, :columns], scores[:rows, :columns])
    done = run_program(
        f"--model={any_size_mindir}",
        f"--config={config}",
        stream=stream_of(photo_frame("large", textured(129, 64))),
    )
    assert done.returncode == 3
    assert re.search("error: photo large: .*129x64.* fits none", done.stderr.decode())


def test_photos_without_levels_and_notes_are_passed_on(any_size_mindir):
    note = b"N" + text("bad") + text('{"reason": "x"}')
    assert run(any_size_mindir, photo_frame("flat"), note) == [
        (b"P", "flat", []),
        (b"N", "bad", []),
    ]


def test_the_mean_time_is_written(tmp_path, any_size_mindir):
    file = tmp_path / "time.txt"
    frames = [photo_frame(str(i), textured(40, 40)) for i in range(3)]
    start = time.monotonic()
    run(any_size_mindir, *frames, options=[f"--time_file={file}"])
    mean, count = re.fullmatch(
        r"NN inference cost average time: ([\d.]+) ms of infer_count (\d+)\n", file.read_text()
    ).groups()
    assert int(count) == 3
    assert 0 < float(mean) * 3 / 1000 < time.monotonic() - start


BROKEN = {
    "nothing": (b"", "ended before its end mark .before the first photo"),
    "another stream": (b"P6 640 480 255 ....", "not a stream of photos of this version"),
    "no end mark": (stream_of(end=False), "ended before its end mark"),
    "cut in a photo": (
        stream_of(photo_frame("p1", textured(40, 40))[:-9], end=False),
        "ended before its end mark .in photo p1",
    ),
    "cut after a photo": (
        stream_of(photo_frame("p2", textured(40, 40)), end=False),
        "ended before its end mark .after photo p2",
    ),
    "unknown frame": (stream_of(b"X"), "holds something unknown"),
    "endless name": (stream_of(b"P" + number(2**31)), "a name of 2147483648 bytes"),
    "endless levels": (
        stream_of(b"P" + text("p3") + text("{}") + number(2**32 - 1)),
        "4294967295 levels .in photo p3",
    ),
    "huge level": (
        stream_of(b"P" + text("p4") + text("{}") + number(1) + number(60000) + number(60000)),
        "level of 60000x60000 .in photo p4",
    ),
    "empty level": (
        stream_of(b"P" + text("p5") + text("{}") + number(1) + number(0) + number(4)),
        "level of 0x4 .in photo p5",
    ),
}


@pytest.mark.parametrize("stream, message", BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_ends_with_one_line(any_size_mindir, stream, message):
    done = run_program(f"--model={any_size_mindir}", stream=stream)
    assert done.returncode == 4
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: ") and re.search(message, line)


def test_options_are_checked(tmp_path, any_size_mindir):
    model = f"--model={any_size_mindir}"
    config = tmp_path / "bad.ini"
    config.write_text("dynamic_dims=[64]\n")
    for options, message in (
        ((), "no model; give --model"),
        ((f"--model={tmp_path / 'none'}",), "none cannot be read"),
        ((model, "--threads=x"), "--threads is 'x'"),
        ((model, "--threads=99999999999999999999"), "whole number"),
        ((model, "--device_target=GPU"), "give CPU or Ascend"),
        ((model, "--color=red"), "no option --color"),
        ((model, "loose"), "not of the form"),
        ((model, f"--config={tmp_path / 'none.ini'}"), "none.ini cannot be read"),
        ((model, f"--config={config}"), "give dynamic_dims="),
    ):
        done = run_program(*options)
        assert done.returncode == 2
        assert message in done.stderr.decode()
    assert b"usage: delf_infer" in run_program("--help").stdout


def test_models_that_are_no_delf_are_refused(tmp_path, cpu, any_size_mindir):
    import mindspore as ms
    from mindspore import nn

    broken = tmp_path / "cut.mindir"
    broken.write_bytes(Path(any_size_mindir).read_bytes()[:100_000])
    other = tmp_path / "other"
    ms.export(
        nn.ReLU(), ms.Tensor(np.zeros((1, 5), "f4")), file_name=str(other), file_format="MINDIR"
    )
    from src.network.mindir import read_proto

    model = read_proto(f"{other}.mindir")
    model.mind_ir_version = 1
    Path(f"{other}.mindir").write_bytes(model.SerializeToString())
    for path, message in (
        (broken, "cannot load"),
        (f"{other}.mindir", r"takes 1x5, not float32 photos|cannot load"),
    ):
        done = run_program(f"--model={path}")
        assert done.returncode == 2
        assert re.search(message, done.stderr.decode().splitlines()[-1])


def test_a_newer_format_and_a_missing_device_are_said(native_mindir, any_size_mindir):
    done = run_program(f"--model={native_mindir}")
    assert done.returncode == 2
    assert "--mindir_version=1" in done.stderr.decode().splitlines()[-1]
    done = run_program(f"--model={any_size_mindir}", "--device_target=Ascend", "--device_id=5")
    assert done.returncode == 2
    assert "Ascend 5 (is the device there?)" in done.stderr.decode().splitlines()[-1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_said(any_size_mindir):
    frame = photo_frame("p", textured(64, 64))
    with open("/dev/full", "wb") as full:
        done = run_program(f"--model={any_size_mindir}", stream=stream_of(frame), stdout=full)
    assert done.returncode == 5
    assert "No space left on device" in done.stderr.decode()
    done = run_program(
        f"--model={any_size_mindir}", "--time_file=/dev/full", stream=stream_of(frame)
    )
    assert done.returncode == 5
    assert "mean time cannot be written to /dev/full" in done.stderr.decode()


def test_a_reader_that_stops_holds_the_program_back(any_size_mindir):
    frame = photo_frame("p", textured(320, 320))
    process = subprocess.Popen(
        [str(PROGRAM), f"--model={any_size_mindir}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=QUIET,
    )
    taken = []

    def feed():
        with contextlib.suppress(BrokenPipeError):  # the end, when the program is killed
            process.stdin.write(stream_of(end=False))
            for _ in range(100):
                process.stdin.write(frame)
                process.stdin.flush()
                taken.append(time.monotonic())

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        assert process.stdout.read(8)  # it is ready; nothing more is read
        deadline = time.monotonic() + 60
        while not taken or time.monotonic() - taken[-1] < 3:  # until it takes no more
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # Two in each queue, one in each thread, and what the pipes hold.
        assert 5 <= len(taken) <= 12
    finally:
        process.kill()
        process.wait()
        feeder.join(10)
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def test_memory_does_not_grow_with_the_number_of_photos(any_size_mindir):
    """Peak memory after 60 photos of changing sizes is that after the first 20."""
    sizes = [(64 + 8 * i, 200 - 7 * i) for i in range(10)]
    frames = [photo_frame("p", textured(*size)) for size in sizes]

    def peak(count):
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
        )
        done = subprocess.run(
            ["python3", "-c", code, str(PROGRAM), f"--model={any_size_mindir}"],
            input=stream_of(*(frames * count)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=QUIET,
            timeout=300,
        )
        return int(done.stderr.splitlines()[-1]) / 1024

    assert peak(6) < peak(2) + 40


@pytest.mark.slow
def test_sanitizers_find_nothing_of_ours(any_size_mindir, static_mindir):
    subprocess.run(["bash", str(PROGRAM_FOLDER / "build.sh"), "--sanitize"], check=True)
    sanitized = PROGRAM_FOLDER / "out-sanitize" / "delf_infer"
    # The runtime leaks a few objects of its own at exit: leaks are read, not counted.
    env = {**QUIET, "LSAN_OPTIONS": "exitcode=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    photo = photo_frame("p", textured(64, 95), textured(32, 20))
    note = b"N" + text("n") + text("{}")
    for model, stream, code in (
        (any_size_mindir, stream_of(photo, note, photo), 0),
        (static_mindir, stream_of(photo), 0),
        (any_size_mindir, stream_of(photo[:-5], end=False), 4),
    ):
        done = run_program(f"--model={model}", stream=stream, program=sanitized, env=env)
        said = done.stderr.decode()
        assert done.returncode == code, said
        assert "ERROR: AddressSanitizer" not in said
        assert "runtime error" not in said
        assert "delf::" not in said  # no leak, nor anything else, from our code


@pytest.mark.skipif(
    "MINDSPORE_HEADERS" not in os.environ,
    reason="MINDSPORE_HEADERS does not name the folder that holds include/api of another release",
)
def test_it_compiles_against_other_headers():
    headers = os.environ["MINDSPORE_HEADERS"]
    for source in (PROGRAM_FOLDER / "src").glob("*.cc"):
        command = ["g++", "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic"]
        command += ["-Wshadow", "-Wconversion", "-Werror", f"-I{PROGRAM_FOLDER}"]
        command += ["-isystem", headers, "-isystem", f"{headers}/include", str(source)]
        subprocess.run(command, check=True)


def test_a_second_build_does_nothing(monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])
    before = PROGRAM.stat().st_mtime_ns
    build_program()
    assert PROGRAM.stat().st_mtime_ns == before
    monkeypatch.setenv("MS_LITE_HOME", "/no/such/runtime")
    from src.common.errors import UserError

    with pytest.raises(UserError, match="MS_LITE_HOME is /no/such/runtime, but there is no"):
        build_program()


@pytest.fixture(scope="module")
def native_mindir(attention_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("native") / "m"
    return export_model(attention_checkpoint, path, ExportSettings((1, 3, 0, 0)))
