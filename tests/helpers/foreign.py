"""Made-up ResNet50s as other programs write them, and what they compute, in NumPy."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np

STAGES = ((2, 3, 64), (3, 4, 128), (4, 6, 256), (5, 3, 512))


def units(seed: int = 0, bias: bool = False):
    """Return random tensors by (stage, unit, branch), kernels HWIO; some channels hardly vary."""
    generator = np.random.default_rng(seed)
    found = {}

    def add(key, size, cin, cout, gain):
        scale = gain * np.sqrt(2 / (size * size * cin))
        unit = {
            "kernel": generator.normal(0, scale, (size, size, cin, cout)),
            "gamma": generator.uniform(0.5, 1.5, cout),
            "beta": generator.normal(0, 0.1, cout),
            "mean": generator.normal(0, 0.1, cout),
            "variance": generator.uniform(0.5, 1.5, cout),
        }
        unit["variance"][0] = 1e-6  # where the difference of two ε is more than all of it
        unit["gamma"][0] = 0.01
        if bias:
            unit["bias"] = generator.normal(0, 0.1, cout)
        found[key] = {name: value.astype(np.float32) for name, value in unit.items()}

    add((1, 0, "conv1"), 7, 3, 64, 1.0)
    cin = 64
    for stage, count, inner in STAGES:
        for unit in range(count):
            add((stage, unit, "a"), 1, cin, inner, 1.0)
            add((stage, unit, "b"), 3, inner, inner, 1.0)
            if unit == 0:
                add((stage, unit, "shortcut"), 1, cin, 4 * inner, 0.7)
            add((stage, unit, "c"), 1, inner, 4 * inner, 0.3)
            cin = 4 * inner
    return found


def _padded(x, size, stride, mode, fill):
    if mode == "valid":
        return x
    pads = []
    for side in x.shape[:2]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads.append((total // 2, total - total // 2) if mode == "same" else (size // 2,) * 2)
    rows, columns = (sum(pad) + side for pad, side in zip(pads, x.shape))
    frame = np.tile(np.broadcast_to(fill, x.shape[-1]).astype(np.float64), (rows, columns, 1))
    frame[pads[0][0] :, pads[1][0] :][: x.shape[0], : x.shape[1]] = x
    return frame


def _windows(x, size, stride):
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return view[::stride, ::stride]


def conv4(found, x, epsilon, *, fill=0.0, conv1="pad", pool1="pad", v15=False):
    """Return the conv4 map at stride 32 of pixels [H, W, 3] as the network expects them."""

    def unit(x, key, stride=1, mode="pad", fill=0.0):
        parts = found[key]
        size = parts["kernel"].shape[0]
        x = _windows(_padded(x, size, stride, mode, fill), size, stride)
        y = np.einsum("hwcij,ijco->hwo", x, parts["kernel"], optimize=True) + parts.get("bias", 0)
        factor = parts["gamma"] / np.sqrt(parts["variance"].astype(np.float64) + epsilon)
        return (y - parts["mean"]) * factor + parts["beta"]

    x = np.maximum(unit(x, (1, 0, "conv1"), 2, conv1, fill), 0)
    x = _windows(_padded(x, 3, 2, pool1, 0.0), 3, 2).max((-1, -2))
    for stage, count, _ in STAGES[:3]:
        for number in range(count):
            stride = 2 if number == 0 and stage > 2 else 1
            inner = (1, stride) if v15 else (stride, 1)
            y = np.maximum(unit(x, (stage, number, "a"), inner[0]), 0)
            y = np.maximum(unit(y, (stage, number, "b"), inner[1]), 0)
            y = unit(y, (stage, number, "c"))
            shortcut = unit(x, (stage, number, "shortcut"), stride) if number == 0 else x
            x = np.maximum(y + shortcut, 0)
    return x[::2, ::2]


# -- names -----------------------------------------------------------------------------------------


def keras_layers(found):
    """Return the tensors as today's Keras orders them, by layer: its name and a list."""
    layers = {}
    for (stage, unit, branch), parts in found.items():
        stem = "conv1"
        if stage > 1:
            stem = f"conv{stage}_block{unit + 1}_{' abc'.find(branch) if len(branch) == 1 else 0}"
        layers[f"{stem}_conv"] = [parts["kernel"], parts["bias"]]
        layers[f"{stem}_bn"] = [parts[part] for part in ("gamma", "beta", "mean", "variance")]
    return layers


def torch_tensors(found):
    """Return the tensors as torchvision names and lays them out."""
    tensors = OrderedDict()
    for (stage, unit, branch), parts in found.items():
        stem = "" if stage == 1 else f"layer{stage - 1}.{unit}."
        number = {"conv1": 1, "a": 1, "b": 2, "c": 3}.get(branch)
        conv, norm = f"{stem}conv{number}", f"{stem}bn{number}"
        if branch == "shortcut":
            conv, norm = f"{stem}downsample.0", f"{stem}downsample.1"
        tensors[f"{conv}.weight"] = np.ascontiguousarray(parts["kernel"].transpose(3, 2, 0, 1))
        names = zip(
            ("weight", "bias", "running_mean", "running_var"),
            ("gamma", "beta", "mean", "variance"),
        )
        for name, part in names:
            tensors[f"{norm}.{name}"] = parts[part]
        tensors[f"{norm}.num_batches_tracked"] = np.array(7)
    return tensors


def slim_tensors(found, stages=4):
    """Return the tensors as TF-Slim names them, up to a stage."""
    tensors = {}
    for (stage, unit, branch), parts in found.items():
        stem = "resnet_v1_50/conv1"
        if stage > 1:
            name = {"a": "conv1", "b": "conv2", "c": "conv3"}.get(branch, branch)
            stem = f"resnet_v1_50/block{stage - 1}/unit_{unit + 1}/bottleneck_v1/{name}"
        if stage <= stages:
            tensors[f"{stem}/weights"] = parts["kernel"]
            for name in ("gamma", "beta"):
                tensors[f"{stem}/BatchNorm/{name}"] = parts[name]
            for name in ("mean", "variance"):
                tensors[f"{stem}/BatchNorm/moving_{name}"] = parts[name]
    return tensors


def delg_tensors(found):
    """Return the tensors as the objects of DELG name them, below the backbone."""
    tensors = {}
    for (stage, unit, branch), parts in found.items():
        conv, norm = "conv1", "bn_conv1"
        if stage > 1:
            stem = f"l{stage}{'abcdef'[unit]}"
            end = "_shortcut" if branch == "shortcut" else f"2{branch}"
            conv, norm = f"{stem}/conv{end}", f"{stem}/bn{end}"
        tensors[f"{conv}/kernel"], tensors[f"{conv}/bias"] = parts["kernel"], parts["bias"]
        tensors[f"{norm}/gamma"], tensors[f"{norm}/beta"] = parts["gamma"], parts["beta"]
        tensors[f"{norm}/moving_mean"] = parts["mean"]
        tensors[f"{norm}/moving_variance"] = parts["variance"]
    return tensors


# -- PyTorch's files -------------------------------------------------------------------------------


class _Pickler(pickle._Pickler):
    """Writes `_Tensor` and `_Global` as PyTorch's own pickles have them, without PyTorch."""

    def persistent_id(self, found):
        if isinstance(found, _Storage):
            return ("storage", _Global("torch", "FloatStorage"), found.key, "cpu", found.count)
        return None

    def save_global(self, found, name=None):
        self.write(pickle.GLOBAL + f"{found.module}\n{found.name}\n".encode())
        self.memoize(found)

    def save(self, found, save_persistent_id=True):
        if isinstance(found, _Global) and id(found) not in self.memo:
            self.save_global(found)
        else:
            super().save(found, save_persistent_id)


class _Global:
    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("only written")


class _Storage:
    def __init__(self, key, count):
        self.key, self.count = key, count


class _Tensor:
    def __init__(self, storage, shape, strides):
        self.arguments = (storage, 0, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return _Global("torch._utils", "_rebuild_tensor_v2"), self.arguments


def torch_program(tensors, wrap=lambda state: state):
    """Return the pickle of a state dict, and its storages by key."""
    storages, state = {}, {}
    for number, (name, array) in enumerate(tensors.items()):
        key = str(number)
        storages[key] = np.array(array, "<f4", order="C")
        strides = tuple(step // 4 for step in storages[key].strides)
        state[name] = _Tensor(_Storage(key, array.size), array.shape, strides)
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(wrap(state))
    return stream.getvalue(), storages


def write_torch(path, tensors, wrap=lambda state: state):
    """Write a `.pth` file as PyTorch does since 1.6."""
    program, storages = torch_program(tensors, wrap)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", program)
        for key, array in storages.items():
            file.writestr(f"archive/data/{key}", array.tobytes())


def write_torch_legacy(path, tensors):
    """Write a `.pth` file as PyTorch did before 1.6."""
    program, storages = torch_program(tensors)
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    with open(path, "wb") as file:
        for content in head:
            file.write(pickle.dumps(content, 2))
        file.write(program)
        file.write(pickle.dumps(list(storages), 2))
        for array in storages.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())


# -- TensorFlow's bundles --------------------------------------------------------------------------


def crc32c(data):
    """The sum straight from its definition, bit by bit, as it is stored."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _message(*parts):
    """Fields of (number, int or bytes); an int under 6 is a fixed one of 32 bits."""
    out = b""
    for number, content in parts:
        if number == 6:
            out += b"\x35" + struct.pack("<I", content)
        elif isinstance(content, int):
            out += _varint(number << 3) + _varint(content)
        else:
            out += _varint(number << 3 | 2) + _varint(len(content)) + content
    return out


def _table_block(entries):
    content, last = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        sizes = (shared, len(key) - shared, len(value))
        content += b"".join(map(_varint, sizes)) + key[shared:] + value
        last = key
    return content + struct.pack("<II", 0, 1)


def write_bundle(prefix, tensors, texts=None, sums=False):
    """Write a checkpoint of TensorFlow: index and one data file, with or without sums."""
    entries, data = [(b"", _message((1, 1), (3, b"\x08\x01")))], io.BytesIO()
    for name in sorted({**tensors, **(texts or {})}):
        if texts and name in texts:
            kind, shape = 7, ()
            content = _varint(len(texts[name])) + b"\0\0\0\0" + texts[name]
        else:
            kind, shape = 1, tensors[name].shape
            content = np.ascontiguousarray(tensors[name], "<f4").tobytes()
        sides = _message(*((2, _message((1, side))) for side in shape))
        fields = [(1, kind), (2, sides), (4, data.tell()), (5, len(content))]
        if sums:
            fields.append((6, crc32c(content)))
        entries.append((name.encode(), _message(*fields)))
        data.write(content)
    with open(f"{prefix}.data-00000-of-00001", "wb") as file:
        file.write(data.getvalue())
    index, handles = b"", []
    for start in range(0, len(entries), 50):
        block = _table_block(entries[start : start + 50])
        handles.append(
            (entries[start : start + 50][-1][0], _varint(len(index)) + _varint(len(block)))
        )
        index += block + b"\0" + struct.pack("<I", crc32c(block + b"\0"))
    places = []
    for block in (_table_block([]), _table_block(handles)):
        places.append(_varint(len(index)) + _varint(len(block)))
        index += block + b"\0" + struct.pack("<I", crc32c(block + b"\0"))
    footer = b"".join(places).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    with open(f"{prefix}.index", "wb") as file:
        file.write(index + footer)


def object_graph(variables):
    """Return the graph of objects of variables, tensors by the way to them ("a/b/kernel")."""
    nodes = [({}, None)]
    for way, tensor in variables.items():
        number = 0
        for name in way.split("/"):
            parts = nodes[number][0]
            if name not in parts:
                parts[name] = len(nodes)
                nodes.append(({}, None))
            number = parts[name]
        nodes[number] = ({}, tensor)
    message = b""
    for parts, tensor in nodes:
        node = _message(
            *((1, _message((1, part), (2, name.encode()))) for name, part in parts.items())
        )
        if tensor is not None:
            node += _message((2, _message((1, b"VARIABLE_VALUE"), (3, tensor.encode()))))
        message += _message((1, node))
    return message
