"""Damaged streams and models under AddressSanitizer and UndefinedBehaviorSanitizer.

Each model and each stream is a process. More of them: `--mutations=20`.
"""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from src.describe.engines.lite_program import PROGRAM_FOLDER, build_program
from src.network.mindir import read_proto
from src.network.mindir_version1 import to_version1
from tests.helpers.infer import QUIET, photo_frame, run_program, stream_of, text, textured
from tests.helpers.mutations import damage_message, damaged_bytes

SANITIZED = PROGRAM_FOLDER / "out-sanitize"
#: The runtime leaks a few objects; where there is no memory an exception comes, as it does outside.
WATCHED = {**QUIET, "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1"}
WATCHED["UBSAN_OPTIONS"] = "print_stacktrace=1"
LIMITS = ("--patience=60", "--memory_mb=3000", "--threads=1")
#: Of what `damage_message` makes of the tiny network, these let MindSpore Lite 2.0.0 fall.
FALLING = (32, 106)
STREAM = stream_of(
    photo_frame("first", textured(64, 60), textured(33, 40)),
    b"N" + text("note") + text('{"reason": "x"}'),
    photo_frame("second", textured(20, 64)),
)


@pytest.fixture(scope="module")
def sanitized():
    """The folder of the sanitized programs; a skip where the compiler has no sanitizers."""
    trial = [os.environ.get("CXX", "g++"), "-x", "c++", "-", "-fsanitize=address,undefined"]
    said = subprocess.run([*trial, "-o", os.devnull], input=b"int main(){}", capture_output=True)
    if said.returncode:
        pytest.skip("the compiler has no AddressSanitizer and UndefinedBehaviorSanitizer")
    subprocess.run(["bash", str(PROGRAM_FOLDER / "build.sh"), "--sanitize"], check=True)
    return SANITIZED


@pytest.fixture(scope="module")
def models(cpu, tmp_path_factory):
    """A network of two layers with the outputs of DELF's, for any size and for 64×64."""
    build_program()  # which reads them without sanitizers
    import mindspore as ms
    from mindspore import nn, ops

    class Tiny(nn.Cell):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, stride=32, pad_mode="same", has_bias=True)
            self.relu = nn.ReLU()
            self.attention = nn.Conv2d(8, 1, 1, pad_mode="valid", has_bias=True)
            self.softplus = ops.Softplus()

        def construct(self, photos):
            features = self.relu(self.conv(photos))
            return features, self.softplus(self.attention(features))

    folder = tmp_path_factory.mktemp("tiny")
    shapes = {
        "any": ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32),
        "static": ms.Tensor(np.zeros((2, 3, 64, 64), np.float32)),
    }
    network = Tiny().set_train(False)
    protos = {}
    for name, shape in shapes.items():
        ms.export(network, shape, file_name=str(folder / name), file_format="MINDIR")
        protos[name] = read_proto(folder / f"{name}.mindir")
        to_version1(protos[name])
    return protos


def written(proto, path: Path, seed: int | None = None) -> Path:
    """Write a model, damaged by a seed."""
    changed = type(proto)()
    changed.CopyFrom(proto)
    if seed is not None:
        damage_message(changed, seed)
    path.write_bytes(changed.SerializeToString())
    return path


#: Frames of a stack that say nothing of whose fault it is.
NOBODYS = re.compile(r"libsanitizer|/lib(asan|ubsan|c|m|stdc\+\+|pthread)\.so| in (operator|std::)")
OURS = re.compile(r" in delf::|ascend310_infer/(src|inc)/|/delf_(infer|network)\+")


def is_ours(report):
    """Tell whether the first frame of a report that is somebody's is in our own code."""
    stack = report[report.index("#0 ") :].split("\n\n")[0].splitlines()
    return bool(
        OURS.search(next((line for line in stack if not NOBODYS.search(line)), " in delf::"))
    )


def assert_ours_is_clean(done):
    """Assert that what the sanitizers report is the runtime's; return what was said."""
    said = done.stderr.decode(errors="replace")
    assert ": runtime error: " not in said, said  # UBSan looks at our own code alone
    for report in said.split("ERROR: AddressSanitizer")[1:]:
        assert not is_ours(report), said
    return said


def test_reports_are_told_apart():
    ours = """: heap-buffer-overflow on address 0x1
    #0 0x7f in __interceptor_memcpy ../../../../src/libsanitizer/asan/interceptors.inc:827
    #1 0x55 in delf::CutOut(float const*) /work/ascend310_infer/src/network.cc:96
    #2 0x7f in __libc_start_main (/lib/x86_64-linux-gnu/libc.so.6+0x27)

allocated by thread T0 here:
    #1 0x7f in mindspore::Model::Build (/x/mindspore-lite-2.0.0/lib/libmindspore_core.so+0x1)
"""
    theirs = """: SEGV on unknown address 0x8
    #0 0x7f in std::shared_ptr<int>::get() (/x/mindspore-lite-2.0.0/lib/libmindspore_core.so+0xc)
    #1 0x7f  (/x/mindspore-lite-2.0.0/lib/libmindspore_core.so+0xca32ca)
    #2 0x55 in delf::Network::Network(delf::Options const&) /work/ascend310_infer/src/network.cc:150
"""
    assert is_ours(ours) and not is_ours(theirs)


def assert_read_or_refused(done, model):
    said = assert_ours_is_clean(done)
    assert done.returncode in (0, 2, 3), said
    if done.returncode:
        ours = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(ours) == 1, said
        assert str(model) in ours[0] or "photo first" in ours[0] or "the model takes" in ours[0]


def test_whole_models_and_streams_are_read_under_the_sanitizers(sanitized, models, tmp_path):
    for name, proto in models.items():
        model = written(proto, tmp_path / f"{name}.mindir")
        done = run_program(
            f"--model={model}", stream=STREAM, program=sanitized / "delf_infer", env=WATCHED
        )
        said = assert_ours_is_clean(done)
        assert done.returncode == 0 and "Sanitizer" not in said, said
        ours = run_program(f"--model={model}", "--threads=1", stream=STREAM)
        assert done.stdout[:8] == ours.stdout[:8] and len(done.stdout) == len(ours.stdout)


def test_damaged_models_are_read_or_refused(sanitized, models, tmp_path, mutations):
    for seed in (*range(6 * mutations), FALLING[0]):
        for name, proto in models.items():
            model = written(proto, tmp_path / f"{name}-{seed}.mindir", seed)
            done = run_program(
                f"--model={model}",
                *LIMITS,
                stream=STREAM,
                program=sanitized / "delf_infer",
                env=WATCHED,
            )
            assert_read_or_refused(done, model)


@pytest.mark.skipif("MS_LITE_HOME" in os.environ, reason="another runtime falls elsewhere")
def test_a_fall_of_the_runtime_is_one_line(models, tmp_path):
    for seed in FALLING:
        for name, proto in models.items():
            model = written(proto, tmp_path / f"{name}-{seed}.mindir", seed)
            done = run_program(f"--model={model}", stream=STREAM)
            assert (done.returncode, done.stdout) == (2, b"")
            assert (
                done.stderr.decode()
                .splitlines()[-1]
                .startswith(
                    f"error: the runtime crashed (Segmentation fault) with the model {model};"
                )
            )


def test_damaged_streams_are_read_or_refused(sanitized, mutations):
    ends = set()
    for seed in range(300 * mutations):
        done = run_program(
            stream=damaged_bytes(STREAM, seed), program=sanitized / "pass_on", env=WATCHED
        )
        said = done.stderr.decode(errors="replace")
        assert "Sanitizer" not in said and ": runtime error: " not in said, said
        assert (done.returncode, len(said.splitlines())) in {(0, 0), (4, 1)}, said
        ends.add(done.returncode)
    assert ends == {0, 4}
