"""Does the file itself declare that a generative model made it? Declarations and hints, as lists of texts.

A declaration is what a program or a person wrote in a place meant for it: a C2PA manifest, the IPTC digital
source type, the label of GB 45438, the settings of a generator, a generator's name as software. Everything
else of interest is a hint and does not count. Nothing is verified: all of it can be forged or stripped.
"""

from __future__ import annotations

from collections.abc import Iterator

from .c2pa import Manifest, read_manifests
from .facts import Facts
from .generators import DECLARING_SOURCE_TYPES, HINTING_SOURCE_TYPES, names_generator, source_type_name
from .iptc import CAPTION, CREDIT, PROGRAM
from .prompts import aigc_label, has_flags, has_job_id, is_comfy_graph, is_invoke_line, settings_found
from .text import clean_line, decode_text

_MAX_EVIDENCE = 20
_MAX_CHARS = 300

#: GB 45438-2025: the service says it is (1), its user says so (2), a platform suspects it (3).
_LABELS = {"1": True, "2": True, "3": False}

#: What people write where there is nothing to write.
_NOTHING = frozenset({"", "-", "--", "no", "none", "n/a", "na", "not applicable", "false", "0", "无", "没有"})

_CREDITS = frozenset({"made with google ai", "edited with google ai"})

#: Keys of PNG texts that only generators write, and what their text must be.
_INVOKE_KEYS = frozenset({"invokeai_metadata", "invokeai_graph", "invokeai_workflow", "sd-metadata"})
_SEPARATE_KEYS = frozenset({"negative_prompt", "num_inference_steps", "guidance_scale", "sampler_name"})
_OTHER_KEYS = {"fooocus_scheme": "Fooocus", "generation_data": "TensorArt", "smproj": "Stability Matrix"}

Evidence = Iterator[tuple[bool, str]]


def declare(facts: Facts) -> tuple[bool, list[str]]:
    """Whether the file declares to be AI-made, and the evidence, hints marked by `hint: `."""
    found: dict[str, bool] = {}
    for source in (_from_c2pa, _from_xmp, _from_texts, _from_exif, _from_iptc, _from_comments):
        for declared, text in source(facts):
            line = clean_line(text, _MAX_CHARS)
            if line:
                found[line] = found.get(line, False) or declared
    ordered = sorted(found.items(), key=lambda item: not item[1])[:_MAX_EVIDENCE]
    return any(found.values()), [line if declared else f"hint: {line}" for line, declared in ordered]


def _from_source_type(value: str, where: str) -> Evidence:
    name = source_type_name(value)
    if name.lower() in DECLARING_SOURCE_TYPES:
        yield True, f"{where}: {name}"
    elif name.lower() in HINTING_SOURCE_TYPES:
        yield False, f"{where}: {name}"


def _from_c2pa(facts: Facts) -> Evidence:
    for store in facts.blocks.jumbf:
        manifests = read_manifests(store)
        for manifest in manifests:
            yield from _from_manifest(manifest, "" if manifest is manifests[-1] else "ingredient ")


def _from_manifest(manifest: Manifest, role: str) -> Evidence:
    generator = manifest.generators[0] if manifest.generators else "unnamed"
    source = f"{role}claim by {generator} (not verified)"
    for value in manifest.source_types:
        for declared, text in _from_source_type(value, "digitalSourceType"):
            yield declared, f"c2pa: {text}, {source}"
    for agent in manifest.agents:
        if names_generator(agent):
            yield True, f"c2pa: software agent {agent}, {source}"
    for name in manifest.generators:
        if names_generator(name):
            yield True, f"c2pa: {role}claim generator {name} (not verified)"


def _from_xmp(facts: Facts) -> Evidence:
    xmp = facts.xmp
    for value in [*xmp.named("DigitalSourceType"), *xmp.named("DigitalSourceFileType")]:
        yield from _from_source_type(value, "iptc digitalSourceType")
    for local in ("AISystemUsed", "AIPromptInformation"):
        for value in xmp.all(f"Iptc4xmpExt:{local}"):
            if value.strip().lower().rstrip(".") not in _NOTHING:
                yield True, f"iptc {local}: {value[:100]}"
    for name in ("xmp:CreatorTool", "tiff:Software", "photoshop:Source"):
        for value in xmp.all(name):
            if names_generator(value):
                yield name != "photoshop:Source", f"xmp {name}: {value}"
    for value in xmp.all("photoshop:Credit"):
        yield from _from_credit(value, "xmp photoshop:Credit")
    for name in ("exif:UserComment", "dc:description", "tiff:ImageDescription"):
        for value in xmp.all(name):
            yield from _from_settings(value, f"xmp {name}")
    for value in xmp.all("dc:creator"):
        yield from _from_creator(value, "xmp dc:creator")
    for value in xmp.named("AIGC"):
        yield from _from_aigc(value, "xmp")
    flat = {k.rsplit(":", 1)[-1]: v[0][1] for k, v in xmp.values.items() if "TC260:" in k}
    if "Label" in flat:
        yield from _from_label(flat, "xmp")


def _from_texts(facts: Facts) -> Evidence:
    texts = facts.texts
    for key, text in facts.blocks.texts:
        name = key.lower()
        where = f"png text: {key}"
        if name in ("prompt", "workflow") and is_comfy_graph(text):
            yield True, f"{where} (ComfyUI graph)"
        elif (name in _INVOKE_KEYS and text.lstrip()[:1] == "{") or (
            name == "dream" and is_invoke_line(text)
        ):
            yield True, f"{where} (InvokeAI)"
        elif name in _OTHER_KEYS and text.strip():
            yield True, f"{where} ({_OTHER_KEYS[name]})"
        elif name in ("software", "creator tool", "creatortool"):
            if names_generator(text):
                yield True, f"{where}: {text[:100]}"
        elif name == "aigc":
            yield from _from_aigc(text, "png text")
        elif name in ("postprocessing", "extras") and "upscale" in text[:2000].lower():
            yield False, f"{where} (enlarged by a model)"
        elif name == "hf-job-id":
            yield False, f"{where} (Hugging Face job)"
        elif name in ("author", "credit"):
            yield from _from_creator(text, where)
            yield from _from_credit(text, where)
        else:
            yield from _from_settings(text, where)
    # Easy Diffusion and others: one text for each setting
    others = sorted(_SEPARATE_KEYS & texts.keys())
    if others and {"prompt", "seed"} <= texts.keys():
        yield True, f"png text: prompt, seed, {', '.join(others)}"
    if texts.get("title", "").strip().lower() in ("ai generated image", "novelai generated image"):
        yield True, f"png text: Title: {texts['title'].strip()}"


def _from_exif(facts: Facts) -> Evidence:
    exif = facts.exif
    for name, value in (("software", exif.software), ("Make", exif.make)):
        if names_generator(value):
            yield True, f"exif {name}: {value}"
    fields = {"UserComment": exif.user_comment, "ImageDescription": exif.description}
    fields |= {"Make": exif.make, "Model": exif.model, "XPTitle": exif.title, "XPSubject": exif.subject}
    for name, text in fields.items():
        # ComfyUI writes `prompt:{...}` and `workflow:{...}` into tags at hand where there are no PNG texts
        graph = text[text.find(":") + 1 :] if text[:12].lower().startswith(("prompt:", "workflow:")) else text
        if is_comfy_graph(graph):
            yield True, f"exif {name} (ComfyUI graph)"
        else:
            yield from _from_settings(text, f"exif {name}")
    yield from _from_creator(exif.creator, "exif Artist")
    if (
        exif.description.startswith("Signature: ")
        and len(exif.creator) == 36
        and exif.creator.count("-") == 4
    ):
        yield False, "exif ImageDescription and Artist (pair of signature and UUID as Grok writes it)"


def _from_iptc(facts: Facts) -> Evidence:
    for value in facts.iptc.all(PROGRAM):
        if names_generator(value):
            yield True, f"iptc originating program: {value}"
    for value in facts.iptc.all(CREDIT):
        yield from _from_credit(value, "iptc credit")
    for value in facts.iptc.all(CAPTION):
        yield from _from_settings(value, "iptc caption")


def _from_comments(facts: Facts) -> Evidence:
    for comment in facts.blocks.comments:
        yield from _from_settings(decode_text(comment), "comment")


def _from_settings(text: str, where: str) -> Evidence:
    """Generation settings, job numbers and labels that can stand in any free text field."""
    if not text:
        return
    settings = settings_found(text)
    if settings:
        yield True, f"{where} ({settings})"
    elif has_job_id(text):
        known = has_flags(text)
        yield known, f"{where} ({'Midjourney job' if known else 'a job number, as Midjourney writes it'})"
    elif is_comfy_graph(text):
        yield True, f"{where} (ComfyUI graph)"
    elif '"AIGC"' in text[:1000] or '"ContentProducer"' in text[:1000]:
        yield from _from_aigc(text, where)


def _from_credit(value: str, where: str) -> Evidence:
    if value.strip().lower().rstrip(".") in _CREDITS:
        yield True, f"{where}: {value.strip()}"


def _from_creator(value: str, where: str) -> Evidence:
    """A generator named as author: a person wrote it, perhaps about the subject, so a hint only."""
    if names_generator(value):
        yield False, f"{where}: {value[:100]}"


def _from_aigc(text: str, where: str) -> Evidence:
    label = aigc_label(text)
    if label:
        yield from _from_label(label, where)


def _from_label(label: dict[str, str], where: str) -> Evidence:
    value = label.get("Label", "").strip()
    producer = label.get("ContentProducer", "").strip()
    text = f"{where} AIGC label (GB 45438): {value or 'none'}" + (f", {producer}" if producer else "")
    if value != "0":
        yield _LABELS.get(value, False), text
