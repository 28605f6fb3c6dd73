"""A chat model where the knowledge graph waits for one: judging what can be shown, and naming parents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from zcurate.captioner import packs
from zcurate.captioner.chat import Chat, ChatError, ChatRequest, Sampling
from zcurate.captioner.naming import ask_name
from zcurate.curation.errors import ConfigError
from zcurate.graph.cluster_tree import MEDOID
from zcurate.graph.journal import Author
from zcurate.graph.overlay import reference
from zcurate.graph.store import Graph
from zcurate.graph.upkeep import record

from . import registry
from .loop_thread import LoopThread
from .prompting import chat_of

_ORIGIN = f"captions, named by {MEDOID}"
_VERDICT = {
    "type": "object",
    "properties": {
        "visual": {"type": "string", "enum": ["yes", "no"]},
        "reason": {"type": "string", "maxLength": 200},
    },
    "required": ["visual", "reason"],
    "additionalProperties": False,
}


def is_chat(name: str) -> bool:
    """Does `--vlm NAME` mean an engine of the registry, rather than package.module:factory?"""
    return name.partition(":")[0] in registry.ENGINES["vlm"]


class ChatAnswers:
    """`graph.visual_vlm.TextEngine` by a Chat: all questions of a batch are under way at once.

    Args:
        name: model string of the registry. revision: of the weights behind a server, as the user words it; it is part
            of the key under which verdicts are kept.
    """

    def __init__(self, name: str, revision: str | None = None):
        self._chat: Chat = chat_of(name)
        self.model = registry.identity(name, revision)
        self._loop = LoopThread()
        self._load(name)

    def _load(self, name: str) -> None:
        try:
            self._chat.load()
        except ChatError as e:
            raise ConfigError(f"--vlm {name}: {e}") from e

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """One answer per prompt; "" where the model gave none, which is asked again by the next run.

        Raises:
            ConfigError: the model cannot be reached, or not for one of the prompts.
        """

        async def work() -> list[str | ChatError]:
            try:
                return await asyncio.gather(*(self._ask(prompt) for prompt in prompts))
            finally:
                await self._chat.close()

        got = self._loop.run(work())
        errors = [a for a in got if isinstance(a, ChatError)]
        fatal = [e for e in errors if e.fatal]
        if fatal or (errors and len(errors) == len(got)):
            raise ConfigError(
                f"--vlm: {(fatal or errors)[0]}; verdicts so far are kept, the same command goes on"
            )
        return ["" if isinstance(a, ChatError) else a for a in got]

    async def _ask(self, prompt: str) -> str | ChatError:
        request = ChatRequest(
            "You judge concepts. Answer with the JSON object asked for, nothing else.",
            (prompt,),
            schema=_VERDICT,
            schema_name="visual_verdict",
            max_tokens=160,
            sampling=Sampling(temperature=0.0, seed=0),
        )
        try:
            answer = await self._chat.ask(request)
        except ChatError as e:
            return e
        return answer.text if answer.finish_reason == "stop" else ""


class ChatNamer:
    """`graph.cluster_tree.Namer` by a Chat."""

    def __init__(self, name: str, revision: str | None = None):
        self._chat: Chat = chat_of(name)
        self._pack = packs.load("parent_names", packs.family_of(name))
        self.identity = registry.identity(name, revision)
        self._loop = LoopThread()
        try:
            self._chat.load()
        except ChatError as e:
            raise ConfigError(f"--vlm {name}: {e}") from e

    def name(self, children: Sequence[str]) -> str:
        """A common name, or an empty string. Raises ConfigError: the model does not answer."""
        return self.names([children])[0]

    def names(self, groups: Sequence[Sequence[str]]) -> list[str]:
        """`name` of many groups at once."""

        async def work() -> list[str]:
            try:
                return await asyncio.gather(
                    *(ask_name(members, self._chat, self._pack) for members in groups)
                )
            finally:
                await self._chat.close()

        try:
            return self._loop.run(work())
        except ChatError as e:
            raise ConfigError(f"--vlm: {e}; names so far are kept, the same command goes on") from e


def name_parents(
    graph: Graph, namer: ChatNamer, author: Author, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Name the parents that `graph-augment` named by a medoid, in place; nothing moves, old names stay as aliases.

    Bottom up, level by level: a parent is named from the names its children have by then. Every level is written
    before the next is asked about.

    Returns:
        parents: how many had a medoid's name. named: how many have a new one. names: old and new of the first 20.
    """
    levels = _levels(graph)
    named: list[tuple[str, str]] = []
    for level in levels:
        # Renames are read again with every level.
        current = Graph.open(graph.path)
        labels, langs = current.nodes["name"], current.nodes["lang"]
        groups = [[_bare(labels[c].as_py()) for c in current.children(v)] for v in level]
        events = []
        for v, name in zip(level, namer.names(groups), strict=True):
            if name:
                lang = _script_language(name, langs[v].as_py())
                event = {"event": "rename", "concept": reference(current, v), "name": name, "lang": lang}
                events.append({**event, "named_by": namer.identity})
                named.append((labels[v].as_py(), name))
        if events:
            record(current, events, author)
        tell(f"{len(named)} of {sum(map(len, levels))} parents named")
    return {"parents": sum(map(len, levels)), "named": len(named), "names": named[:20]}


def _levels(graph: Graph) -> list[list[int]]:
    """Nodes named by a medoid, those without such children first."""
    origins = graph.nodes["origin"].to_pylist()
    renamed = graph.overlay.renamed
    left = {v for v, origin in enumerate(origins) if origin == _ORIGIN and v not in renamed}
    levels = []
    while left:
        ready = sorted(v for v in left if not any(c in left for c in graph.children(v)))
        if not ready:  # a cycle that a user's edges closed
            ready = sorted(left)
        levels.append(ready)
        left.difference_update(ready)
    return levels


def _bare(name: str) -> str:
    """A child's name without the mark that tells it from the tag it was named after."""
    return name.removesuffix(" (group)")


def _script_language(name: str, default: str) -> str:
    return "zh" if any("\u4e00" <= c <= "\u9fff" for c in name) else default
