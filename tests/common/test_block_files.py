"""Files of blocks: what was written comes back, and what is none is told, whatever its sums say."""

from __future__ import annotations

import struct
import zlib

import pytest

from src.common.block_files import FILE_HEAD, BlockFile, BlockWriter, DamagedBlockError


def written(path, records):
    writer = BlockWriter(path, 0.5)
    for name, record in records.items():
        writer.append({"name": name}, record)
    writer.flush()
    writer.close()
    return BlockFile(path)


def test_records_come_back_by_their_block_and_place(tmp_path):
    records = {f"r{n}": bytes([n]) * 30_000 for n in range(7)}
    file = written(tmp_path / "a.records", records)
    blocks = list(file.blocks())
    assert len(blocks) == 3 and file.parameter == 0.5
    found = {}
    for block in blocks:
        for place in range(len(block.directory)):
            about, record = file.record(block.offset, place)
            found[about["name"]] = record
    assert found == records


@pytest.mark.parametrize(
    "directory", [b"no JSON", b"[1]", b"{}", b'[{"name": "a"}]', b'[{"name": 1, "length": 1}]',
                  b'[{"name": "a", "length": -1}]', b'[{"name": "a", "length": true}]']
)  # fmt: skip
def test_a_directory_that_says_nothing_is_damaged_though_its_sum_is_right(tmp_path, directory):
    path = tmp_path / "a.records"
    written(path, {"a": b"x"})
    head = struct.pack("<4sIIIII", b"BLK1", 1, len(directory), 1, zlib.crc32(directory),
                       zlib.crc32(b"x"))  # fmt: skip
    with open(path, "r+b") as file:
        file.truncate(FILE_HEAD)
        file.seek(FILE_HEAD)
        file.write(head + struct.pack("<I", zlib.crc32(head)) + directory + b"x")
    file = BlockFile(path)
    (block,) = file.blocks()
    assert "directory" in file.damage(block)
    with pytest.raises(DamagedBlockError, match="does not fit"):
        file.record(block.offset, 0)
