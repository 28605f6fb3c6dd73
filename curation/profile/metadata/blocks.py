"""What a container hands over: the metadata blocks of one file, found but not yet understood."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Largest block of each kind that is kept, in bytes. Bigger ones are dropped whole (a cut XMP packet or
#: profile means nothing), text is cut.
MAX_EXIF_BYTES = 4 << 20
MAX_XMP_BYTES = 2 << 20
MAX_IPTC_BYTES = 1 << 20
MAX_JUMBF_BYTES = 16 << 20
MAX_ICC_BYTES = 4 << 20
MAX_TEXT_BYTES = 1 << 18

#: Most texts and comments that are kept, and most blocks of each other kind.
MAX_TEXTS, MAX_BLOCKS = 64, 4


@dataclass
class Blocks:
    """Metadata blocks of one file, in file order.

    Attributes:
        exif: TIFF streams, from their byte-order mark on.
        xmp: XMP packets (RDF/XML).
        iptc: IPTC-IIM datasets.
        iptc_digest: MD5 of the IIM datasets that the XMP packet was last made equal to; empty if unknown.
        jumbf: JUMBF boxes with their box header.
        icc: ICC profile, perhaps without its tail; empty if none.
        icc_name: name the container gives the profile (PNG); empty if none.
        texts: (key, text) pairs, as PNG has them.
        comments: free comments (JPEG COM, GIF), undecoded.
    """

    exif: list[bytes] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)
    iptc: list[bytes] = field(default_factory=list)
    iptc_digest: bytes = b""
    jumbf: list[bytes] = field(default_factory=list)
    icc: bytes = b""
    icc_name: str = ""
    texts: list[tuple[str, str]] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)

    def add_exif(self, block: bytes) -> None:
        """Keep an Exif block, with or without the `Exif\\0\\0` that JPEG puts before it."""
        if block[:6] == b"Exif\0\0":
            block = block[6:]
        if block[:4] in (b"II*\0", b"MM\0*"):
            _keep(self.exif, block, MAX_EXIF_BYTES)

    def add_xmp(self, block: bytes) -> None:
        _keep(self.xmp, block, MAX_XMP_BYTES)

    def add_iptc(self, block: bytes) -> None:
        _keep(self.iptc, block, MAX_IPTC_BYTES)

    def add_jumbf(self, block: bytes) -> None:
        _keep(self.jumbf, block, MAX_JUMBF_BYTES)

    def add_icc(self, block: bytes) -> None:
        if not self.icc and len(block) <= MAX_ICC_BYTES:
            self.icc = block

    def add_text(self, key: str, text: str) -> None:
        if len(self.texts) < MAX_TEXTS:
            self.texts.append((key, text))

    def add_comment(self, block: bytes) -> None:
        if len(self.comments) < MAX_TEXTS:
            self.comments.append(block[:MAX_TEXT_BYTES])


def _keep(blocks: list[bytes], block: bytes, max_bytes: int) -> None:
    if 0 < len(block) <= max_bytes and len(blocks) < MAX_BLOCKS:
        blocks.append(block)
