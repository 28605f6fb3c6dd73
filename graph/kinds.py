"""What a page is, judged by its properties and its title: article, category, disambiguation, list, date, maintenance.

Titles are matched in the languages of `_RULES`. What is common to all wikis goes before: years and decades in digits,
MediaWiki's own properties, Wikidata ids of the main page, months and weekdays, `(disambiguation)` in some thirty languages,
`list of` as Latin scripts write it, and English names of housekeeping categories, which small wikis take over.
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

_ANY_LIST = r"^(list[ae]?|listan|listado|lijst|seznam) (of|over|över|de|del|di|dei|delle|degli|der|des|von|van|d[ao]s?|na|ng|no) |^listan "
_ANY_DISAMBIGUATION = (
    r"[(（](disambigua(tion|zione)?|disambiguasi|nyahkekaburan|desambigua(ção|ción|ció)|dezambiguizare|dubbelsinnig|begriffsklärung|homonymie"
    r"|doorverwijspagina|ujednoznacznienie|rozcestník|razločitev|razvrstavanje|täsmennyssivu|täpsustus|egyértelműsítő lap|olika betydelser"
    r"|flertydig|andre betydninger|fleirtyding|anlam ayrımı|định hướng|argipena|apartigilo|discretiva|значения|значення|пояснение"
    r"|вишезначна одредница|неадназначнасць|αποσαφήνιση|توضيح|ابهام‌زدایی|פירושונים|동음이의|曖昧さ回避|消歧[义義])[)）]$"
)
#: Numbers of Wikidata items: the main page; months and weekdays.
_MAIN_PAGE = (5296,)
_CALENDAR = (*range(108, 111), *range(118, 127), 105, *range(127, 133))


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
        r"?(births|deaths|birth|death)|^user [a-z]{2,4}(-[a-z0-9]+)*$|^candidates for (speedy )?deletion$|^wikipedia( bots| help| stubs)?$",
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
    "it": _Language(lists=r"^(liste? |cronologia d)", dates=r"^(\d{1,2}º? (gennaio|febbraio|marzo|aprile|maggio|giugno|luglio|agosto|settembre|ottobre|novembre|dicembre)|anni \d{1,4}|[xvi]+ secolo.*)$"),
    "pt": _Language(lists=r"^(anexo:|listas? d|cronologia d)", dates=r"^(\d{1,2}º? de (janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro)|década de \d{1,4}|século [xvi]+.*)$"),
    "nl": _Language(lists=r"^(lijst|lijsten) van ", dates=r"^(\d{1,2} (januari|februari|maart|april|mei|juni|juli|augustus|september|oktober|november|december)|\d{1,2}e eeuw.*|[\d-]{4,9})$"),
    "pl": _Language(lists=r"^(lista|listy) ", dates=r"^(\d{1,2} (stycznia|lutego|marca|kwietnia|maja|czerwca|lipca|sierpnia|września|października|listopada|grudnia)|lata \d{1,2}\. .*|[xvi]+ wiek.*)$"),
    "ru": _Language(lists=r"^(список|списки) ", dates=r"^(\d{1,4} год( до н\. э\.)?|\d{1,4}-е( годы)?|\d{1,2} (января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)|[xvi]+ век.*)$"),
    "sv": _Language(lists=r"^lista över ", dates=r"^(\d{1,2} (januari|februari|mars|april|maj|juni|juli|augusti|september|oktober|november|december)|\d{3,4}-talet.*)$"),
    "ko": _Language(lists=r"(목록|연표)$", dates=r"^((기원전 )?\d{1,4}년(대)?|\d{1,2}세기|\d{1,2}월( \d{1,2}일)?)$"),
    "ca": _Language(lists=r"^(llista|llistes) d", dates=r"^(\d{1,2} d(e |')(gener|febrer|març|abril|maig|juny|juliol|agost|setembre|octubre|novembre|desembre)|dècada del \d{1,4}|segle [xvi]+.*)$"),
}  # fmt: skip


def kinds_of(
    names: pa.Array,
    lang: str,
    is_category: np.ndarray,
    disambiguation: np.ndarray,
    hidden: np.ndarray,
    wikidata: np.ndarray | None = None,
) -> np.ndarray:
    """int8 index into `NAMES` per page.

    Args:
        names: display names. lang: language code; `zh-hans` counts as `zh`, `simple` as English.
        is_category: bool. disambiguation, hidden: bool, MediaWiki's properties of these names.
        wikidata: int64 Q numbers, -1 for none.
    """
    rules = _RULES.get("en" if lang == "simple" else lang.split("-")[0].split("_")[0], _Language())

    def like(pattern: str) -> np.ndarray:
        if not pattern:
            return np.zeros(len(names), bool)
        found = pc.match_substring_regex(names, pattern, ignore_case=True)
        return pc.fill_null(found, False).to_numpy(zero_copy_only=False)

    kind = np.where(is_category, CATEGORY, ARTICLE).astype(np.int8)
    items = np.full(len(names), -1, np.int64) if wikidata is None else wikidata
    kind[like(_ANY_DATE) | like(rules.dates) | (np.isin(items, _CALENDAR) & ~is_category)] = DATE
    kind[(like(_ANY_LIST) | like(rules.lists)) & ~is_category] = LIST
    # Articles are called what they like; only for categories do such names mean housekeeping.
    housekeeping = (like(rules.maintenance) | like(_RULES["en"].maintenance)) & is_category
    kind[housekeeping | hidden | np.isin(items, _MAIN_PAGE)] = MAINTENANCE
    kind[disambiguation | ((like(rules.disambiguation) | like(_ANY_DISAMBIGUATION)) & ~is_category)] = (
        DISAMBIGUATION
    )
    return kind
