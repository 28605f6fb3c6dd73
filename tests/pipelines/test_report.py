"""The report: self-contained, escaped, within its size, and true to its data."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from zcurate.pipelines.report import (
    Balance,
    Borderline,
    CaptionCard,
    ConceptShare,
    DuplicateGroup,
    DuplicateMember,
    ErrorClass,
    FaultScore,
    FunnelStep,
    Median,
    ReportData,
    RuleSamples,
    Sample,
    SourceLine,
    StageTiming,
    Threshold,
    histogram_of,
    render_report,
)
from zcurate.pipelines.report.svg import histogram_svg, log_ticks, nice_ticks

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'`&{{ 7*7 }}"""


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def photographs() -> dict[str, Image.Image]:
    """Public-domain and free photographs that ship inside scikit-image, or drawn stand-ins without it."""
    try:
        from skimage import data
    except ImportError:
        rng = np.random.default_rng(0)
        small = {f"drawn{i}": Image.fromarray(rng.integers(0, 255, (5, 7, 3), np.uint8)) for i in range(8)}
        return {name: image.resize((420, 300), Image.Resampling.BICUBIC) for name, image in small.items()}
    names = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "page", "text", "moon", "clock")
    return {name: Image.fromarray(getattr(data, name)()) for name in names}


def synthetic_report() -> ReportData:
    """A report with every section filled."""
    rng = np.random.default_rng(7)
    photos = photographs()
    for image in photos.values():
        image.thumbnail((420, 420))
    names = list(photos)

    def sample(i: int, image: Image.Image | None = None, **values: object) -> Sample:
        name = names[i % len(names)]
        picture = photos[name] if image is None else image
        return Sample(
            hashlib.md5(name.encode()).hexdigest(),
            jpeg(picture),
            f"photos/{name}",
            f"photograph of {name}",
            **values,
        )

    def blurred(i: int, radius: float) -> Image.Image:
        return photos[names[i % len(names)]].convert("RGB").filter(ImageFilter.GaussianBlur(radius))

    def boxed(i: int) -> Image.Image:
        image = photos[names[i % len(names)]].convert("RGB").copy()
        ImageDraw.Draw(image).rectangle((0, 0, image.width - 1, image.height - 1), outline="white", width=24)
        return image

    sharpness = np.exp(rng.normal(5.2, 1.1, 2831))
    borders = np.abs(rng.standard_cauchy(2831)) * 40 + 2
    sizes = rng.choice(
        [256, 320, 400, 512, 640, 768, 1024, 1600], 2831, p=[0.07, 0.1, 0.28, 0.2, 0.15, 0.1, 0.06, 0.04]
    )
    histograms = (
        histogram_of(
            "Short side",
            sizes + rng.normal(0, 14, 2831),
            unit="px",
            meaning="Shorter side as displayed, after EXIF orientation.",
            thresholds=(Threshold(256, "below"),),
            log_x=False,
        ),
        histogram_of(
            "Sharpness",
            sharpness,
            meaning="Variance of the Laplacian at a fixed working size.",
            thresholds=(Threshold(38, "below"), Threshold(70, "below", "scans")),
        ),
        histogram_of(
            "Border variance",
            borders,
            meaning="Least variance of the four border strips; low means a frame.",
            thresholds=(Threshold(3.2, "below"),),
        ),
        histogram_of(
            "Compression ratio",
            rng.gamma(5, 3.2, 2831),
            meaning="Raw pixel bytes over file bytes.",
            thresholds=(Threshold(36, "above"),),
        ),
        histogram_of(
            "Noise sigma",
            np.abs(rng.normal(2.4, 1.7, 2831)),
            unit="grey levels",
            meaning="Robust estimate from the finest wavelet band.",
            thresholds=(Threshold(7, "above"),),
        ),
        histogram_of(
            "Aspect ratio",
            np.exp(rng.normal(0.1, 0.32, 2831)),
            meaning="Width over height.",
            thresholds=(Threshold(0.4, "below"), Threshold(2.5, "above")),
        ),
    )
    rules = (
        RuleSamples(
            "sharpness < 38",
            "Sharpness",
            38,
            tuple(Borderline(sample(i, blurred(i, 3)), 37.6 - 1.3 * i) for i in range(5)),
            tuple(Borderline(sample(i + 3, blurred(i + 3, 1)), 38.2 + 0.9 * i) for i in range(5)),
            118,
        ),
        RuleSamples(
            "border_variance < 3.2",
            "Border variance",
            3.2,
            tuple(Borderline(sample(i + 1, boxed(i + 1)), 3.1 - 0.2 * i) for i in range(4)),
            tuple(Borderline(sample(i + 5, nsfw=i == 1), 3.4 + 0.3 * i) for i in range(4)),
            61,
        ),
    )
    groups = []
    for i in range(4):
        image = photos[names[i]]
        copies = [
            image.resize((image.width // 2, image.height // 2)),
            blurred(i, 0.8),
            image.crop((12, 12, image.width - 8, image.height - 8)),
        ]
        reasons = (("identical_bytes", None), ("near_duplicate", 0.987), ("near_duplicate", 0.956))
        members = tuple(
            DuplicateMember(sample(i, c), s, r) for c, (r, s) in zip(copies, reasons, strict=True)
        )
        groups.append(DuplicateGroup(sample(i), members, 4 + i))
    captions = (
        CaptionCard(
            sample(1),
            "A close-up of a tabby cat lying on a blanket, looking past the camera with half-closed green eyes; soft window light from the left.",
            "一只虎斑猫趴在毯子上的特写，半闭的绿色眼睛望向镜头外，柔和的窗光从左侧照来。",
            ("cat", "tabby", "blanket", "close-up"),
            (),
            "openai:local#captioner",
        ),
        CaptionCard(
            sample(7),
            "Photograph. Text in the image: “region-based segmentation”.",
            "照片。图中文字：“region-based segmentation”。",
            ("text", "page"),
            ("region-based segmentation", "Let us first determine", "markers of the coins"),
            "template",
            True,
        ),
        CaptionCard(
            sample(2),
            "A cup of coffee on a saucer with a spoon, on a wooden table.",
            "木桌上放着一杯咖啡，配有碟子和勺子。",
            ("coffee", "cup", "table"),
            (),
            "openai:local#captioner",
        ),
        CaptionCard(
            sample(3),
            "A rocket on its launch pad at night.",
            "夜晚停在发射台上的火箭。",
            ("rocket", "night"),
            (),
            "template",
            True,
        ),
    )
    words = "person shirt outdoor sky tree building portrait food cat dog table text poster street car flower night sign logo rocket".split()
    counts = np.array([1 / (i + 1.4) for i in range(len(words))])
    before, after = counts / counts.sum(), counts**0.55 / (counts**0.55).sum()
    balance = Balance(
        tuple(ConceptShare(w, float(b), float(a)) for w, b, a in zip(words, before, after, strict=True)),
        2107,
        1384.6,
        412,
    )
    return ReportData(
        name="Street and studio photographs",
        recipe="photos.yaml",
        created="2025-06-01 12:00 UTC",
        summary="2,914 images from three sources, profiled, filtered, deduplicated, captioned and balanced for text-to-image training.",
        facts=(("Recipe hash", "9f31c2ab"), ("Seed", "0"), ("zcurate", "0.1.0")),
        gallery=tuple(sample(i) for i in range(len(names))),
        funnel=(FunnelStep("Ingested", 2914, "3 sources"), FunnelStep("Readable", 2831, "decoded safely"), FunnelStep("Kept by filter", 2496, "6 rules"), FunnelStep("Unique", 2118, "one per group"), FunnelStep("Captioned", 2107), FunnelStep("Exported", 2107, "WebDataset")),
        drop_reasons=(("sharpness < 38", 118), ("noise_sigma > 7", 84), ("border_variance < 3.2", 61), ("compression_ratio > 36", 47), ("aspect ratio", 39), ("short_side_px < 256", 22)),
        sources=tuple(
            SourceLine(
                name,
                rows,
                kept,
                errors,
                dropped,
                duplicates,
                sampled_out,
                reasons=(("sharpness < 38", dropped - 30), ("noise_sigma > 7", 40), ("aspect ratio", 9), ("small", 3)),
                ai_declared=declared,
                medians=(
                    Median("short_side_px", 600.0 - errors, "px"),
                    Median("quality.blur", 0.12),
                    Median("scores.aesthetic", None if name == "scans" else 5.4, "1..10"),
                ),
            )
            for name, rows, kept, errors, dropped, duplicates, sampled_out, declared in (
                ("photos", 1900, 1466, 40, 190, 204, 0, 0.002),
                ("scans", 614, 341, 32, 81, 110, 50, None),
                ("posters", 400, 300, 11, 64, 25, 0, 0.31),
            )
        ),
        histograms=histograms,
        rules=rules,
        duplicates=tuple(groups),
        duplicate_groups_total=173,
        captions=captions,
        balance=balance,
        errors=(ErrorClass("TruncatedImageError", "profile", 51, (("posters/shard-00012.tar#a81.jpg", "image file is truncated (113 bytes not processed)"), ("photos/IMG_2210.jpg", "premature end of JPEG data"))), ErrorClass("UnidentifiedImageError", "profile", 32, (("scans/0001.png", "cannot identify image file; it starts with '<!DOCTYPE html'"),)), ErrorClass("DeadlineExceeded", "caption", 11, (("photos/IMG_0044.jpg", "no answer within 60 s"),))),
        timings=(StageTiming("ingest", 2914, 0.42, version="1"), StageTiming("profile", 2914, 21.7, "pillow", "3", 83), StageTiming("filter", 2831, 0.11, version="2"), StageTiming("embed", 2496, 48.3, "embedded", "1"), StageTiming("dedup", 2496, 3.9, "faiss + leiden", "2"), StageTiming("ocr", 2118, 63.0, "rapidocr", "1", 0, 1200), StageTiming("caption", 2118, 9.2, "openai:local#captioner", "1", 11), StageTiming("balance", 2107, 0.2, version="1"), StageTiming("export", 2107, 2.8, "webdataset", "1")),
        faults=(FaultScore("blur", "degradation", 24, 23, 0.96, 0.96), FaultScore("noise", "degradation", 18, 18, 1.0, 1.0), FaultScore("near duplicate", "duplicate", 40, 37, 1.0, 0.93), FaultScore("frame", "degradation", 12, 11, 0.85, 0.92), FaultScore("clean", "must stay", 90, 0, note="none dropped")),
    )  # fmt: skip


class _Page(HTMLParser):
    """Collects tags, attributes and text as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def full() -> str:
    return render_report(synthetic_report())


def test_every_section_is_there_and_the_file_is_small(full: str) -> None:
    page = _Page(full)
    ids = [a["id"] for t, a in page.tags if t == "section"]
    assert ids == [
        "funnel",
        "sources",
        "faults",
        "signals",
        "rules",
        "duplicates",
        "captions",
        "balance",
        "errors",
        "timings",
    ]
    assert [a["href"] for t, a in page.tags if t == "a"][1:] == [f"#{i}" for i in ids]
    assert len(full.encode()) < 5_000_000
    text = " ".join(" ".join(page.text).split())
    assert "−335 (11.8%)" in text  # readable to kept
    assert "keeper" in text
    assert "placeholder" in text
    assert "1,385 of 2,107 rows (65.7%)" in text
    assert "sharpness < 38 160 , noise_sigma > 7 40 , aspect ratio 9 and 1 more" in text
    assert "0.2%" in text  # of photos declare themselves AI-made


def test_nothing_is_loaded_and_only_our_script_may_run(full: str) -> None:
    page = _Page(full)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "form", "base")
        assert (attributes.get("src") or "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?://|@import|url\(", full)
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv")]
    script = full.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_same_data_same_bytes(full: str) -> None:
    assert render_report(synthetic_report()) == full


def test_images_have_alternatives_and_sensitive_ones_are_veiled(full: str) -> None:
    page = _Page(full)
    images = [a for t, a in page.tags if t == "img"]
    assert images
    assert all(a.get("alt") for a in images)
    assert all(max(int(a["width"]), int(a["height"])) <= 180 for a in images)
    assert sum(a.get("class") == "veil" for t, a in page.tags if t == "button") == 1


def test_hostile_text_stays_text() -> None:
    sample = Sample(HOSTILE, jpeg(Image.new("RGB", (20, 20))), HOSTILE, HOSTILE, nsfw=True)
    plain = Sample(HOSTILE, b"\xff\xd8 not a jpeg", HOSTILE, HOSTILE)
    data = ReportData(
        name=HOSTILE,
        recipe=HOSTILE,
        created=HOSTILE,
        summary=HOSTILE,
        facts=((HOSTILE, HOSTILE),),
        gallery=(plain, sample),
        funnel=(FunnelStep(HOSTILE, 3, HOSTILE), FunnelStep(HOSTILE, 0)),
        drop_reasons=((HOSTILE, 1),),
        sources=(SourceLine(HOSTILE, 0, 0, reasons=((HOSTILE, 1),), medians=(Median(HOSTILE, None, HOSTILE),)),),
        histograms=(histogram_of(HOSTILE, [1.0, 2.0], unit=HOSTILE, meaning=HOSTILE, thresholds=(Threshold(1.5, "below", HOSTILE),)),),
        rules=(
            RuleSamples(HOSTILE, HOSTILE, 1.0, (Borderline(sample, 0.5),), (), 1, HOSTILE),
            RuleSamples(HOSTILE, "", None, (Borderline(sample, None),), (), 1, HOSTILE),
        ),
        duplicates=(DuplicateGroup(plain, (DuplicateMember(sample, None, HOSTILE),), 2),),
        captions=(CaptionCard(sample, HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), HOSTILE),),
        balance=Balance((ConceptShare(HOSTILE, 0.0, 0.0),), 0, 0.0),
        errors=(ErrorClass(HOSTILE, HOSTILE, 1, ((HOSTILE, HOSTILE),)),),
        timings=(StageTiming(HOSTILE, 1, 0.0, HOSTILE, HOSTILE),),
        faults=(FaultScore(HOSTILE, HOSTILE, 0, 0, note=HOSTILE),),
    )  # fmt: skip
    html = render_report(data)
    page = _Page(html)
    assert sum(t == "script" for t, _ in page.tags) == 1
    assert not any(n.startswith("on") for _, a in page.tags for n in a)
    assert all((a.get("src") or "").startswith("data:") for t, a in page.tags if t == "img")
    assert "49" not in "".join(page.text)
    assert "no preview" in html


def test_an_empty_report_renders() -> None:
    html = render_report(ReportData(name="nothing yet"))
    assert "nothing yet" in html
    assert "<section" not in html


def test_size_stays_bounded_however_many_samples_are_given() -> None:
    rng = np.random.default_rng(1)
    noise = [jpeg(Image.fromarray(rng.integers(0, 256, (180, 180, 3), np.uint8)), 95) for _ in range(60)]
    rules = tuple(
        RuleSamples(
            f"rule {r}", "s", 1.0, tuple(Borderline(Sample("0", noise[(r + i) % 60]), 1.0) for i in range(6))
        )
        for r in range(60)
    )
    html = render_report(ReportData(name="big", rules=rules))
    assert len(html) < 5_000_000
    assert "previews were left out" in html


def test_histogram_counts_add_up_and_the_axis_follows_the_data() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([np.exp(rng.normal(3, 1.5, 5000)), [np.nan, np.inf, 0.0]])
    h = histogram_of("s", values, thresholds=(Threshold(5.0, "below"),))
    assert h.log_x
    assert sum(h.counts) + h.below + h.above == h.total == 5001
    assert h.missing == 2
    assert h.dropped == int((values[np.isfinite(values)] < 5).sum())
    assert not histogram_of("s", rng.normal(0, 1, 500)).log_x
    for odd in ([], [3.0], [0.0, 0.0], [-1e300, 1e300], [1e-300, 1.0], [float("nan")]):
        assert "<svg" in histogram_svg(histogram_of("s", odd, thresholds=(Threshold(2.0, "above"),)))


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_round_and_inside(low: float, span: float) -> None:
    high = low + span
    ticks = nice_ticks(low, high)
    assert len(ticks) <= 7
    assert all(low - span * 1e-6 <= t <= high + span * 1e-6 for t in ticks)
    if low > 0:
        assert 0 < len(log_ticks(low, high)) <= 7 or high / low < 10
