"""Where pictures are kept, what is written in and beside them, and which bytes count as a picture."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.metadata.read import read_metadata
from zcurate.model.api.dashscope import Generated
from zcurate.model.api.download import check_picture
from zcurate.model.api.errors import DownloadError, RequestError
from zcurate.model.api.outputs import check_output, output_path, write
from zcurate.model.api.request import ImageRequest, ImageResult


def encoded(kind="PNG", **options):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def done_with(data=None, request_id="0a1b-2c3d", url="https://b.oss.aliyuncs.com/x.png?Signature=secret"):
    picture = check_picture(data or encoded(), "x")
    request = ImageRequest("ein See, 黎明的湖 <&>", "1024*1024", seed=5, prompt_extend=True)
    result = ImageResult(url, picture.width, picture.height, request.prompt, request_id, "better", "because")
    return Generated(
        result, picture, request, "z-image-turbo", "singapore", "https://dashscope-intl.aliyuncs.com/x"
    )


def test_the_default_place_is_below_output_or_the_folder_of_the_environment(tmp_path):
    name = "ai-image-zimage-turbo/images/0a1b-2c3d.png"
    assert str(output_path(done_with(), None, {})) == f"output/{name}"
    assert output_path(done_with(), None, {"OUTPUT_DIR": str(tmp_path)}) == tmp_path / name
    assert output_path(done_with(), tmp_path / "x.png", {"OUTPUT_DIR": "other"}) == tmp_path / "x.png"


@pytest.mark.parametrize(
    "request_id", ["../../etc/passwd", "/etc/passwd", "..", "", "a\x00b", "x" * 500, "*?"]
)
def test_a_request_id_leads_nowhere_else(request_id, tmp_path):
    path = output_path(done_with(request_id=request_id), None, {"OUTPUT_DIR": str(tmp_path)})
    assert path.resolve().parent == tmp_path / "ai-image-zimage-turbo" / "images"
    assert 0 < len(path.stem) <= 80


def test_a_picture_and_its_sidecar_tell_how_it_was_made(tmp_path):
    done = done_with()
    path = tmp_path / "new" / "fishing.png"
    sidecar = json.loads(write(done, path).read_text("utf-8"))
    assert sidecar["prompt"] == done.request.prompt
    assert sidecar["request_id"] == "0a1b-2c3d"
    assert sidecar["parameters"] == {"size": "1024*1024", "seed": 5, "prompt_extend": True}
    assert (sidecar["rewritten_prompt"], sidecar["reasoning"]) == ("better", "because")
    assert (sidecar["region"], sidecar["list_price_usd"]) == ("singapore", 0.03)
    assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sidecar["received_sha256"] == hashlib.sha256(done.picture.data).hexdigest()
    assert "Signature" not in json.dumps(sidecar)
    with Image.open(path) as image, Image.open(io.BytesIO(done.picture.data)) as received:
        assert np.array_equal(np.asarray(image), np.asarray(received))
        inside = json.loads(image.text["image.generate"])
    assert inside["prompt"] == done.request.prompt
    assert sorted(p.name for p in path.parent.iterdir()) == ["fishing.json", "fishing.png"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_every_format_is_marked_as_made_by_a_model(kind, suffix, tmp_path):
    done = done_with(encoded(kind))
    path = tmp_path / f"x{suffix}"
    write(done, path)
    with Image.open(path) as image, Image.open(io.BytesIO(done.picture.data)) as received:
        assert image.format == {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[suffix]
        if suffix == ".png":
            assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(received.convert("RGB")))
    formats = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
    assert read_metadata(path.read_bytes(), formats[suffix])["ai_declared"]
    assert not read_metadata(done.picture.data, kind)["ai_declared"]


@pytest.mark.parametrize("name", ["x.json", "x.gif", "x", "folder", ".png"])
def test_an_output_that_cannot_be_is_refused_before_anything_is_paid(name, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestError, match="output"):
        check_output(tmp_path / name)


def test_a_sidecar_replaces_sidecars_alone(tmp_path):
    (tmp_path / "mine.json").write_text('{"prompt": "a request of mine"}')
    with pytest.raises(RequestError, match=r"mine\.json"):
        check_output(tmp_path / "mine.png")
    write(done_with(), tmp_path / "again.png")
    check_output(tmp_path / "again.png")


def test_a_folder_that_cannot_be_made_is_found_before_anything_is_paid(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="file"):
        check_output(None, {"OUTPUT_DIR": str(tmp_path / "file")})
    check_output(None, {"OUTPUT_DIR": str(tmp_path / "new")})
    assert (tmp_path / "new" / "ai-image-zimage-turbo" / "images").is_dir()


SOURCES = [encoded("PNG"), encoded("JPEG"), encoded("WEBP")]


@given(
    st.sampled_from(SOURCES),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
def test_any_bytes_are_a_picture_or_an_error_of_ours(data, changes, kept):
    broken = bytearray(data)
    for where, value in changes:
        broken[int(where * len(broken))] = value
    try:
        picture = check_picture(bytes(broken[: max(1, int(kept * len(broken)))]), "http://h/x?secret")
    except DownloadError as e:
        message = str(e)
    else:
        message = picture.suffix
    assert message in (".png", ".jpg", ".webp") or ("http://h/x" in message and "secret" not in message)
