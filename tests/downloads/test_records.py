from __future__ import annotations

import json
import logging

from src.downloads import records as download_records
from tests.helpers.other_process import OtherProcess


def test_records_that_cannot_be_read_count_as_none(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"x")
    download_records.write_record(path, url="u")
    assert download_records.is_recorded(path)
    download_records.record_path(path).write_text("{", encoding="utf-8")
    assert not download_records.is_recorded(path)
    download_records.record_path(path).write_text(json.dumps([1]), encoding="utf-8")
    assert not download_records.is_recorded(path)


def test_two_downloads_of_a_file_take_turns(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    lock = "from src.downloads.records import only_process\nonly_process(Path(sys.argv[1]))"
    with OtherProcess.holding(lock, tmp_path / "a.tar") as other:
        with download_records.only_process(tmp_path / "b.tar"):
            assert not caplog.records
        other.kill_soon()
        with download_records.only_process(tmp_path / "a.tar"):
            assert other.killed
    assert [record.getMessage() for record in caplog.records] == [
        "another process is busy with a.tar; waiting for it"
    ]
    assert {path.name for path in tmp_path.iterdir()} == {".download"}
