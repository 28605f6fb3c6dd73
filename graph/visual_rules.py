"""Can a concept be shown in a picture? Rules over what is known without looking: the answer when there is no VLM.

In this order, the first that applies decides:

1. no concept at all: disambiguation pages, lists, dates, maintenance pages, pages of other namespaces → drop
2. categories → keep: they are the parents of the taxonomy
3. the page has a page image or an infobox image (MediaWiki's `page_image` property) → keep
4. an abstract class, by the words of the title or of a direct parent category → drop
5. anything else → keep, unless an image is asked for and known to be absent
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .store import IS_A, Graph

_NOT_CONCEPTS = ("disambiguation", "list", "date", "maintenance")
_NAMESPACES = (
    r"^(wikipedia|help|template|module|portal|file|user|talk|draft|mediawiki|special|project|wp"
    r"|维基百科|維基百科|模板|模組|模块|文件|帮助|幫助|主题|主題|用户|使用者|讨论|討論):"
)
#: Words that make a title or a category abstract. Ours, and deliberately short: a wrong drop is not seen again.
_ABSTRACT = (
    r"(^|[ (])(theor(y|ies|em|ems)|hypothes[ie]s|concepts?|philosoph(y|ies)|ideolog(y|ies)|paradox(es)?|axioms?|lemma|conjectures?"
    r"|algorithms?|equations?|principles?|doctrines?|epistemology|ontology|metaphysics|grammar|semantics|syntax|phonology"
    r"|statistics|calculus|algebra|legislation|jurisprudence|terminology|abbreviations?|acronyms?|etymology"
    r"|economics|finance|taxation|macroeconomics|probability)([ ),]|$)"
    r"|[a-z]{3,}(ology|ological|ism|isms)$|(理论|理論|定理|定律|假说|假說|主义|主義|概念|哲学|哲學|悖论|悖論|方程|算法|演算法|原理|学说|學說"
    r"|语法|語法|词汇|詞彙|术语|術語|学科|學科|经济学|經濟學|法律)$"
)

KEEP_REASONS = ("category", "has a page image", "nothing against it")
DROP_REASONS = (
    *_NOT_CONCEPTS,
    "another namespace",
    "abstract by title",
    "abstract by category",
    "no page image",
)


def judge(graph: Graph, require_image: bool = False) -> tuple[np.ndarray, pa.DictionaryArray]:
    """(keep bool [n], reason per node)."""
    names, kind = graph.nodes["name"].combine_chunks(), graph.nodes["kind"]
    n = graph.n
    reasons = (*DROP_REASONS, *KEEP_REASONS)
    code = np.full(n, reasons.index("nothing against it"), np.int8)
    image = graph.nodes["has_image"]
    if require_image:
        code[_true(pc.equal(image, False))] = reasons.index("no page image")
    by_title = _true(pc.match_substring_regex(names, _ABSTRACT, ignore_case=True))
    indptr, indices = graph.csr(IS_A)
    child = np.repeat(np.arange(n), np.diff(indptr))
    by_category = np.zeros(n, bool)
    by_category[child[by_title[np.asarray(indices)]]] = True
    code[by_category] = reasons.index("abstract by category")
    code[by_title] = reasons.index("abstract by title")
    code[_true(pc.equal(image, True))] = reasons.index("has a page image")
    code[_true(pc.equal(kind, "category"))] = reasons.index("category")
    code[_true(pc.match_substring_regex(names, _NAMESPACES, ignore_case=True))] = reasons.index(
        "another namespace"
    )
    for what in _NOT_CONCEPTS:
        code[_true(pc.equal(kind, what))] = reasons.index(what)
    return code >= len(DROP_REASONS), pa.DictionaryArray.from_arrays(code, list(reasons))


def _true(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
    return pc.fill_null(column, False).to_numpy(zero_copy_only=False)
