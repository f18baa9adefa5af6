from __future__ import annotations

import struct

import numpy as np
import pytest

from src.common.errors import UserError
from src.describe.datum_io import parse_datum, read_datum
from tests.helpers.datum import field

# shape {dim: 2 dim: 3} float_list {value: 0.5, 1, 2, -1, 0, 3}, written out by hand
DATUM = bytes.fromhex(
    "0a04 0a02 0203 121a 0a18 0000003f 0000803f 00000040 000080bf 00000000 00004040"
)


def test_a_datum_is_read():
    array = parse_datum(DATUM)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[0.5, 1, 2], [-1, 0, 3]])


def test_numbers_that_are_not_packed_and_fields_that_are_not_known_are_read_too():
    shape = field(1, b"\x08\x02\x08\x01")
    values = field(2, b"\x0d" + struct.pack("<f", 4) + b"\x0d" + struct.pack("<f", 5))
    unknown = b"\x48\x96\x01" + b"\x51" + bytes(8) + b"\x5a\x01x"  # fields 9, 10 and 11
    np.testing.assert_array_equal(parse_datum(unknown + shape + unknown + values), [[4], [5]])


def test_whole_numbers_and_large_shapes_are_read():
    array = parse_datum(field(1, field(1, b"\x03")) + field(3, field(1, b"\x01\xac\x02\x00")))
    assert array.dtype == np.uint32 and array.tolist() == [1, 300, 0]
    values = np.random.default_rng(0).normal(size=(300, 2)).astype("<f4")
    floats = b"\x0a\xe0\x12" + values.tobytes()  # 2,400 bytes
    datum = field(1, field(1, b"\xac\x02\x02")) + b"\x12\xe3\x12" + floats
    np.testing.assert_array_equal(parse_datum(datum), values)


def test_google_protobuf_agrees():
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="d.proto", package="t", syntax="proto2")
    packed = descriptor_pb2.FieldOptions(packed=True)
    for name, kind, label, number, type_name in (
        ("DatumShape", 3, 3, 1, None),
        ("FloatList", 2, 3, 1, None),
        ("DatumProto", 11, 1, None, None),
    ):
        message = file.message_type.add(name=name)
        if name != "DatumProto":
            message.field.add(name="v", type=kind, label=label, number=number, options=packed)
            continue
        for number, type_name in ((1, ".t.DatumShape"), (2, ".t.FloatList")):
            message.field.add(
                name=f"f{number}", type=kind, label=label, number=number, type_name=type_name
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    if not hasattr(message_factory, "GetMessageClass"):
        pytest.skip("an old protobuf")
    datum = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.DatumProto"))()
    values = np.random.default_rng(1).normal(size=(40, 64)).astype("f4")
    datum.f1.v.extend(values.shape)
    datum.f2.v.extend(values.ravel().tolist())
    np.testing.assert_array_equal(parse_datum(datum.SerializeToString()), values)


def test_fields_that_are_not_known_do_no_harm_inside_and_are_noticed_when_cut_off():
    inside = field(1, b"\x08\x01" + b"\x12\x01x") + field(2, b"\x12\x04abcd" + field(1, bytes(4)))
    assert parse_datum(inside).tolist() == [0]
    with pytest.raises(ValueError, match="middle of a field"):
        parse_datum(DATUM + b"\x5a\x05x")


@pytest.mark.parametrize("length", range(len(DATUM)))
def test_a_cut_off_datum_is_refused(length):
    with pytest.raises(ValueError):
        parse_datum(DATUM[:length])


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_refused_and_nothing_else_happens(seed, tmp_path):
    path = tmp_path / "x.datum"
    path.write_bytes(np.random.default_rng(seed).bytes(200))
    with pytest.raises(UserError, match=r"x\.datum is not a datum file"):
        read_datum(path)


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fill"):
        parse_datum(DATUM.replace(b"\x02\x02\x03", b"\x02\x02\x04"))
    minus_one = b"\xff" * 9 + b"\x01"
    for shape in (minus_one, minus_one * 2):
        with pytest.raises(ValueError, match="do not fill"):
            parse_datum(field(1, field(1, shape)) + field(2, field(1, bytes(4))))
