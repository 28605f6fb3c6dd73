"""What counts as a file's own declaration to be AI-made, what is a hint only, and what is neither."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zcurate.curation.profile.metadata import read_metadata
from zcurate.curation.profile.metadata.generators import names_generator
from zcurate.curation.profile.metadata.text import decode_utf16

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PICTURE = Image.new("RGB", (16, 12), (30, 90, 60))
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
A1111 = (
    "a castle, oil painting\nNegative prompt: blurry\n"
    "Steps: 28, Sampler: DPM++ 2M, CFG scale: 7, Seed: 42, Size: 512x512, Model hash: abc123"
)
GRAPH = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "model": ["4", 0]}}})
WORKFLOW = json.dumps({"last_node_id": 9, "nodes": [{"id": 4, "widgets_values": ["v1-5.ckpt"]}], "links": []})
LABEL = {
    "Label": "1",
    "ContentProducer": "001191110108MA01KP2T5U00000",
    "ProduceID": "x1",
    "ReservedCode1": "",
}


def saved(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, format, **options)
    return stream.getvalue()


def verdict(data: bytes, format: str) -> tuple[bool, list[str]]:
    values = read_metadata(data, format)
    return values["ai_declared"], values["ai_evidence"]


def of_png(**texts: str) -> tuple[bool, list[str]]:
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key.replace("_S_", " "), text)
    return verdict(saved("PNG", pnginfo=info), "PNG")


def of_xmp(elements: str = "", attributes: str = "") -> tuple[bool, list[str]]:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        f' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {attributes}>{elements}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    return verdict(saved("WEBP", xmp=packet.encode()), "WEBP")


def of_exif(first: dict[int, Any], details: dict[int, Any] | None = None) -> tuple[bool, list[str]]:
    exif = Image.Exif()
    exif.update(first)
    exif.get_ifd(0x8769).update(details or {})
    return verdict(saved("JPEG", exif=exif), "JPEG")


@pytest.mark.parametrize(
    ("name", "declares", "listed"),
    [
        ("trainedAlgorithmicMedia", True, True),
        ("compositeWithTrainedAlgorithmicMedia", True, True),
        ("algorithmicMedia", False, True),
        ("compositeSynthetic", False, True),
        ("algorithmicallyEnhanced", False, True),
        ("digitalCapture", False, False),
        ("digitalCreation", False, False),
        ("negativeFilm", False, False),
    ],
)
def test_iptc_digital_source_type(name: str, declares: bool, listed: bool) -> None:
    element = f"<Iptc4xmpExt:DigitalSourceType>{SOURCE}{name}</Iptc4xmpExt:DigitalSourceType>"
    for found in (of_xmp(element), of_xmp(attributes=f'Iptc4xmpExt:DigitalSourceType="{SOURCE}{name}"')):
        assert found[0] is declares
        assert [e.removeprefix("hint: ") for e in found[1]] == [f"iptc digitalSourceType: {name}"] * listed
        assert all(e.startswith("hint: ") is not declares for e in found[1])


@pytest.mark.parametrize(
    "texts",
    [
        {"parameters": A1111},
        {"parameters": json.dumps({"sui_image_params": {"prompt": "a", "model": "flux"}})},
        {"parameters": json.dumps({"prompt": "a", "steps": 30, "seed": "1", "version": "Fooocus v2.5"})},
        {"fooocus_scheme": "fooocus", "parameters": "{}"},
        {"prompt": GRAPH},
        {"workflow": WORKFLOW},
        {"invokeai_metadata": json.dumps({"generation_mode": "txt2img"})},
        {"sd-metadata": json.dumps({"model": "stable diffusion", "image": {"prompt": [{"prompt": "x"}]}})},
        {"Dream": '"a castle" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms'},
        {
            "Software": "NovelAI",
            "Comment": json.dumps({"prompt": "1girl", "steps": 28, "seed": 1, "uc": "bad"}),
        },
        {"Title": "AI generated image"},
        {
            "Description": "a castle --ar 3:2 --v 6.0 Job ID: 0f1e2d3c-aaaa-bbbb-cccc-1234567890ab",
            "Author": "someone",
        },
        {"generation_data": json.dumps({"models": []})},
        {"prompt": "a castle", "seed": "42", "num_inference_steps": "25", "guidance_scale": "7.5"},
        {"AIGC": json.dumps(LABEL)},
        {"AIGC": json.dumps({"AIGC": LABEL})},
        {"Comment": json.dumps({"AIGC": LABEL})},
        {"Software": "即梦AI"},
    ],
)
def test_generators_own_png_texts_declare(texts: dict[str, str]) -> None:
    declared, evidence = of_png(**texts)
    assert declared
    assert evidence[0].startswith("png text")


@pytest.mark.parametrize(
    "texts",
    [
        {"Description": "Stable Diffusion and Midjourney: a lecture on prompts, steps, seeds and samplers"},
        {"Title": "ComfyUI workflow seen on a monitor", "Comment": "made by DALL-E? no, photographed"},
        {"Comment": "Steps: 12 up to the temple"},
        {"Comment": "Garden plan\nSteps: 3, Seed: 20 g of poppy, Size: XL"},
        {"prompt": "Write about your summer", "workflow": "scan, crop, print"},
        {"parameters": "f/8, 1/250 s, ISO 100"},
        {"parameters": json.dumps({"aperture": 8, "seed": "sunflower"})},
        {"Software": "Adobe Photoshop 25.0 (Windows)"},
        {"Software": "Adobe ImageReady"},
        {"Description": "figure 3 --v 6 --ar 3:2"},
        {"AIGC": "our club's abbreviation"},
        {"AIGC": json.dumps({**LABEL, "Label": "0"})},
        {"Dream": "of a red chamber"},
        {"Comment": "Game of Life. Steps: 500, Seed: 42, Size: 128x128"},
        {
            "Description": json.dumps(
                {"directed": False, "nodes": [{"id": 0}], "links": [{"source": 0, "target": 1}]}
            )
        },
        {"Description": json.dumps({"a": 0.1, "b": 2, "c": 1.5, "seed": 42, "steps": 1000})},
        {"Comment": json.dumps({"prompt": "Name the color", "scale": 2, "steps": 5})},
        {"Software": "Kanji Ideograms 2.0"},
        {"Software": "Grok JPEG 2000 v10"},
    ],
)
def test_words_and_ordinary_programs_are_neither(texts: dict[str, str]) -> None:
    assert of_png(**texts) == (False, [])


def test_a_job_number_alone_is_a_hint():
    """Render farms and scanners have them, too."""
    job = "Job ID: 0f1e2d3c-aaaa-bbbb-cccc-1234567890ab"
    assert of_png(Comment=f"{job}, page 3") == (False, [])
    declared, evidence = of_png(Comment=f"Rendered overnight. {job}")
    assert not declared
    assert evidence[0].startswith("hint: ")


@pytest.mark.parametrize("value", ["None", "n/a", "-", " No. ", "无"])
def test_no_system_is_no_system(value: str) -> None:
    assert of_xmp(f"<Iptc4xmpExt:AISystemUsed>{value}</Iptc4xmpExt:AISystemUsed>") == (False, [])
    assert of_xmp("<Iptc4xmpExt:AISystemUsed>DALL-E 3</Iptc4xmpExt:AISystemUsed>")[0]


def test_settings_in_captions_of_xmp_and_exif_by_the_code_of_flux() -> None:
    assert of_xmp(f"<tiff:ImageDescription>{A1111}</tiff:ImageDescription>")[0]
    for task in ("txt2img", "img2img"):
        assert of_exif({0x0131: f"AI generated;{task};flux"})[0]
    assert of_exif({0x010F: "Black Forest Labs"})[0]


@pytest.mark.parametrize(
    "text", ["Красная площадь", "서울의 밤", "Αθήνα", "القاهرة", "กรุงเทพ", "東京タワー", "Łódź", "Tokyo"]
)
@pytest.mark.parametrize("order", ["le", "be"])
def test_wide_text_is_read_in_the_order_it_was_written_in(text: str, order: str) -> None:
    raw = text.encode(f"utf-16-{order}")
    assert decode_utf16(raw, "<" if order == "le" else ">") == text


@pytest.mark.parametrize(
    "software",
    "Adobe Lightroom 7.1|GIMP 2.10.30|Lavf58.29.100|ImageMagick 7|Photos 8.0|HDR+ 1.0.5|paint.net 4.2|Capture One 22|"
    "Ver.1.10|darktable 4.0|Picasa|Snapseed|Meitu|DxO PhotoLab|Topaz Photo AI|Canva|Figma|Kendalle Raw|CorelDRAW|"
    "Luminar Neo|Aurora HDR 2019|Microsoft Designer|Illuminate 2|Kandinsky Museum Scanner".split("|"),
)
def test_cameras_and_editors_are_no_generators(software: str) -> None:
    assert not names_generator(software)
    assert of_exif({0x0131: software}) == (False, [])


@pytest.mark.parametrize(
    "software",
    [
        "Stable UI - Create images with Stable Diffusion using the AI Horde",
        "DALL·E 3",
        "Midjourney",
        "Draw Things",
        "豆包",
        "FLUX.1 [dev]",
    ],
)
def test_generators_by_their_own_name(software: str) -> None:
    declared, evidence = of_exif({0x0131: software.encode()})
    assert declared
    assert evidence == [f"exif software: {software}"]
    assert of_xmp(f"<xmp:CreatorTool>{software}</xmp:CreatorTool>")[0]


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "ascii", "none"])
def test_settings_in_the_exif_user_comment(encoding: str) -> None:
    name = {"ascii": b"ASCII\0\0\0", "none": bytes(8)}.get(encoding, b"UNICODE\0")
    comment = name + A1111.encode("ascii" if encoding == "none" else encoding)
    declared, evidence = of_exif({}, {0x9286: comment})
    assert declared
    assert evidence == ["exif UserComment (Steps, Sampler, CFG scale, Seed)"]


def test_comfy_graphs_in_exif_are_no_camera() -> None:
    exif = Image.Exif()
    exif.update({0x0110: f"prompt:{GRAPH}", 0x010F: f"workflow:{WORKFLOW}"})
    values = read_metadata(saved("WEBP", exif=exif), "WEBP")
    assert values["ai_declared"]
    assert (values["camera_make"], values["camera_model"]) == (None, None)


def test_xmp_of_services() -> None:
    assert of_xmp("<photoshop:Credit>Made with Google AI</photoshop:Credit>")[0]
    assert of_xmp("<photoshop:Credit>Photo: Made with Google AI glasses</photoshop:Credit>") == (False, [])
    assert of_xmp("<Iptc4xmpExt:AISystemUsed>Z-Image</Iptc4xmpExt:AISystemUsed>")[0]
    settings = json.dumps({"c": "a castle", "seed": 4, "steps": 20, "sampler": "DPM++"}).replace(
        '"', "&quot;"
    )
    assert of_xmp(f"<exif:UserComment><rdf:Alt><rdf:li>{settings}</rdf:li></rdf:Alt></exif:UserComment>")[0]
    hint = of_xmp("<dc:creator><rdf:Seq><rdf:li>Midjourney</rdf:li></rdf:Seq></dc:creator>")
    assert hint == (False, ["hint: xmp dc:creator: Midjourney"])


@pytest.mark.parametrize(("value", "declares"), [("1", True), ("2", True), ("3", False)])
def test_label_of_gb_45438_in_its_forms(value: str, declares: bool) -> None:
    text = json.dumps({**LABEL, "Label": value})
    quoted = text.replace('"', "&quot;")
    namespace = 'xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/"'
    found = [
        of_xmp(f"<TC260:AIGC>{quoted}</TC260:AIGC>", namespace),
        of_xmp(f"<TC260:AIGC>{text}</TC260:AIGC>", namespace.replace("TC260=", "C260=")),  # undeclared prefix
        of_xmp(attributes=f'{namespace} TC260:AIGC="{quoted}"'),
        of_xmp(
            attributes=f'{namespace} TC260:Label="{value}" TC260:ContentProducer="{LABEL["ContentProducer"]}"'
        ),
        of_exif({}, {0x9286: b"ASCII\0\0\0" + json.dumps({"AIGC": {**LABEL, "Label": value}}).encode()}),
    ]
    for declared, evidence in found:
        assert declared is declares
        assert len(evidence) == 1
        assert f"AIGC label (GB 45438): {value}, {LABEL['ContentProducer']}" in evidence[0]
        assert evidence[0].startswith("hint: ") is not declares


def test_evidence_is_bounded() -> None:
    declared, evidence = of_png(
        **{f"c{i}": json.dumps({"AIGC": {**LABEL, "ProduceID": str(i)}}) for i in range(60)}
    )
    assert declared
    assert len(evidence) <= 20
    assert all(len(line) <= 310 for line in evidence)


def images(folder: str) -> list[tuple[Path, str]]:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"needs shared/data/{folder}")
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    found = [
        (p, formats[p.suffix.lower()])
        for p in sorted((SHARED / folder).rglob("*"))
        if p.suffix.lower() in formats
    ]
    assert found
    return found


@pytest.mark.parametrize("folder", ["camera-exif", "cid22", "dreambooth", "clothing", "exif-orientation"])
def test_no_photograph_is_said_to_declare(folder: str) -> None:
    assert [p.name for p, f in images(folder) if verdict(p.read_bytes(), f) != (False, [])] == []


def test_real_generated_pictures_declare_where_they_carry_metadata() -> None:
    pngs = [p for p, f in images("comfyui") if f == "PNG"]
    with_texts = {p for p in pngs if {"prompt", "workflow"} <= Image.open(p).info.keys()}
    assert len(with_texts) == 19
    assert {p for p in pngs if verdict(p.read_bytes(), "PNG")[0]} == with_texts


@pytest.mark.parametrize(
    "software",
    "Midjourney v6|DALL·E 3|Amazon_Titan_Image_Generator_v2|Amazon Nova Canvas 1.0|HiDream-I1|Kandinsky 3.0|Шедеврум|OmniGen|"
    "Lumina-Image-2.0|pollinations.ai|AuraFlow|DeepFloyd IF|即梦AI|Qwen-Image".split("|"),
)
def test_generators_are_known_by_the_name_they_give_themselves(software: str) -> None:
    assert names_generator(software)
    assert of_png(Software=software) == (True, [f"png text: Software: {software}"])
