"""The encoders: what the descriptor tells apart, and that real model formats load as their libraries do."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import simplejpeg

from zcurate.curation.embedding.cnclip import ChineseClipEncoder
from zcurate.curation.embedding.embedded import WEIGHTS_FILE, EmbeddedEncoder, Weights
from zcurate.curation.embedding.encoder import Encoder, mirror_of
from zcurate.curation.embedding.openclip import OpenClipEncoder
from zcurate.curation.embedding.siglip import SiglipEncoder
from zcurate.curation.errors import ConfigError


def scene(seed: int, height: int = 300, width: int = 400) -> np.ndarray:
    """A smooth random color field with shapes: layout, color and edges."""
    rng = np.random.default_rng(seed)
    field = cv2.resize(
        rng.integers(20, 235, (5, 6, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(8):
        center = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        color = tuple(int(c) for c in rng.integers(0, 255, 3))
        cv2.circle(field, center, int(rng.integers(10, 60)), color, -1)
    return field


def shirt(color: tuple[int, int, int]) -> np.ndarray:
    """The same garment on the same wall, in a color."""
    image = np.full((400, 300, 3), (225, 220, 210), np.uint8)
    cv2.rectangle(image, (80, 90), (220, 330), color, -1)
    cv2.rectangle(image, (30, 90), (80, 200), color, -1)
    cv2.rectangle(image, (220, 90), (270, 200), color, -1)
    return image


SCENES = [scene(s) for s in range(12)]


@pytest.fixture(scope="module")
def embedded() -> EmbeddedEncoder:
    return EmbeddedEncoder()


def cosines(encoder: EmbeddedEncoder, change) -> np.ndarray:
    changed = encoder.encode_images([np.ascontiguousarray(change(s)) for s in SCENES])
    return (encoder.encode_images(SCENES) * changed).sum(axis=1)


def test_embedded_vectors_are_unit_and_repeatable(embedded):
    vectors = embedded.encode_images(SCENES)
    assert vectors.shape == (12, embedded.dim)
    assert embedded.dim == 192
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.tobytes() == EmbeddedEncoder().encode_images(SCENES).tobytes()
    assert embedded.encode_images([]).shape == (0, embedded.dim)
    assert embedded.encode_texts(["a"]) is None
    assert isinstance(embedded, Encoder)


@pytest.mark.parametrize(
    ("name", "change", "least"),
    [
        ("half size", lambda a: cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 0.98),
        ("jpeg 30", lambda a: simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(a, quality=30)), 0.98),
        ("brighter", lambda a: np.clip(a * 1.1 + 5, 0, 255).astype(np.uint8), 0.90),
    ],
)
def test_embedded_near_copies_are_close(embedded, name, change, least):
    assert cosines(embedded, change).min() > least


def test_embedded_crop_is_close(embedded):
    assert np.median(cosines(embedded, lambda a: a[15:-15, 20:-20])) > 0.9


def test_embedded_unrelated_photographs_are_far(embedded):
    data = pytest.importorskip("skimage.data")
    samples = pytest.importorskip("sklearn.datasets").load_sample_images().images
    photos = [getattr(data, n)() for n in ("astronaut", "chelsea", "coffee", "rocket")] + list(samples)
    vectors = embedded.encode_images(photos)
    pairs = (vectors @ vectors.T)[np.triu_indices(len(photos), 1)]
    assert pairs.max() < 0.5


@pytest.mark.parametrize("seed", range(0, 12, 3))
@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 30), (22, 0), (22, 30), (11, 15)])
def test_embedded_ten_percent_crop_is_nearer_than_another_picture(embedded, seed, top, left):
    picture = scene(seed)
    h, w = picture.shape[:2]
    crop = picture[top : top + h - 30, left : left + w - 40]
    original, copy, *others = embedded.encode_images(
        [picture, crop, *(s for i, s in enumerate(SCENES) if i != seed)]
    )
    assert original @ copy > 0.75
    assert max(original @ other for other in others) < original @ copy - 0.2


def test_embedded_tells_a_turned_hue_apart(embedded):
    hsv = [cv2.cvtColor(s, cv2.COLOR_RGB2HSV) for s in SCENES]
    for h in hsv:
        h[..., 0] = (h[..., 0].astype(int) + 60) % 180
    turned = [cv2.cvtColor(h, cv2.COLOR_HSV2RGB) for h in hsv]
    assert (embedded.encode_images(SCENES) * embedded.encode_images(turned)).sum(axis=1).max() < 0.8


def test_bundled_weights_are_read_from_one_file_and_damage_is_named(tmp_path):
    weights = Weights.load(WEIGHTS_FILE)
    weights.save(tmp_path / "w.safetensors", {"photographs": "1"})
    again = EmbeddedEncoder(Weights.load(tmp_path / "w.safetensors"))
    assert again.encode_images(SCENES).tobytes() == EmbeddedEncoder().encode_images(SCENES).tobytes()
    assert WEIGHTS_FILE.stat().st_size < 1 << 20
    (tmp_path / "w.safetensors").write_bytes(WEIGHTS_FILE.read_bytes()[:1000])
    for file in (tmp_path / "w.safetensors", tmp_path / "absent.safetensors"):
        with pytest.raises(ConfigError, match="embedded: cannot read"):
            Weights.load(file)


def test_embedded_sees_the_color_of_a_shirt(embedded):
    red, again, blue = embedded.encode_images(
        [shirt((190, 30, 40)), shirt((185, 34, 42)), shirt((40, 60, 190))]
    )
    assert red @ again > 0.98
    assert red @ blue < 0.7


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5000, 3), (3, 2, 3), (700, 500, 3)])
def test_embedded_flat_and_odd_shapes_are_finite(embedded, shape):
    vectors = embedded.encode_images([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize(
    ("height", "width"), [(300, 400), (251, 337), (64, 64), (50, 67), (40, 500), (500, 40), (1, 900), (9, 1)]
)
def test_embedded_mirror_is_the_vector_of_the_mirrored_picture(embedded, height, width):
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    pictures = [scene(5, height, width), noise]
    found = embedded.mirror.apply(embedded.encode_images(pictures))
    wanted = embedded.encode_images([np.ascontiguousarray(p[:, ::-1]) for p in pictures])
    # OpenCV looks colors up in a table of CIELAB, so that the last bit of a pixel can move an entry
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert (found * wanted).sum(axis=1).min() > 1 - 1e-6


def test_embedded_averages_the_side_that_shrinks_where_the_other_grows(embedded):
    stripes = np.zeros((40, 1280, 3), np.uint8)
    stripes[:, ::2] = 255
    grey = np.full((40, 64, 3), 128, np.uint8)
    a, b = embedded.encode_images([stripes, grey])
    assert a @ b > 0.999


def test_learned_encoders_know_no_mirror(embedded):
    assert mirror_of(embedded) is embedded.mirror
    assert mirror_of(OpenClipEncoder("ViT-B-32/x")) is None


# --- OpenCLIP -------------------------------------------------------------------------------------

OPENCLIP_CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def openclip_dir(tmp_path_factory):
    import torch
    from open_clip import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = CLIP(**OPENCLIP_CONFIG)
    directory = tmp_path_factory.mktemp("openclip")
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, directory / "open_clip_model.safetensors"
    )
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    config = {"model_cfg": OPENCLIP_CONFIG, "preprocess_cfg": preprocess}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    return directory


def test_openclip_matches_the_library(openclip_dir):
    import open_clip
    import torch
    from PIL import Image

    encoder = OpenClipEncoder(str(openclip_dir), device="cpu", batch_size=5)
    assert encoder.dim == 24
    images = encoder.encode_images(SCENES)
    texts = encoder.encode_texts(["a red shirt", "two cats"])
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{openclip_dir}")
    model.eval()
    with torch.no_grad():
        pixels = torch.stack([preprocess(Image.fromarray(s)) for s in SCENES])
        wanted = model.encode_image(pixels, normalize=True).numpy()
        tokens = open_clip.get_tokenizer(f"local-dir:{openclip_dir}")(["a red shirt", "two cats"])
        wanted_texts = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(images, wanted, atol=1e-5)
    np.testing.assert_allclose(texts, wanted_texts, atol=1e-5)
    assert encoder.encode_images([]).shape == (0, 24)


def test_openclip_architecture_with_weight_file(openclip_dir, tmp_path):
    import open_clip

    (tmp_path / "zcurate-tiny.json").write_text(json.dumps(OPENCLIP_CONFIG))
    open_clip.add_model_config(tmp_path)
    file = openclip_dir / "open_clip_model.safetensors"
    by_file = OpenClipEncoder(f"zcurate-tiny/{file}", device="cpu")
    assert by_file.dim == 24
    vectors = by_file.encode_texts(["a red shirt"])
    np.testing.assert_allclose(
        vectors, OpenClipEncoder(str(openclip_dir)).encode_texts(["a red shirt"]), atol=1e-5
    )
    with pytest.raises(ConfigError, match="neither a weight file nor a tag"):
        OpenClipEncoder("zcurate-tiny/laion").load()
    half = OpenClipEncoder(f"zcurate-tiny/{file}", device="cpu", precision="bf16")
    assert (half.encode_images(SCENES[:2]) * by_file.encode_images(SCENES[:2])).sum(axis=1).min() > 0.99


@pytest.mark.parametrize(
    "name", ["/no/such/dir", "ViT-B-32", "NoSuchArch/x", "ViT-B-32//no/such.safetensors"]
)
def test_openclip_names_what_is_missing(name):
    with pytest.raises(ConfigError, match="openclip:"):
        OpenClipEncoder(name).load()


def test_openclip_refuses_pickled_code(openclip_dir, tmp_path):
    import torch

    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "open_clip_config.json").write_text((openclip_dir / "open_clip_config.json").read_text())
    torch.save({"state_dict": Payload()}, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(ConfigError, match="holds more than weights"):
        OpenClipEncoder(str(tmp_path)).load()
    assert not (tmp_path / "ran").exists()


# --- transformers ---------------------------------------------------------------------------------

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"一只红色的猫衣服", "a", "red", "cat"]
TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def cnclip_dir(tmp_path_factory):
    import torch
    from transformers import BertTokenizer, ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("cnclip")
    config = ChineseCLIPConfig(
        text_config={**TOWER, "vocab_size": len(VOCABULARY), "max_position_embeddings": 64},
        vision_config={**TOWER, "image_size": 32, "patch_size": 16},
        projection_dim=20,
    )
    ChineseCLIPModel(config).eval().save_pretrained(directory)
    size = {"height": 32, "width": 32}
    ChineseCLIPImageProcessor(size=size, crop_size=size).save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    BertTokenizer(str(directory / "vocab.txt")).save_pretrained(directory)
    return directory


def test_chinese_clip_matches_the_library(cnclip_dir):
    import torch
    from PIL import Image
    from transformers import AutoTokenizer, ChineseCLIPImageProcessor, ChineseCLIPModel

    texts = ["一只红色的猫", "衣服", "a red cat " * 40]
    encoder = ChineseClipEncoder(str(cnclip_dir), device="cpu", batch_size=5)
    model = ChineseCLIPModel.from_pretrained(cnclip_dir).eval()
    processor = ChineseCLIPImageProcessor.from_pretrained(cnclip_dir)
    tokenizer = AutoTokenizer.from_pretrained(cnclip_dir)
    pixels = processor(images=[Image.fromarray(s) for s in SCENES], return_tensors="pt")
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=52, return_tensors="pt")
    with torch.no_grad():
        wanted = model(**tokens, **pixels)
    assert encoder.dim == 20
    np.testing.assert_allclose(encoder.encode_images(SCENES), wanted.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), wanted.text_embeds.numpy(), atol=1e-5)


def test_chinese_clip_refuses_missing_weights(cnclip_dir, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    directory = tmp_path / "part"
    shutil.copytree(cnclip_dir, directory)
    weights = load_file(directory / "model.safetensors")
    weights.pop("visual_projection.weight")
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"missing, e\.g\. visual_projection"):
        ChineseClipEncoder(str(directory), device="cpu").load()


@pytest.fixture(scope="module")
def siglip_dir(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("siglip")
    words = ["<pad>", "</s>", "<unk>", "a", "red", "cat"]
    config = SiglipConfig(
        text_config={**TOWER, "vocab_size": len(words), "max_position_embeddings": 16, "projection_size": 32},
        vision_config={**TOWER, "image_size": 32, "patch_size": 16},
    )
    SiglipModel(config).eval().save_pretrained(directory)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(directory)
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=core, **names).save_pretrained(directory)
    return directory


def test_siglip_matches_the_library(siglip_dir):
    import torch
    from PIL import Image
    from transformers import AutoTokenizer, SiglipImageProcessor, SiglipModel

    texts = ["a red cat", "cat"]
    encoder = SiglipEncoder(str(siglip_dir), device="cpu", batch_size=5)
    model = SiglipModel.from_pretrained(siglip_dir).eval()
    processor = SiglipImageProcessor.from_pretrained(siglip_dir)
    pixels = processor(images=[Image.fromarray(s) for s in SCENES], return_tensors="pt")
    tokenizer = AutoTokenizer.from_pretrained(siglip_dir)
    tokens = tokenizer(texts, padding="max_length", max_length=16, truncation=True, return_tensors="pt")
    with torch.no_grad():
        wanted = model(input_ids=tokens["input_ids"], **pixels)
    assert encoder.dim == 32
    np.testing.assert_allclose(encoder.encode_images(SCENES), wanted.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), wanted.text_embeds.numpy(), atol=1e-5)


def test_siglip2_naflex_matches_the_library(siglip_dir, tmp_path):
    import torch
    from PIL import Image
    from transformers import AutoTokenizer, Siglip2Config, Siglip2ImageProcessor, Siglip2Model

    torch.manual_seed(0)
    text = {**TOWER, "vocab_size": 6, "max_position_embeddings": 16, "projection_size": 32}
    config = Siglip2Config(text_config=text, vision_config={**TOWER, "num_patches": 16, "patch_size": 16})
    model = Siglip2Model(config).eval()
    model.save_pretrained(tmp_path)
    processor = Siglip2ImageProcessor(patch_size=16, max_num_patches=16)
    processor.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(siglip_dir).save_pretrained(tmp_path)
    inputs = processor(images=[Image.fromarray(s) for s in SCENES[:3]], return_tensors="pt")
    with torch.no_grad():
        features = model.get_image_features(**inputs)
    wanted = torch.nn.functional.normalize(getattr(features, "pooler_output", features), dim=-1).numpy()
    encoder = SiglipEncoder(str(tmp_path), device="cpu")
    np.testing.assert_allclose(encoder.encode_images(SCENES[:3]), wanted, atol=1e-5)


@pytest.mark.parametrize("make", [ChineseClipEncoder, SiglipEncoder])
def test_transformers_encoders_name_what_is_wrong(make, tmp_path, openclip_dir):
    with pytest.raises(ConfigError, match="does not exist"):
        make(str(tmp_path / "absent")).load()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        make(str(openclip_dir)).load()
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="model_type is 'bert'"):
        make(str(tmp_path)).load()
    with pytest.raises(ConfigError, match="precision"):
        make(str(tmp_path), precision="int3")
