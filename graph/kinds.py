"""What a page is, judged by its properties and its title: article, category, disambiguation, list, date, maintenance.

Titles are matched in the languages of `_RULES`; a language that is not there has only what is common to all
(years and decades in digits, MediaWiki's own properties).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ARTICLE, CATEGORY, DISAMBIGUATION, LIST, DATE, MAINTENANCE = range(6)
NAMES = ("article", "category", "disambiguation", "list", "date", "maintenance")

_EN_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_ANY_DATE = r"^(\d{1,4}|\d{1,4}s|\d{1,2}[-/.]\d{1,2}([-/.]\d{2,4})?|\d{4}-\d{2,4})$"


@dataclass(frozen=True)
class _Language:
    """RE2 patterns over display names, case-insensitive; empty matches nothing."""

    lists: str = ""
    dates: str = ""
    disambiguation: str = ""
    maintenance: str = ""


_RULES = {
    "en": _Language(
        lists=r"^(lists? of|index of|outline of|glossary of|timeline of|bibliography of|discography of|comparison of"
        r"|table of|tables of) |(^| )(discography|filmography|bibliography)$|^(.+ )?list of ",
        dates=rf"^(({_EN_MONTHS})( \d{{1,2}})?(,? \d{{1,4}})?|\d{{1,2}} ({_EN_MONTHS})( \d{{1,4}})?|(ad )?\d{{1,4}} ?(bce?|ad|ce)?"
        r"|\d{1,4}s ?(bce?)?|\d{1,2}(st|nd|rd|th) (century|millennium)( bce?)?|\d{3,4}s? (in|at) .+"
        r"|\d{3,4}[–-]\d{2,4}( in .+)?)$",
        disambiguation=r"\(disambiguation\)$",
        maintenance=r"^(wikipedia|articles?|all (articles|pages|stub|wikipedia|disambig)|pages|cs1|webarchive|commons|use (dmy|mdy|british"
        r"|american)|short description|redirects|templates?|unreferenced|harv|hidden) ?.*(categor|wikidata|articles|error|dates"
        r"|templat|link|stub|with |using |needing |containing|lacking|from |maint)|(^| )stubs$|wikipedians|^disambiguation pages"
        r"|^(wikipedia|tracking|hidden|maintenance) categories|^main page$|^set indices|^living people$|^(\d{3,4}s?|year of) "
        r"?(births|deaths|birth|death)",
    ),
    "zh": _Language(
        lists=r"(列表|一覽表|一览表|名單|名单|年表|目录|目錄|索引|一覽|一览)$",
        dates=r"^(前?\d{1,4}年|前?\d{1,4}年代|\d{1,2}世[纪紀](前\d{1,2}世[纪紀])?|前\d{1,2}世[纪紀]|\d{1,2}月(\d{1,2}日)?|\d{1,4}年\d{1,2}月(\d{1,2}日)?"
        r"|\d{1,4}年.{1,12}(年表|列表)|公元前?\d{1,4}年)$",
        disambiguation=r"[（(]消歧[义義][)）]$",
        maintenance=r"(小作品|消歧[义義]|维基|維基|模板|[条條]目|页面|頁面|分[类類]重定向|引文|[链鏈]接失效|首[页頁]$|在世人物$|\d{4}年(出生|逝世)$)",
    ),
    "de": _Language(lists=r"^liste[n]? ", dates=r"^(\d{1,2}\. (januar|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember)|\d{1,2}\. jahrhundert.*|\d{1,4}er)$", disambiguation=r"\(begriffsklärung\)$"),
    "fr": _Language(lists=r"^(liste[s]?|chronologie) ", dates=r"^(années \d{1,4}|\d{1,2}(er)? (janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre)|[xvi]+e siècle.*)$", disambiguation=r"\(homonymie\)$"),
    "es": _Language(lists=r"^(anexo:|lista[s]? de )", dates=r"^(\d{1,2} de \w+|siglo [ivx]+.*|años \d{1,4})$", disambiguation=r"\(desambiguación\)$"),
    "ja": _Language(lists=r"(一覧|年表|索引)$", dates=r"^(紀元前?\d{1,4}年|\d{1,4}年|\d{1,4}年代|\d{1,2}世紀|\d{1,2}月(\d{1,2}日)?)$", disambiguation=r"[（(]曖昧さ回避[)）]$"),
}  # fmt: skip


def kinds_of(
    names: pa.Array, lang: str, is_category: np.ndarray, disambiguation: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """int8 index into `NAMES` per page.

    Args:
        names: display names. lang: language code; `zh-hans` counts as `zh`, `simple` as English.
        is_category: bool. disambiguation, hidden: bool, MediaWiki's properties of these names.
    """
    rules = _RULES.get("en" if lang == "simple" else lang.split("-")[0].split("_")[0], _Language())

    def like(pattern: str) -> np.ndarray:
        if not pattern:
            return np.zeros(len(names), bool)
        found = pc.match_substring_regex(names, pattern, ignore_case=True)
        return pc.fill_null(found, False).to_numpy(zero_copy_only=False)

    kind = np.where(is_category, CATEGORY, ARTICLE).astype(np.int8)
    kind[like(_ANY_DATE) | like(rules.dates)] = DATE
    kind[like(rules.lists) & ~is_category] = LIST
    # Articles are called what they like; only for categories do such names mean housekeeping.
    kind[(like(rules.maintenance) & is_category) | hidden] = MAINTENANCE
    kind[disambiguation | (like(rules.disambiguation) & ~is_category)] = DISAMBIGUATION
    return kind
