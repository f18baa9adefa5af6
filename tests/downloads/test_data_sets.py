from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.common.errors import UserError
from src.downloads import gldv2 as program
from src.downloads import summary as shared
from src.downloads.gldv2 import MD5_ATTEMPTS, download_gldv2
from src.downloads.oxford_paris import download_oxford, download_paris
from tests.helpers.download import (
    IMPATIENT,
    expected_gldv2,
    files_below,
    gldv2,
    make_tar,
    noise,
    photos,
    serve_gldv2,
)

PROJECT = Path(__file__).resolve().parents[2]


# --- Google Landmarks v2 --------------------------------------------------------------------------


def test_gldv2_has_its_layout_and_the_second_run_asks_for_nothing(server, tmp_path):
    tars = serve_gldv2(server, 3)
    gldv2(server, tmp_path)
    assert files_below(tmp_path / "train") == expected_gldv2(tars)
    server.requests.clear()
    summary = gldv2(server, tmp_path)
    assert server.requests == []
    assert not summary.fetched and not summary.unpacked and len(summary.complete) == 7


def test_the_second_run_does_not_read_the_archives_again(server, tmp_path, monkeypatch):
    serve_gldv2(server, 2)
    gldv2(server, tmp_path, last=1)

    def must_not_run(*_):
        raise AssertionError("an archive was read again")

    monkeypatch.setattr(program, "md5_of", must_not_run)
    monkeypatch.setattr(program, "unpack_tar", must_not_run)
    gldv2(server, tmp_path, last=1)


def test_only_the_bad_archive_is_fetched_again(server, tmp_path):
    tars = serve_gldv2(server, 3)
    bad = bytearray(tars[1])
    bad[1000] ^= 255
    server.files["/train/images_001.tar"].bodies = [bytes(bad), tars[1]]
    gldv2(server, tmp_path)
    assert files_below(tmp_path / "train") == expected_gldv2(tars)
    asked = [len(server.asked(f"/train/images_{number:03d}.tar")) for number in range(3)]
    assert asked == [1, 2, 1]


def test_a_bad_md5_file_is_fetched_again_before_the_archive(server, tmp_path):
    tars = serve_gldv2(server, 1)
    resource = server.files["/md5sum/train/md5.images_000.txt"]
    resource.bodies = [b"0" * 32 + b"  images_000.tar\n", *resource.bodies]
    gldv2(server, tmp_path, last=0)
    assert files_below(tmp_path / "train") == expected_gldv2(tars)
    assert sum(request.sent for request in server.asked("/train/images_000.tar")) == len(tars[0])


def test_an_archive_that_stays_bad_is_named_and_the_others_are_complete(server, tmp_path):
    tars = serve_gldv2(server, 3)
    server.files["/train/images_001.tar"].bodies = [tars[2]]
    with pytest.raises(UserError, match=r"1 files could not be had.*images_001\.tar.*md5"):
        gldv2(server, tmp_path)
    assert len(server.asked("/train/images_001.tar")) == MD5_ATTEMPTS
    there = files_below(tmp_path / "train")
    assert there.items() >= (photos(0) | photos(2)).items()
    assert not photos(1).keys() & there.keys() and "images_001.tar" not in there


def test_a_missing_archive_does_not_stop_the_others(server, tmp_path):
    serve_gldv2(server, 3)
    del server.files["/train/images_000.tar"]
    with pytest.raises(UserError, match=r"images_000\.tar: the server answered 404"):
        gldv2(server, tmp_path)
    assert files_below(tmp_path / "train").items() >= (photos(1) | photos(2)).items()


def test_an_archive_cut_off_by_another_program_is_completed_not_fetched_anew(server, tmp_path):
    tars = serve_gldv2(server, 1)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "images_000.tar").write_bytes(tars[0][:7000])
    gldv2(server, tmp_path, last=0)
    assert files_below(tmp_path / "train") == expected_gldv2(tars)
    assert [r.range for r in server.asked("/train/images_000.tar")] == ["bytes=7000-"]


def test_a_damaged_archive_of_full_length_is_replaced(server, tmp_path):
    tars = serve_gldv2(server, 1)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "images_000.tar").write_bytes(bytes(len(tars[0])))
    gldv2(server, tmp_path, last=0)
    assert files_below(tmp_path / "train") == expected_gldv2(tars)


def test_files_brought_by_hand_need_no_server(server, tmp_path):
    tars = serve_gldv2(server, 1)
    expected = expected_gldv2(tars)
    (tmp_path / "train").mkdir()
    for name, content in expected.items():
        if "/" not in name:
            (tmp_path / "train" / name).write_bytes(content)
    server.files.clear()
    gldv2(server, tmp_path, last=0)
    assert files_below(tmp_path / "train") == expected


def test_a_table_of_another_size_is_the_users_and_stays(server, tmp_path):
    serve_gldv2(server, 1)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "train.csv").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"train\.csv has 4 bytes .* move it away"):
        gldv2(server, tmp_path, last=0)
    assert (tmp_path / "train" / "train.csv").read_bytes() == b"mine"


def test_archives_are_removed_only_on_request_and_not_fetched_again(server, tmp_path):
    serve_gldv2(server, 2)
    gldv2(server, tmp_path, last=1, keep_archives=False)
    there = files_below(tmp_path / "train")
    assert there.items() >= (photos(0) | photos(1)).items()
    assert not [name for name in there if name.endswith(".tar")]
    server.requests.clear()
    gldv2(server, tmp_path, last=1)
    assert server.requests == []

    (tmp_path / "train" / next(iter(photos(0)))).unlink()  # a photo is lost: it comes back
    gldv2(server, tmp_path, last=1)
    assert files_below(tmp_path / "train").items() >= photos(0).items()
    assert len(server.asked("/train/images_000.tar")) == 1
    assert not server.asked("/train/images_001.tar")


def test_unpacking_can_be_left_for_later(server, tmp_path):
    tars = serve_gldv2(server, 1)
    gldv2(server, tmp_path, last=0, unpack_archives=False, keep_archives=False)
    there = files_below(tmp_path / "train")
    assert there["images_000.tar"] == tars[0] and not photos(0).keys() & there.keys()
    server.requests.clear()
    gldv2(server, tmp_path, last=0)
    assert server.requests == []
    assert files_below(tmp_path / "train") == expected_gldv2(tars)


def test_too_little_space_is_said_before_the_start(server, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    serve_gldv2(server, 2)
    usage = type("Usage", (), {"free": 3_000_000_000})  # two archives, packed and unpacked: 4.3 GB
    monkeypatch.setattr(shared.shutil, "disk_usage", lambda _: usage)
    gldv2(server, tmp_path, last=1)
    assert caplog.text.index("4.3 GB are needed") < caplog.text.index("images_000.tar: 5 photos")
    caplog.clear()
    gldv2(server, tmp_path, last=1)
    assert "are needed" not in caplog.text


@pytest.mark.parametrize("first, last", [(5, 1), (-1, 3), (0, 500)])
def test_numbers_out_of_range_are_refused(first, last, tmp_path):
    with pytest.raises(UserError, match=r"0 … 499"):
        download_gldv2(first, last, tmp_path)
    assert not list(tmp_path.iterdir())


# --- Oxford and Paris -----------------------------------------------------------------------------


def test_oxford_has_its_layout(server, tmp_path):
    images = {f"all_souls_{i:06d}.jpg": noise(2000, i) for i in range(4)}
    truth = {"all_souls_1_query.txt": b"oxc1_all_souls_000000 1 2 3 4\n", "README2.txt": b"read me"}
    server.add("/oxbuild_images-v1.tgz", make_tar(images, "w:gz"))
    server.add("/gt_files_170407.tgz", make_tar(truth, "w:gz"))
    download_oxford(tmp_path, server.url, IMPATIENT, keep_archives=False)
    expected = {f"oxbuild_images/{name}": content for name, content in images.items()}
    expected |= {f"gt_files_170407/{name}": content for name, content in truth.items()}
    assert files_below(tmp_path) == expected
    server.requests.clear()
    download_oxford(tmp_path, server.url, IMPATIENT)
    assert server.requests == []


def test_paris_is_one_flat_folder_and_damaged_photos_are_reported(server, tmp_path, caplog):
    first = {f"paris/defense/paris_defense_{i:06d}.jpg": noise(2000, i) for i in range(3)}
    second = {f"paris/louvre/paris_louvre_{i:06d}.jpg": noise(2000, 9 + i) for i in range(3)}
    server.add("/paris_1-v1.tgz", make_tar(first, "w:gz"))
    server.add("/paris_2-v1.tgz", make_tar(second, "w:gz"))
    server.add("/paris_120310.tgz", make_tar({"louvre_1_good.txt": b""}, "w:gz"))
    server.add("/corrupt.txt", b"louvre/paris_louvre_000001.jpg\nlouvre/paris_louvre_000099.jpg\n")
    download_paris(tmp_path, server.url, IMPATIENT, keep_archives=False)
    expected = {
        f"paris6k_images/{name.split('/')[-1]}": content
        for name, content in (first | second).items()
    }
    expected["paris_120310/louvre_1_good.txt"] = b""
    expected["paris_corrupt.txt"] = server.files["/corrupt.txt"].bodies[0]
    assert files_below(tmp_path) == expected
    assert "1 photos are damaged" in caplog.text and "paris_louvre_000001.jpg" in caplog.text
    server.requests.clear()
    download_paris(tmp_path, server.url, IMPATIENT)
    assert server.requests == []


def test_an_archive_brought_by_hand_is_used_and_never_deleted_when_damaged(server, tmp_path):
    server.add("/gt_files_170407.tgz", make_tar({"a_query.txt": b"x"}, "w:gz"))
    good = make_tar({"a.jpg": b"1"}, "w:gz")
    mine = tmp_path / "oxbuild_images-v1.tgz"
    mine.write_bytes(good[:-20])
    with pytest.raises(UserError, match=r"damaged.*delete it"):
        download_oxford(tmp_path, server.url, IMPATIENT)
    assert mine.read_bytes() == good[:-20]
    mine.write_bytes(good)
    download_oxford(tmp_path, server.url, IMPATIENT)
    assert (tmp_path / "oxbuild_images" / "a.jpg").read_bytes() == b"1"
    assert not server.asked("/oxbuild_images-v1.tgz")


def test_a_download_that_cannot_be_unpacked_does_not_block_the_next_run(server, tmp_path):
    server.add("/gt_files_170407.tgz", make_tar({"a_query.txt": b"x"}, "w:gz"))
    good = make_tar({"a.jpg": b"1"}, "w:gz")
    resource = server.add("/oxbuild_images-v1.tgz", good[:-20])
    with pytest.raises(UserError, match=r"damaged.*removed"):
        download_oxford(tmp_path, server.url, IMPATIENT)
    resource.bodies = [good]
    download_oxford(tmp_path, server.url, IMPATIENT)
    assert (tmp_path / "oxbuild_images" / "a.jpg").read_bytes() == b"1"


# --- as a program ---------------------------------------------------------------------------------


def run(*command: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_killed_download_goes_on_with_what_it_had(server, tmp_path):
    tars = serve_gldv2(server, 1)
    big = make_tar({"0/a/b/0ab.jpg": noise(2_000_000)})
    slow = server.add("/train/images_000.tar", big, bytes_per_second=2_000_000)
    sum_line = f"{hashlib.md5(big).hexdigest()}  images_000.tar\n".encode()
    server.files["/md5sum/train/md5.images_000.txt"].bodies = [sum_line]
    del tars
    command = [
        sys.executable,
        PROJECT / "src" / "downloads" / "data_sets.py",
        "gldv2",
        "0",
        "0",
        tmp_path,
    ]
    environment = {**os.environ, "DELF_GLDV2_URL": server.url}
    part = tmp_path / "train" / "images_000.tar.part"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size > 200_000):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = part.stat().st_size
    assert 200_000 < kept < len(big)
    slow.bytes_per_second = None

    finished = run(*command, DELF_GLDV2_URL=server.url)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "train" / "images_000.tar").read_bytes() == big
    assert (tmp_path / "train" / "0/a/b/0ab.jpg").read_bytes() == noise(2_000_000)
    _, second = server.asked("/train/images_000.tar")
    assert second.range == f"bytes={kept}-" and second.sent == len(big) - kept
    assert len(server.asked("/metadata/train.csv")) == 1


def test_two_programs_do_not_write_one_file(server, tmp_path):
    serve_gldv2(server, 1)
    for resource in server.files.values():
        resource.bytes_per_second = 100_000
    command = [
        sys.executable,
        str(PROJECT / "src" / "downloads" / "data_sets.py"),
        "gldv2",
        "0",
        "0",
        str(tmp_path),
    ]
    environment = {**os.environ, "DELF_GLDV2_URL": server.url}
    both = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert files_below(tmp_path / "train").items() >= photos(0).items()
    assert len(server.asked("/train/images_000.tar")) == 1


def test_the_scripts_pass_their_arguments_on_and_end_with_one_line(server, tmp_path):
    serve_gldv2(server, 1)
    script = PROJECT / "scripts" / "download_gldv2.sh"
    done = run("bash", script, 0, 0, tmp_path / "gldv2", DELF_GLDV2_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert files_below(tmp_path / "gldv2" / "train").items() >= photos(0).items()

    for name, variable in (("oxf", "DELF_OXFORD_URL"), ("paris", "DELF_PARIS_URL")):
        script = PROJECT / "scripts" / f"download_{name}.sh"
        failed = run("bash", script, tmp_path / name, **{variable: "http://nowhere.invalid"})
        assert failed.returncode == 2
        lines = [line for line in failed.stderr.splitlines() if line.startswith("error:")]
        assert len(lines) == 1 and "nowhere.invalid" in lines[0]
        assert "Traceback" not in failed.stderr

        without = run("bash", script)
        assert without.returncode == 2 and "usage" in without.stderr


def test_a_wrong_switch_in_the_environment_is_refused(tmp_path):
    command = [sys.executable, PROJECT / "src" / "downloads" / "data_sets.py", "oxford", tmp_path]
    failed = run(*command, DELF_KEEP_ARCHIVES="maybe")
    assert failed.returncode == 2 and "DELF_KEEP_ARCHIVES" in failed.stderr
    assert not list(tmp_path.iterdir())
