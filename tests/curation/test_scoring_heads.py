"""Head files: LAION's layouts and ours give what torch gives; damaged and hostile files are refused."""

import contextlib
import io
import json
import resource
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.scoring.errors import HeadError, VectorError
from zcurate.curation.scoring.head import HeadInfo, _may_be_openai_clip, check_fit
from zcurate.curation.scoring.linear import LinearHead, write_head
from zcurate.curation.scoring.torch_file import read_state_dict


class Predictor(torch.nn.Module):
    """The layout of LAION's improved aesthetic predictor, at any width."""

    def __init__(self, dim=768, widths=(1024, 128, 64, 16)):
        super().__init__()
        first, second, third, fourth = widths
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(dim, first),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(first, second),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(second, third),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(third, fourth),
            torch.nn.Linear(fourth, 1),
        )

    def forward(self, x):
        return self.layers(x)


def predictor(**sizes):
    """One whose predictions lie inside 1..10, so that clipping hides nothing."""
    torch.manual_seed(0)
    model = Predictor(**sizes).eval()
    with torch.no_grad():
        model.layers[7].weight *= 20
        model.layers[7].bias.fill_(5.0)
    return model


def unit(n, dim, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def small():
    return predictor(dim=12, widths=(16, 8, 6, 4))


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_laion_mlp_gives_what_torch_gives(tmp_path, zipped):
    model = predictor()
    file = tmp_path / "sac+logos+ava1-l14-linearMSE.pth"
    torch.save(model.state_dict(), file, _use_new_zipfile_serialization=zipped)
    head = LinearHead(str(file))
    assert head.info == HeadInfo(768, "regression", (1.0, 10.0), None, "laion-mlp")
    x = unit(32, 768)
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()[:, 0]
    assert wanted.std() > 0.01
    assert ((wanted > 1) & (wanted < 10)).all()
    np.testing.assert_allclose(head.score(x), wanted, atol=1e-4)
    assert head.score(x).dtype == np.float32
    assert head.score(x[:0]).shape == (0,)


def test_laion_linear_and_clipping(tmp_path):
    layer = torch.nn.Linear(512, 1)
    with torch.no_grad():
        layer.weight *= 400
    file = tmp_path / "sa_0_4_vit_b_32_linear.pth"
    torch.save(layer.state_dict(), file)
    head = LinearHead(str(file))
    assert (head.info.dim, head.info.layout) == (512, "laion-linear")
    x = unit(50, 512)
    wanted = layer(torch.from_numpy(x)).detach().numpy()[:, 0]
    assert wanted.min() < 1 < 10 < wanted.max(), "the test must reach both ends"
    np.testing.assert_allclose(head.score(x), np.clip(wanted, 1, 10), atol=1e-4)


def test_laion_layout_as_safetensors(tmp_path, small):
    from safetensors.torch import save_file

    x = unit(9, 12)
    wanted = small(torch.from_numpy(x)).detach().numpy()[:, 0]
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.1), (torch.float16, 0.02)):
        save_file({k: v.to(dtype) for k, v in small.state_dict().items()}, tmp_path / "head.safetensors")
        head = LinearHead(str(tmp_path / "head.safetensors"))
        assert head.info.layout == "laion-mlp"
        np.testing.assert_allclose(head.score(x), wanted, atol=tolerance)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: saved({"state_dict": m.state_dict(), "epoch": 3}),
        lambda m: saved(dict(m.named_parameters())),
        lambda m: saved(m.state_dict(), pickle_protocol=4),
        lambda m: saved(m.state_dict(), pickle_protocol=5),
        lambda m: saved({k: v.t().contiguous().t() for k, v in m.state_dict().items()}),
        lambda m: saved({"state_dict": m.state_dict()}, _use_new_zipfile_serialization=False),
    ],
    ids=["lightning", "parameters", "protocol 4", "protocol 5", "strided", "stream"],
)
def test_state_dicts_as_they_are_saved(small, wrap):
    found = read_state_dict(wrap(small))
    assert list(found) == list(small.state_dict())
    for name, tensor in small.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    dtype=st.sampled_from(["float32", "float64", "float16", "bfloat16", "int64", "int32"]),
    transposed=st.booleans(),
    offset=st.integers(0, 3),
    zipped=st.booleans(),
)
def test_any_tensor_comes_back(shape, dtype, transposed, offset, zipped):
    count = int(np.prod(shape)) + offset
    flat = torch.arange(count).to(getattr(torch, dtype))
    tensor = flat[offset:].reshape(shape)
    tensor = tensor.T if transposed and len(shape) == 2 else tensor
    found = read_state_dict(saved({"t": tensor}, _use_new_zipfile_serialization=zipped))["t"]
    wanted = tensor.float() if dtype == "bfloat16" else tensor
    np.testing.assert_array_equal(found, wanted.numpy())
    assert found.shape == tuple(shape if not (transposed and len(shape) == 2) else shape[::-1])


class Payload:
    """What a hostile file would run."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, zipped, small):
    target = tmp_path / "ran"
    for value in ({"weight": Payload(target)}, Payload(target), {**small.state_dict(), "x": Payload(target)}):
        torch.save(value, tmp_path / "head.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(HeadError, match="more than tensors"):
            _ = LinearHead(str(tmp_path / "head.pth")).info
    torch.save(small, tmp_path / "module.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(HeadError, match="more than tensors"):
        LinearHead(str(tmp_path / "module.pth")).load()
    assert not target.exists()


def test_foreign_files_are_refused(tmp_path, small):
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(small.state_dict()))) as old, zipfile.ZipFile(packed, "w") as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item), zipfile.ZIP_DEFLATED)
    scripted = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), scripted)
    for data, message in [
        (b"", "torch.save|damaged|truncated"),
        (b"\x80\x02}.", "not a file of torch.save"),
        (b"PK\x03\x04" + bytes(50), "damaged zip"),
        (packed.getvalue(), "compressed"),
        (scripted.read_bytes(), "TorchScript"),
        (saved([1, 2]), "no dict of tensors"),
        (saved({}), "no dict of tensors"),
        (saved({"a": 1}), "more than tensors"),
        (saved({3: torch.zeros(1)}), "more than a dict"),
    ]:
        with pytest.raises(HeadError, match=message):
            read_state_dict(data)


@pytest.mark.parametrize("zipped", [True, False])
@given(where=st.floats(0, 1), cut=st.booleans(), byte=st.integers(0, 255))
def test_damaged_files_are_typed_errors(zipped, where, cut, byte):
    data = bytearray(
        saved({"weight": torch.ones(1, 5), "bias": torch.ones(1)}, _use_new_zipfile_serialization=zipped)
    )
    at = int(where * (len(data) - 1))
    if cut:
        del data[at:]
    else:
        data[at] = byte
    with contextlib.suppress(HeadError):  # no other error, and what still reads is a dict of arrays
        found = read_state_dict(bytes(data))
        assert all(isinstance(a, np.ndarray) for a in found.values())


def test_own_format_keeps_what_it_says(tmp_path):
    rng = np.random.default_rng(1)
    layers = [(rng.normal(size=(3, 7)), rng.normal(size=3)), (rng.normal(size=(1, 3)), rng.normal(size=1))]
    x = unit(20, 7)
    for kind, limits, activation in (("logistic", (0.0, 1.0), "relu"), ("regression", (-9.0, 9.0), "none")):
        info = HeadInfo(7, kind, limits, "enc:sha256:abc", "zcurate")
        file = tmp_path / f"{kind}.safetensors"
        write_head(file, layers, info, activation, {"used": 20})
        head = LinearHead(str(file))
        assert head.info == info
        hidden = x @ layers[0][0].T + layers[0][1]
        hidden = np.maximum(hidden, 0) if activation == "relu" else hidden
        y = (hidden @ layers[1][0].T + layers[1][1])[:, 0]
        wanted = 1 / (1 + np.exp(-y)) if kind == "logistic" else y
        np.testing.assert_allclose(head.score(x), wanted, atol=1e-5)
        before = file.read_bytes()
        write_head(file, layers, info, activation, {"used": 20})
        assert file.read_bytes() == before


def test_own_format_refuses_wrong_metadata(tmp_path):
    from safetensors.numpy import save

    tensors = {"layers.0.weight": np.ones((1, 4), np.float32), "layers.0.bias": np.zeros(1, np.float32)}
    good = {"format": "zcurate.head", "version": 1, "encoder": None, "dim": 4, "kind": "logistic"}
    good |= {"range": [0, 1], "activation": "none"}
    file = tmp_path / "head.safetensors"
    for change in (
        *(
            {"version": 2},
            {"kind": "softmax"},
            {"range": [1, 1]},
            {"range": "ab"},
            {"range": [0, float("inf")]},
            {"range": [-1.7e308, 1.7e308]},
        ),
        *({"dim": 5}, {"encoder": 3}, {"activation": "exec"}, {"format": "x"}),
    ):
        file.write_bytes(save(tensors, {"zcurate": json.dumps(good | change)}))
        with pytest.raises(HeadError, match="metadata"):
            _ = LinearHead(str(file)).info
    file.write_bytes(save(tensors, {"zcurate": "{"}))
    with pytest.raises(HeadError, match="metadata"):
        _ = LinearHead(str(file)).info
    file.write_bytes(save(tensors, {"zcurate": json.dumps(good)}))
    assert LinearHead(str(file)).info.dim == 4


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": np.ones((1, 4)), "bias": np.full(1, np.nan)}, "NaN"),
        ({"weight": np.full((1, 4), 1e300), "bias": np.ones(1)}, "NaN or infinity"),
        ({"weight": np.ones((2, 4)), "bias": np.ones(2)}, "gives 2 numbers"),
        ({"weight": np.ones((1, 4)), "bias": np.ones(2)}, "do not follow"),
        ({"weight": np.ones(4), "bias": np.ones(4)}, "do not follow"),
        ({"weight": np.ones((1, 4), np.int64), "bias": np.ones(1)}, "floating-point|type I64"),
        ({"fc.weight": np.ones((1, 4)), "fc.bias": np.ones(1)}, "unknown layout"),
        ({"layers.0.weight": np.ones((1, 4))}, "unknown layout"),
        (
            {"layers.0.weight": np.ones((3, 4)), "layers.0.bias": np.ones(3)}
            | {"layers.1.weight": np.ones((1, 2)), "layers.1.bias": np.ones(1)},
            "do not follow",
        ),
    ],
)
def test_weights_that_are_no_head(tmp_path, tensors, message):
    from safetensors.numpy import save_file

    save_file(tensors, tmp_path / "a.safetensors")
    torch.save({k: torch.from_numpy(v) for k, v in tensors.items()}, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        with pytest.raises(HeadError, match=message) as e:
            LinearHead(str(tmp_path / name)).load()
        assert name in str(e.value)


def test_missing_huge_and_unfit(tmp_path):
    with pytest.raises(HeadError, match=r"none\.pth: cannot be read"):
        _ = LinearHead(str(tmp_path / "none.pth")).info
    big = tmp_path / "big.pth"
    with big.open("wb") as f:
        f.truncate(65 << 20)
    with pytest.raises(HeadError, match="at most"):
        _ = LinearHead(str(big)).info
    header = tmp_path / "header.safetensors"
    header.write_bytes((2 << 20).to_bytes(8, "little") + b"{" + bytes(3 << 20))
    with pytest.raises(HeadError, match="header"):
        _ = LinearHead(str(header)).info
    layer = torch.nn.Linear(4, 1)
    torch.save(layer.state_dict(), tmp_path / "a.pth")
    head = LinearHead(str(tmp_path / "a.pth"))
    with pytest.raises(HeadError, match=r"\[n, 4\]"):
        head.score(unit(2, 5))
    with pytest.raises(VectorError):
        head.score(np.full((1, 4), np.nan))


def test_heads_are_tied_to_their_encoder(tmp_path, small):
    torch.save(small.state_dict(), tmp_path / "laion.pth")
    laion = LinearHead(str(tmp_path / "laion.pth"))
    for model in (
        "openclip:ViT-L-14/openai",
        f"openclip:{tmp_path}",
        "openclip:ViT-L-14//models/l14.safetensors",
    ):
        check_fit(laion, model, "any", 12)
    with pytest.raises(HeadError, match="12 numbers, but openclip:x gives 13"):
        check_fit(laion, "openclip:x", "any", 13)
    for model in ("siglip:google/x", "cnclip:OFA-Sys/x", "embedded", "openclip:ViT-L-14/laion2b_s32b_b82k"):
        with pytest.raises(HeadError, match="OpenAI's CLIP"):
            check_fit(laion, model, "any", 12)
    own = tmp_path / "own.safetensors"
    write_head(own, [(np.ones((1, 12)), np.ones(1))], HeadInfo(12, "regression", (1, 10), "a:1", "zcurate"))
    check_fit(LinearHead(str(own)), "a", "a:1", 12)
    with pytest.raises(HeadError, match="trained with a:1"):
        check_fit(LinearHead(str(own)), "b", "b:1", 12)


def pickled(body: bytes) -> bytes:
    """A zip archive as torch writes it, with this program."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/data/0", bytes(4 * 50_000))
    return file.getvalue()


def one_storage_many_names(count: int) -> bytes:
    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    size = b"J" + struct.pack("<i", 50_000)
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + size + b"tQ"
    arguments = b"(" + storage + b"K\x00" + size + b"\x85K\x01\x85tq\x01"
    first = text("k0") + b"ctorch._utils\n_rebuild_tensor_v2\nq\x00" + arguments + b"R"
    others = b"".join(text(f"k{i}") + b"h\x00h\x01R" for i in range(1, count))
    return pickled(b"}(" + first + others + b"u")


@pytest.mark.parametrize(
    "data",
    [
        pickled(
            b"K\x01" + b"2\x86" * 60 + b"K\x01\x85R"
        ),  # a call of pairs of pairs: written out, 2^60 numbers
        pickled(b"K\x01" + b"\x85" * 95_000 + b"K\x01\x85R"),
        pickled(b"(K\x01" + b"2\x86" * 60 + b"K\x01K\x01K\x01K\x01tQ"),
        one_storage_many_names(6_000),
    ],
    ids=["shared", "deep", "storage", "many names"],
)
def test_small_files_cost_little_whatever_they_hold(tmp_path, data):
    (tmp_path / "head.pth").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(HeadError, match=r"head\.pth"):
        LinearHead(str(tmp_path / "head.pth")).load()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 5


def test_hub_encoders_are_openai_s_by_their_owner():
    assert _may_be_openai_clip("openclip:hf-hub:openai/clip-vit-large-patch14")
    assert not _may_be_openai_clip("openclip:hf-hub:laion/CLIP-ViT-L-14-laion2B-s32B-b82K")


def shaped(shape: bytes, strides: bytes) -> bytes:
    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"M\x50\xc3tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + strides + b"tR"


def named(**tensors: bytes) -> bytes:
    body = b"".join(b"X" + struct.pack("<I", len(k)) + k.encode() + v for k, v in tensors.items())
    return pickled(b"}(" + body + b"u")


_HUGE = b"\x8a\xff" + b"\xff" * 254 + b"\x7f"
_LARGE = b"J" + struct.pack("<i", 2**31 - 1)
_WHOLE = shaped(b"M\x50\xc3\x85", b"K\x01\x85")


@pytest.mark.parametrize(
    "data",
    [
        named(weight=shaped(b"(" + _HUGE + b"q\x00" + b"h\x00" * 20_000 + b"t", b"K\x01\x85")),
        named(weight=shaped(_HUGE + b"\x85", b"K\x01\x85")),
        named(
            **{f"t{i}": _WHOLE for i in range(400)},
            z=shaped(b"J" + struct.pack("<i", -1) + _LARGE + _LARGE + b"\x87", b"K\x01K\x01K\x01\x87"),
        ),
        named(weight=shaped(b"K\x02K\x03\x86", b"K\x01\x85")),
    ],
    ids=["long product", "huge", "negative total", "strides"],
)
def test_tensors_of_absurd_shapes_are_refused_before_anything_is_counted(tmp_path, data):
    (tmp_path / "head.pth").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HeadError, match="damaged: a tensor"):
        LinearHead(str(tmp_path / "head.pth")).load()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


@pytest.mark.parametrize("shape", [[1] * 65, [0, 2**62, 4]])
def test_safetensors_of_shapes_that_numpy_has_not(tmp_path, shape):
    size = 0 if 0 in shape else 4
    about = {
        "weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]},
        "bias": {"dtype": "F32", "shape": [1], "data_offsets": [size, size + 4]},
    }
    header = json.dumps(about).encode()
    file = tmp_path / "head.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size + 4))
    with pytest.raises(HeadError, match=r"head\.safetensors: damaged safetensors: tensor 'weight'"):
        LinearHead(str(file)).load()


@pytest.mark.parametrize("kind", ["regression", "logistic"])
def test_scores_that_overflow_are_no_scores(tmp_path, kind):
    file = tmp_path / "head.safetensors"
    layers = [(np.full((2, 4), 3e38), np.ones(2)), (np.array([[3e38, -3e38]]), np.ones(1))]
    write_head(file, layers, HeadInfo(4, kind, (1, 10), None, "zcurate"))
    with pytest.raises(HeadError, match="overflow"):
        LinearHead(str(file)).score(unit(2, 4))
