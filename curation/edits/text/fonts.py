"""Fonts of a machine: found, told apart by the digest of their files, and asked which characters they have."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import ImageFont

from .faults import MissingGlyphError, TextSpecError

SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
#: A font of words has all of these, each with a glyph of its own. Fonts of symbols lack the accented letters; fonts
#: that stand in for missing ones (Last Resort) claim every character and draw one box for all.
_BASIC = frozenset((*range(0x20, 0x7F), 0xE9, 0xFC))
_NO_WORDS = ("keyboard", "symbol", "emoji", "dingbat", "math")
#: Thinner cuts (hairline, thin) break up at the sizes of signs and captions. OS/2 weight classes, 400 is regular.
_LEAST_WEIGHT = 250
_CHINESE = re.compile("[\u3400-\u9fff]")
#: Larger files are not read: no font is that large.
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Face:
    """One face of a font file.

    Attributes:
        id: of the file's digest and the face's number in it: the same face has the same id on every machine.
        style: serif, sans, mono or script; None where the font does not say.
        characters: code points it has a glyph for.
    """

    id: str
    path: str
    index: int
    family: str
    style: str | None
    bold: bool
    italic: bool
    characters: frozenset[int] = field(repr=False)

    def missing(self, content: str) -> str:
        """Characters of a text without a glyph, each once."""
        return "".join(dict.fromkeys(c for c in content if c not in "\n" and ord(c) not in self.characters))

    def style_on(self, text: str) -> str | None:
        """The style a text shows in this face: Chinese characters are as wide as each other in any font."""
        return "sans" if self.style == "mono" and _CHINESE.search(text) else self.style

    def value(self, text: str) -> dict[str, Any]:
        """What a text item holds about its font."""
        return {
            "id": self.id,
            "family": self.family,
            "style": self.style_on(text),
            "bold": self.bold,
            "italic": self.italic,
        }


class FontBook:
    """The faces one may use, in an order that does not depend on where they were found.

    Raises:
        TextSpecError: there are none.
    """

    def __init__(self, faces: Iterable[Face]):
        self._faces: Mapping[str, Face] = {f.id: f for f in sorted(faces, key=lambda f: (f.family, f.id))}
        if not self._faces:
            raise TextSpecError("no usable font; give a folder of .ttf, .otf or .ttc files")

    @property
    def faces(self) -> Sequence[Face]:
        return tuple(self._faces.values())

    @property
    def digest(self) -> str:
        """Identity of the book, for fingerprints."""
        return hashlib.sha256("".join(sorted(self._faces)).encode()).hexdigest()

    def face(self, id_: str) -> Face:
        if id_ not in self._faces:
            raise TextSpecError(f"font {id_!r} is not on this machine; there are {len(self._faces)} others")
        return self._faces[id_]

    def named(self, name: str) -> Face:
        """The face of an id or of a family's name, the plain cut first."""
        found = [f for f in self.faces if name in (f.id, f.family)]
        if not found:
            families = sorted({f.family for f in self.faces})
            raise TextSpecError(f"no font {name!r}; there are {', '.join(families)}")
        return min(found, key=lambda f: (f.bold, f.italic))

    def covering(self, *contents: str) -> list[Face]:
        """Faces that have every character of some texts.

        Raises:
            MissingGlyphError: there is none.
        """
        found = [f for f in self.faces if not any(f.missing(c) for c in contents)]
        if not found:
            lacking = min((f.missing("".join(contents)) for f in self.faces), key=len)
            raise MissingGlyphError(f"no font has {lacking!r}; add one that does, or change the text")
        return found


def find_fonts(folders: Sequence[str | Path] = (), system: bool = False) -> FontBook:
    """Faces of the fonts in some folders; without folders, those of installed packages (matplotlib, mplfonts).

    Args:
        system: the fonts that fontconfig lists, too.
    """
    roots = [Path(f).expanduser() for f in folders]
    for root in roots:
        if not root.is_dir():
            raise TextSpecError(f"fonts: {str(root)!r} is no folder on this machine")
    if not roots:
        roots = _package_folders()
    paths = {p for root in roots for p in root.rglob("*") if p.suffix.lower() in SUFFIXES}
    if system:
        paths |= {p for p in _listed_by_fontconfig() if p.suffix.lower() in SUFFIXES}
    faces = [face for path in sorted(paths) for face in faces_of(path)]
    return FontBook(faces)


def faces_of(path: str | Path) -> list[Face]:
    """The usable faces of a file; [] for files that are no fonts, or fonts of symbols.

    Of a collection only the simplified-Chinese faces count, if it has any, else the first.
    """
    path = Path(path)
    try:
        found = path.stat()
        if not path.is_file() or found.st_size > MAX_FILE_BYTES:
            return []
        return list(_faces(str(path), found.st_size, found.st_mtime_ns))
    except OSError:  # somebody else's, or gone
        return []


@lru_cache(maxsize=1024)
def _faces(path: str, size: int, mtime_ns: int) -> tuple[Face, ...]:
    """Faces of a file in one state; a process reads each once."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    found = [f for i in range(_count(Path(path))) if (f := _face(path, i, digest)) is not None]
    chinese = [f for f in found if f.family.endswith(" SC")]
    return tuple((chinese or found[:1]) if len(found) > 1 else found)


@lru_cache(maxsize=48)
def font_of(path: str, index: int, size_px: float) -> ImageFont.FreeTypeFont:
    """An open face in one size: a few MB each for Chinese, and half a millisecond to open."""
    return ImageFont.truetype(path, size_px, index=index)


def _face(path: str, index: int, digest: str) -> Face | None:
    from fontTools.ttLib import TTFont, TTLibError

    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of dates in headers
    try:
        with TTFont(path, fontNumber=index, lazy=True) as font:
            cmap = font.getBestCmap() or {}
            # A font may map a character to the glyph that means it has none.
            characters = frozenset(c for c, glyph in cmap.items() if glyph != ".notdef")
            if not characters >= _BASIC or len({cmap[c] for c in _BASIC}) < 0.9 * len(_BASIC):
                return None
            family = str(font["name"].getDebugName(16) or font["name"].getDebugName(1) or Path(path).stem)
            if any(word in family.lower() for word in _NO_WORDS):
                return None
            if getattr(font.get("OS/2"), "usWeightClass", 400) < _LEAST_WEIGHT:
                return None
            bold, italic = _cut(font)
            style = _style(font, family)
        font_of(path, index, 24.0).getlength("Ag")
    except (TTLibError, KeyError, OSError, AttributeError, ValueError, AssertionError):
        return None
    return Face(f"{digest[:16]}.{index}", path, index, family, style, bold, italic, characters)


def _cut(font: Any) -> tuple[bool, bool]:
    os2, mac = font.get("OS/2"), font["head"].macStyle
    weight = getattr(os2, "usWeightClass", 400)
    selection = getattr(os2, "fsSelection", 0)
    return bool(weight >= 600 or mac & 1), bool(selection & 1 or mac & 2)


#: Words of family names that tell the style; the first that fits counts.
_WORDS = (
    ("mono", ("mono", "courier", "typewriter", "cursor")),
    ("script", ("script", "hand", "brush", "calligra", "kai")),
    ("sans", ("sans", "gothic", "hei", "roboto", "lato", "helvet", "arial", "heros", "adventor", "carlito")),
    (
        "serif",
        (
            "serif",
            "song",
            "ming",
            "roman",
            "times",
            "stix",
            "junicode",
            "termes",
            "pagella",
            "bonum",
            "schola",
        ),
    ),
)


def _style(font: Any, family: str) -> str | None:
    name = family.lower().replace(" ", "")
    for style, words in _WORDS:
        if any(word in name for word in words):
            return style
    panose = getattr(font.get("OS/2"), "panose", None)
    if panose is None:
        return None
    if panose.bFamilyType == 3:
        return "script"
    if panose.bFamilyType == 2 and panose.bProportion == 9:
        return "mono"
    if panose.bFamilyType == 2 and 2 <= panose.bSerifStyle <= 10:
        return "serif"
    return "sans" if panose.bFamilyType == 2 and 11 <= panose.bSerifStyle <= 15 else None


def _count(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(12)
    return min(64, int.from_bytes(head[8:12], "big")) if head[:4] == b"ttcf" else 1


def _package_folders() -> list[Path]:
    found = []
    for package, folder in (("matplotlib", "mpl-data/fonts/ttf"), ("mplfonts", "fonts")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            found.append(Path(spec.submodule_search_locations[0]) / folder)
    return [f for f in found if f.is_dir()]


def _listed_by_fontconfig() -> list[Path]:
    if shutil.which("fc-list") is None:
        return []
    done = subprocess.run(
        ["fc-list", "--format", "%{file}\n"], capture_output=True, text=True, timeout=60, check=False
    )
    return [Path(line) for line in dict.fromkeys(done.stdout.splitlines()) if line]
