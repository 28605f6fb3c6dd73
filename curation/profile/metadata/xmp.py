"""Properties of an XMP packet (ISO 16684-1), read from hostile RDF/XML within bounds.

The parser is expat with document types refused, so that no entity is ever declared or expanded.
Namespaces are resolved here, not by expat: real packets use prefixes they never declare.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

#: Namespace -> prefix in our property names. Unknown and undeclared prefixes are kept as written.
_PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://www.tc260.org.cn/ns/AIGC/1.0/": "TC260",
    "adobe:ns:meta/": "x",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://www.w3.org/XML/1998/namespace": "xml",
}

_MAX_ELEMENTS = 50_000
_MAX_DEPTH = 48
_MAX_NAME_CHARS = 256
_MAX_PATH = 6
_MAX_VALUES = 5000

#: Languages preferred in a choice of languages, best first; any other comes after.
_LANGUAGES = ("x-default", "zh", "en")


class _RefusedError(Exception):
    """Ends the parse of a packet that declares a document type or is over a bound."""


@dataclass
class Xmp:
    """Values by property name, e.g. `dc:title`; a field of a structure is `PROPERTY/FIELD`.

    Attributes:
        values: name -> (language or "", text) in document order; texts are not cleaned.
    """

    values: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def all(self, name: str) -> list[str]:
        return [text for _, text in self.values.get(name, ())]

    def first(self, *names: str) -> str:
        """The best text of the first of these properties that has one: x-default, Chinese, English, any."""
        for name in names:
            texts = [(language, text) for language, text in self.values.get(name, ()) if text.strip()]
            for wanted in _LANGUAGES:
                for language, text in texts:
                    if language.lower().split("-")[0] == wanted or language.lower() == wanted:
                        return text
            if texts:
                return texts[0][1]
        return ""

    def named(self, local: str) -> list[str]:
        """Texts of the properties of this local name in any namespace, upper and lower case alike."""
        end = f":{local.lower()}"
        return [text for name in self.values if name.lower().endswith(end) for text in self.all(name)]


def read_xmp(packets: list[bytes]) -> Xmp:
    """The properties of a file's packets together (main and extended)."""
    xmp = Xmp()
    for packet in packets:
        packet = packet.strip(b" \t\r\n\0")
        before = {name: len(values) for name, values in xmp.values.items()}
        if not _parse(packet, xmp) and not _is_utf8(packet):
            # A few bytes of another encoding end the parse: put those right and start over.
            xmp.values = {name: xmp.values[name][:count] for name, count in before.items()}
            _parse(packet.decode("utf-8", "replace").encode(), xmp)
    return xmp


def _is_utf8(packet: bytes) -> bool:
    try:
        packet.decode("utf-8")
    except UnicodeDecodeError:
        return packet[:2] in (b"\xff\xfe", b"\xfe\xff")  # UTF-16, which expat reads itself
    return True


def _parse(packet: bytes, xmp: Xmp) -> bool:
    """Add the packet's properties to `xmp`, those before any damage. True if nothing was wrong."""
    reader = _Reader(xmp)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(packet, True)
    except (
        expat.ExpatError,
        _RefusedError,
        ValueError,
        LookupError,
    ):  # the last two: a strange encoding name
        return False
    return True


def _refuse(*declaration: object) -> None:
    raise _RefusedError


class _Reader:
    """expat's handlers: follows the path of property elements and collects their values."""

    def __init__(self, xmp: Xmp) -> None:
        self._xmp = xmp
        self._prefixes: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._path: list[str] = []
        self._stack: list[tuple[bool, str]] = []  # (is a property, language) of each open element
        self._pieces: list[str] = []
        self._elements = 0
        self._values = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1 + len(attributes)
        if self._elements > _MAX_ELEMENTS or len(self._stack) > _MAX_DEPTH:
            raise _RefusedError
        self._pieces.clear()
        for key, value in attributes.items():
            if key.startswith("xmlns:") and len(self._prefixes) < 200:
                self._prefixes[key[6:]] = _PREFIXES.get(value, key[6:])
                self._names.clear()
        name = self._name(tag)
        property_element = not name.startswith(("rdf:", "x:", "xmpmeta"))
        if property_element:
            self._path.append(name)
        language = ""
        for key, value in attributes.items():
            if key.startswith("xmlns"):
                continue
            qualified = self._name(key)
            if qualified == "xml:lang":
                language = value
            elif qualified == "rdf:resource" and self._path:
                self._add(self._path, "", value)
            elif not qualified.startswith(("rdf:", "xml:", "x:")) and ":" in qualified:
                self._add([*self._path, qualified], "", value)
        self._stack.append((property_element, language))

    def end(self, tag: str) -> None:
        property_element, language = self._stack.pop()
        if self._path and self._pieces:
            text = "".join(self._pieces)
            if text.strip():
                self._add(self._path, language, text)
        self._pieces.clear()
        if property_element:
            self._path.pop()

    def text(self, data: str) -> None:
        if self._path:
            self._pieces.append(data)

    def _name(self, tag: str) -> str:
        """The tag with our prefix for its namespace."""
        name = self._names.get(tag)
        if name is None:
            if len(tag) > _MAX_NAME_CHARS:
                raise _RefusedError
            prefix, colon, local = tag.partition(":")
            name = f"{self._prefixes.get(prefix, prefix)}:{local}" if colon else tag
            self._names[tag] = name
        return name

    def _add(self, path: list[str], language: str, text: str) -> None:
        self._values += 1
        if self._values > _MAX_VALUES:
            raise _RefusedError
        if len(path) <= _MAX_PATH:
            self._xmp.values.setdefault("/".join(path), []).append((language[:_MAX_NAME_CHARS], text))


def places(xmp: Xmp) -> list[str]:
    """Sublocation, city, state and country, from the flat properties or else the created or shown location."""
    flat = ("Iptc4xmpCore:Location", "photoshop:City", "photoshop:State", "photoshop:Country")
    parts = [xmp.first(name) for name in flat]
    for structure in ("Iptc4xmpExt:LocationCreated", "Iptc4xmpExt:LocationShown"):
        if any(parts):
            break
        fields = ("Sublocation", "City", "ProvinceState", "CountryName")
        parts = [xmp.first(f"{structure}/Iptc4xmpExt:{name}") for name in fields]
    return [part for part in parts if part]
