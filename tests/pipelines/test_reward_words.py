"""Words of claims: what the reward is trained on is what it is asked."""

import numpy as np
import pytest

from zcurate.captioner.elements import elements
from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.exporting import export_parquet
from zcurate.curation.active.review.states import FAIL
from zcurate.curation.active.reward.claims import hashed_words, worded
from zcurate.curation.active.reward.model import RewardModel
from zcurate.curation.active.reward.network import InstructionNetwork
from zcurate.pipelines.element_checkers import RewardChecker
from zcurate.pipelines.review_tasks import claims
from zcurate.pipelines.training_reward import read_reviewed

from ..curation.review_cases import said, task


class Listening:
    """An encoder with a text tower that notes what it is asked."""

    has_text, dim = True, 16

    def __init__(self):
        self.heard = []

    def encode_texts(self, texts):
        self.heard += texts
        return np.stack([hashed_words(t)[:16] for t in texts])

    def encode_images(self, images):
        return np.zeros((len(images), 16), np.float32)


@pytest.mark.parametrize(
    "caption",
    [
        'Two red cats under a sign that says "OPEN", a cat on a wooden chair.',
        "A street without cars, no dogs, a blue bicycle on the left.",
        "一只红色的猫坐在木椅上，旁边没有狗。",
        "Three birds.",
    ],
)
def test_what_is_trained_on_is_what_is_asked(caption, tmp_path):
    """From a caption through review, export and training on one side, from the same words as a prompt on the other."""
    language = "zh" if caption[0] > "\u3000" else "en"
    fields = {f"{language}_long": caption}
    one = task(0, fields=fields, elements=claims(fields))
    off = [e.id for e in one.elements][::2]
    with ReviewLog(tmp_path / "r.sqlite") as log:
        log.sync_tasks([one])
        log.append([said(one.id, FAIL, unsatisfied=off)])
        export_parquet(log, tmp_path / "out")
    learned = list(read_reviewed(tmp_path / "out/reviewed.parquet"))
    asked = elements(caption).elements
    encoder = Listening()
    model = RewardModel(encoder, InstructionNetwork(16, 24), 1.0, lambda p: elements(p).elements)
    (found,) = model([np.zeros((8, 8, 3), np.uint8)], [caption])
    assert set(found.elements) == {e.id for e in asked}
    assert encoder.heard == list(dict.fromkeys(j.words for j in learned))
    assert [j.kind for j in learned] == [e.kind for e in asked]
    # What must be absent and is not clicked is not in the picture.
    assert [j.shown for j in learned] == [(e.id not in off) is not e.negated for e in asked]
    # A claim that is asked about alone is worded with what it depends on.
    alone, *_ = [e for e in asked if e.parents]
    encoder.heard.clear()
    RewardChecker(model).check(np.zeros((8, 8, 3), np.uint8), caption, [alone])
    assert encoder.heard == [next(j.words for j, e in zip(learned, asked, strict=True) if e.id == alone.id)]


def test_a_relation_stands_between_what_it_relates():
    (on,) = [e for e in elements("a cat on a chair").elements if e.kind == "spatial"]
    assert worded(on, elements("a cat on a chair").elements) == "cat on chair"
