"""What a C2PA manifest store says of how the picture was made (C2PA Technical Specification 2.2).

The store is read, not verified: neither signature nor hashes are checked, so a claim here is as good as
any other text in the file. It is taken as the file's own declaration, and evidence says `not verified`.
Left alone: manifests kept on a server, and those compressed with Brotli.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .cbor import CborError, read_cbor
from .jumbf import content_boxes

_MAX_PARSED_BYTES = 1 << 20
_MAX_DEPTH = 16
_MAX_FOUND = 50

#: Assertions that describe the making; ingredients, thumbnails, hashes and training permissions do not.
_DESCRIPTIVE = ("c2pa.actions", "c2pa.metadata", "cawg.metadata", "stds.iptc", "stds.schema-org.CreativeWork")


@dataclass
class Manifest:
    """One manifest of the store.

    Attributes:
        label: its URN.
        generators: what produced the claim (claim generator), as written.
        agents: software named by its actions.
        source_types: `digitalSourceType` values of its actions and metadata, as written.
    """

    label: str
    generators: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    source_types: list[str] = field(default_factory=list)


def read_manifests(store: bytes) -> list[Manifest]:
    """The manifests of a JUMBF manifest store in file order: the last one is of the picture as it is now,
    the others are of what went into it."""
    manifests: dict[str, Manifest] = {}
    budget = _MAX_PARSED_BYTES
    for labels, kind, start, end in content_boxes(store):
        if labels[0] != "c2pa" or len(labels) < 3 or kind not in (b"cbor", b"json"):
            continue
        claim = labels[-1].startswith("c2pa.claim")
        if not (claim or labels[-1].startswith(_DESCRIPTIVE)) or end - start > budget:
            continue
        budget -= end - start
        if labels[1] not in manifests and len(manifests) >= _MAX_FOUND:
            break
        manifest = manifests.setdefault(labels[1], Manifest(labels[1][:200]))
        content = _parsed(kind, store[start:end])
        if claim:
            _read_claim(content, manifest)
        else:
            _read_assertion(content, manifest)
    return list(manifests.values())


def _parsed(kind: bytes, raw: bytes) -> Any:
    try:
        return read_cbor(raw) if kind == b"cbor" else json.loads(raw)
    except (CborError, ValueError, RecursionError):
        return None


def _read_claim(claim: Any, manifest: Manifest) -> None:
    if not isinstance(claim, dict):
        return
    infos = claim.get("claim_generator_info")
    for info in infos if isinstance(infos, list) else [infos]:
        _append(manifest.generators, _agent_name(info))
    _append(manifest.generators, _agent_name(claim.get("claim_generator")))


def _read_assertion(assertion: Any, manifest: Manifest) -> None:
    for key, value in _items(assertion, 0):
        name = key.lower().rsplit(":", 1)[-1]
        if name == "digitalsourcetype":
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):  # JSON-LD
                    one = one.get("@id") or one.get("@value")
                _append(manifest.source_types, one if isinstance(one, str) else "")
        elif name in ("softwareagent", "softwareagents"):
            for one in value if isinstance(value, list) else [value]:
                _append(manifest.agents, _agent_name(one))


def _items(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of the maps in a nested value, outer ones first."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from _items(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner, depth + 1)


def _agent_name(agent: Any) -> str:
    """Name and version of software given as text or as a map."""
    if isinstance(agent, dict):
        parts = (agent.get("name"), agent.get("version"))
        return " ".join(p for p in parts if isinstance(p, str) and p)
    return agent if isinstance(agent, str) else ""


def _append(texts: list[str], text: str) -> None:
    if text and len(texts) < _MAX_FOUND and text[:300] not in texts:
        texts.append(text[:300])
