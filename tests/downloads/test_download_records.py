from __future__ import annotations

import json

from src.downloads import records as download_records


def test_records_that_cannot_be_read_count_as_none(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"x")
    download_records.write_record(path, url="u")
    assert download_records.is_recorded(path)
    download_records.record_path(path).write_text("{", encoding="utf-8")
    assert not download_records.is_recorded(path)
    download_records.record_path(path).write_text(json.dumps([1]), encoding="utf-8")
    assert not download_records.is_recorded(path)
