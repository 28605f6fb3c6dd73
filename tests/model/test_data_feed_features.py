"""Stored latents and text features: used in place of pictures and texts, while they are of these and intact."""

import pytest
import torch

from zcurate.model.data.errors import DataError, SchemaError, StaleFeaturesError
from zcurate.model.data.features import FeatureStore, FeatureWriter, latent_variant
from zcurate.model.data.precompute import encoder_fingerprint, write_latents, write_text_features
from zcurate.model.tiny_encoders import ByteTextEncoder, PixelVae
from zcurate.model.train.conditioning import Encoders

from .data_case import export, id_of
from .feed_case import PIPELINE, epoch, feed, part


def test_stored_latents_and_features_take_the_place_of_pictures_and_texts(tmp_path):
    export(tmp_path / "e", 20)
    mix = {"en_long": 1, "en_user_prompts": 1}
    plain = feed(part(tmp_path / "e", dropout=0.3), captions=mix)
    source_part = plain.parts[0].part
    assert write_latents(source_part, PIPELINE.vae, tmp_path / "latents", "float32").written == 20
    texts = write_text_features(source_part, PIPELINE.text_encoder, tmp_path / "texts", "float32")
    assert texts.written == 1 + 20 * 3
    assert not texts.bad
    stored = feed(
        part(
            tmp_path / "e",
            dropout=0.3,
            latents=str(tmp_path / "latents"),
            text_features=str(tmp_path / "texts"),
        ),
        captions=mix,
    )
    # Pictures are not needed any more: wreck them, keep the texts.
    for shard in (tmp_path / "e").glob("*.tar"):
        data = shard.read_bytes().replace(b"\x89PNG\r\n\x1a\n", b"no image")
        shard.write_bytes(data)
    (tmp_path / "f").mkdir()
    export(tmp_path / "f", 20)
    plain = feed(part(tmp_path / "f", dropout=0.3), captions=mix)
    encoders = Encoders(PIPELINE)
    dropped = 0
    for mine, theirs in zip(stored, plain, strict=True):
        assert [(e.id, e.prompt) for e in mine] == [(e.id, e.prompt) for e in theirs]
        assert all(e.pixels is None and e.latents is not None and e.text_features is not None for e in mine)
        for a, b in zip(encoders(mine), encoders(theirs), strict=True):
            for x, y in zip(a, b, strict=True):
                x, y = (v if torch.is_tensor(v) else v.text[0] for v in (x, y))
                assert torch.equal(x, y)
        dropped += sum(not e.prompt for e in mine)
    assert 0 < dropped < 20


def test_stored_features_of_another_encoder_are_refused(tmp_path):
    export(tmp_path / "e", 6)
    one = feed(part(tmp_path / "e"))
    write_text_features(
        one.parts[0].part, ByteTextEncoder.new(PIPELINE.text_encoder.feat_dim, seed=9), tmp_path / "t"
    )
    with pytest.raises(StaleFeaturesError, match="made by encoder"):
        feed(part(tmp_path / "e", text_features=str(tmp_path / "t")))
    with pytest.raises(SchemaError, match="latents is wanted"):
        feed(part(tmp_path / "e", latents=str(tmp_path / "t")))
    with pytest.raises(SchemaError, match="no stored features"):
        feed(part(tmp_path / "e", latents=str(tmp_path / "e")))
    with pytest.raises(DataError, match="new folder"):
        write_latents(one.parts[0].part, PIPELINE.vae, tmp_path / "t")


def test_stored_features_of_changed_pictures_and_captions_are_not_used(tmp_path):
    export(tmp_path / "e", 6)
    old = feed(part(tmp_path / "e")).parts[0].part
    write_latents(old, PIPELINE.vae, tmp_path / "latents")
    write_text_features(old, PIPELINE.text_encoder, tmp_path / "texts")
    export(tmp_path / "new", 6, en_long="A text edited since", repainted={2})
    kept = {"latents": str(tmp_path / "latents"), "text_features": str(tmp_path / "texts")}
    examples = epoch(feed(part(tmp_path / "new", **kept)))
    assert all(e.text_features is None for e in examples)
    assert {e.id for e in examples if e.latents is None} == {id_of(2).hex()}
    examples = epoch(feed(part(tmp_path / "e", **kept), resolution={"side_px": 24}))
    assert all(e.latents is None and e.pixels is not None and e.text_features is not None for e in examples)


def test_damaged_features_are_bad_samples(tmp_path):
    vae = encoder_fingerprint(PixelVae())
    variant = latent_variant(4, 4, "c")
    with FeatureWriter(tmp_path / "g", "latents", vae, "float32", file_bytes=100) as writer:
        for i in range(3):
            writer.add(f"{i}", variant, torch.full((3, 4, 4), float(i)))
        writer.add("empty", variant, torch.zeros(0, 4))
    store = FeatureStore.open(tmp_path / "g", "latents", vae)
    assert len(store) == 4
    assert store.get("1", variant).unique().tolist() == [1.0]
    assert store.get("1", "other") is None
    assert tuple(store.get("empty", variant).shape) == (0, 4)
    path = tmp_path / "g" / "00002.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with pytest.raises(Exception, match="damaged"):
        store.get("2", variant)
    with pytest.raises(RuntimeError), FeatureWriter(tmp_path / "h", "text", vae) as writer:
        raise RuntimeError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g"]


def test_fingerprints_tell_encoders_apart():
    a, b = ByteTextEncoder.new(8, seed=0), ByteTextEncoder.new(8, seed=1)
    assert (
        encoder_fingerprint(a)
        == encoder_fingerprint(ByteTextEncoder.new(8, seed=0))
        != encoder_fingerprint(b)
    )
    assert encoder_fingerprint(PIPELINE.text_encoder) == encoder_fingerprint(PIPELINE.text_encoder.encoder)
    from zcurate.model.vae import AutoencoderKL, VaeConfig

    small = VaeConfig((8, 8), 1, 4, 4)
    torch.manual_seed(0)
    vae = AutoencoderKL(small)
    before = encoder_fingerprint(vae)
    with torch.no_grad():
        vae.encoder.conv_in.weight[0, 0, 0, 0] += 1
    assert encoder_fingerprint(vae) != before != encoder_fingerprint(PixelVae())
