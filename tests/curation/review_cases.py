"""Tasks and decisions for the review tests."""

from hypothesis import strategies as st

from zcurate.curation.active.review.states import AI, HUMAN, Decision
from zcurate.curation.active.review.tasks import CAPTION, PAIR, Element, Picture, Task

WHEN = "2026-01-31T12:00:00.000Z"


def task(number=0, **changes):
    """A caption task about sample `number`."""
    subject = f"{number:032x}"
    facts = {
        "kind": CAPTION,
        "subject": subject,
        "pictures": (Picture("image", subject, subject, 640, 480),),
        "fields": {
            "en_long": f"A red bicycle, number {number}, on a bridge.",
            "en_tags": ("bicycle", "bridge"),
            "zh_long": "一辆红色自行车停在桥上。",
            "zh_tags": ("自行车", "桥"),
        },
        "elements": (
            Element("e1", "bicycle", "subject"),
            Element("e2", "red", "attribute", ("e1",)),
            Element("e3", "on a bridge", "spatial", ("e1",)),
        ),
        "proposer": "captioner@1",
        "context": {"source": "photos", "key": f"k{number}", "scores": {"aesthetic": 6.2}},
        "rank": float(number),
    }
    return Task(**{**facts, **changes})


def pair_task(number=0):
    fields = {"en_short": "remove the lamp", "en_long": "Remove the lamp.", "zh_short": "去掉灯"}
    pictures = (Picture("source", "a", "a"), Picture("target", "b", "b"))
    return Task(
        PAIR, f"pair{number}", pictures, fields, (Element("rest", "the rest stays", "rest"),), "template"
    )


def said(task_id, action, actor="ann", kind=HUMAN, number=0, **body):
    """A decision with an id made of what it says."""
    name = f"{task_id[:8]}-{kind}-{actor}-{action}-{number}"
    return Decision(name, task_id, action, actor, kind, WHEN, body)


def ai(task_id, action, number=0):
    return said(task_id, action, "judge@2", AI, number)


#: Any text that a JSON file and a database can hold.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
#: Words that appear in hostile captions.
XSS = (
    "<script>window.pwned = 1</script>",
    "</textarea><img src=x onerror='window.pwned = 2'>",
    "<svg/onload=window.pwned=3>",
    '" autofocus onfocus="window.pwned=4" x="',
    "' onmouseover='window.pwned=5",
    "javascript:window.pwned=6",
    "</title><script>window.pwned=7</script>",
    "{{ ''.__class__.__mro__ }} {% raw %}",
    "<!--<script>window.pwned=8</script>-->",
    "\"><iframe srcdoc='<script>parent.pwned=9</script>'>",
    "<math><mtext></textarea><style onload=window.pwned=10>",
    "&lt;script&gt;window.pwned=11&lt;/script&gt;",
    "\u202egnp.exe\u2066 reordered \ufeff",
    "\n\n leading lines\r\nand\rreturns",
    "]]><![CDATA[<script>window.pwned=12</script>",
    "<base href=//evil.example><form action=//evil.example><button>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/a.css><style>body{display:none}</style>",
)
