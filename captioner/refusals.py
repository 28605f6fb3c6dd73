"""Refusals and stock phrases of vision-language models, in English and Chinese."""

from __future__ import annotations

import re

#: A refusal opens the answer, or speaks of the assistant itself. Phrases alone are no proof: lettering in a picture
#: may say "sorry, we're closed", so quoted spans are taken out first, and only the opening is searched.
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|「[^」]*」|『[^』]*』|《[^》]*》')
_OPENING_CHARS = 260

_REFUSAL = re.compile(
    r"\b(?:i(?:'|’)?m (?:really |very |so )?sorry|i apologi[sz]e|sorry,? (?:but )?i"
    r"|i (?:can(?:'|’)?t|can ?not|could ?n(?:'|’)t|am unable to|am not able to|(?:'|’)m (?:not able|unable) to"
    r"|(?:do not|don(?:'|’)t) have the ability to|won(?:'|’)t)"
    r"(?: \w+){0,3}? (?:assist|help|provide|describe|identify|fulfil\w*|process|view|see|comply|analy[sz]e|generate|create|access|engage|continue)"
    r"|i(?:'|’)?m (?:unable|not able) to"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model|(?:virtual |text-based )?assistant)"
    r"(?: (?:language )?model| assistant)?,? (?:i\b|my\b|it is not)"
    r"|(?:goes )?against my (?:guidelines|policy|policies|programming)"
    r"|(?:violates?|against) (?:the |our |openai(?:'|’)?s )?(?:content|usage|safety) polic(?:y|ies)"
    r"|no image (?:was|has been|is) (?:provided|attached|visible|included)"
    r"|i (?:do not|don(?:'|’)t|did not|didn(?:'|’)t) (?:see|receive) (?:any|an|the) image"
    r"|please (?:provide|upload|share|attach) (?:the|an|a|your) (?:image|picture|photo))\b"
    r"|(?:很|非常|十分)?(?:抱歉|对不起|不好意思)[，,。！\s]*(?:但|但是|我|作为|无法|不能|该|此|这|由于|您)"
    r"|我(?:无法|不能|没有办法|没法|不会|不便)(?:为您|帮您|帮助您?|协助您?|满足|提供|描述|识别|查看|看到|处理|回答|完成|分析|生成|继续|讨论)"
    r"|作为(?:一个|一名|一款)?(?:AI|人工智能)?(?:大?语言模型|智能助手|助手|模型)?[，, ]*我(?:无法|不能|没有|只能|不)"
    r"|(?:请求|内容|问题|图片)[^，。]{0,12}违反(?:了)?(?:相关)?(?:法律|法规|规定|政策|内容政策|使用政策|安全准则)"
    r"|(?:没有|未)(?:收到|看到|提供|检测到)(?:任何|您的|该)?(?:图片|图像|照片)"
    r"|请(?:您)?(?:上传|提供|发送)(?:一张|您的|该)?(?:图片|图像|照片)",
    re.I,
)

#: Lettering that models claim to read where there is none, as seen in published evaluation code for Qwen2.5-VL.
_NO_LETTERING = re.compile(
    r"\s*(?:addCriterion|no (?:legible |visible |readable )?(?:text|lettering|words?)"
    r"(?: (?:is |was |were |are )?(?:recogni[sz]ed|detected|found|visible|present|available))?"
    r"|there is no (?:legible |visible |readable )?text(?: in (?:the|this) (?:image|picture))?"
    r"|none|n/?a|null|无|没有|无文字|没有(?:可识别的|可见的|可辨认的|任何)?文字|未(?:识别|检测)(?:到|出)?(?:任何)?(?:文字|文本)"
    r"|无(?:可识别|可见|可辨认|法识别)的?(?:文字|文本))[.。!！\s]*",
    re.I,
)

#: Words by which a reader says that characters cannot be made out. They are not in the picture.
_ILLEGIBLE = re.compile(
    r"\s*[\[(（【<]?\s*(?:illegible|unreadable|indecipherable|unclear|blurred|blurry)(?: (?:text|lettering|characters?|words?))?\s*[\])）】>]?[.。\s]*"
    r"|\s*[\[(（【]?\s*(?:无法辨认|无法识别|难以辨认|模糊不清|不清晰|看不清)(?:的)?(?:文字|字|内容)?\s*[\])）】]?[。\s]*",
    re.I,
)


def refusal_in(text: str) -> str:
    """The phrase by which a text refuses, "" if it does not. Quoted lettering does not count."""
    match = _REFUSAL.search(_QUOTED.sub(" ", text[: 4 * _OPENING_CHARS])[:_OPENING_CHARS])
    return match.group() if match else ""


def is_invented_lettering(text: str) -> bool:
    """Whether a claimed string is one of the known phrases for "nothing there", or "addCriterion"."""
    return bool(_NO_LETTERING.fullmatch(text))


def is_illegible_note(text: str) -> bool:
    """Whether a claimed string only says that something cannot be read."""
    return bool(_ILLEGIBLE.fullmatch(text))
