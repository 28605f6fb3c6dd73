"""What captioning one image cost, over all answers, and how it ends when none is usable."""

from __future__ import annotations

from dataclasses import replace

from .answers import AnswerError
from .asking import Asked
from .checks import Mended
from .schema import CaptionError, Provenance


class Ledger:
    """Sums over the answers drawn for one image."""

    def __init__(self) -> None:
        self.attempts = 0
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None
        self.seconds = 0.0
        self.seed: int | None = None
        self.finish_reason = ""
        self.failures: list[str] = []
        self.repaired: set[str] = set()

    def add(self, asked: Asked) -> None:
        """Count answers that could be parsed."""
        self.attempts += asked.attempts
        self.tokens_in = _plus(self.tokens_in, asked.tokens_in)
        self.tokens_out = _plus(self.tokens_out, asked.tokens_out)
        self.seconds += asked.seconds
        self.seed, self.finish_reason = asked.seed, asked.finish_reason
        self.failures += asked.failures
        self.repaired |= set(asked.repaired)

    def failed(self, error: AnswerError) -> AnswerError:
        """Count what was spent on a failure, and its reason; the error itself is handed back."""
        if error.asked is not None:
            self.add(replace(error.asked, repaired=()))  # repairs of an answer that is not used
        else:
            self.failures.append(error.reason)
        return error

    def provenance(self, pack: str, prompt_sha: str, mended: Mended) -> Provenance:
        return Provenance(
            pack=pack,
            prompt_sha=prompt_sha,
            seed=self.seed,
            finish_reason=self.finish_reason,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            attempts=self.attempts,
            failures=tuple(self.failures),
            repaired=tuple(sorted(self.repaired | mended.repaired)),
            warnings=tuple(sorted(mended.warnings)),
        )


def _plus(a: int | None, b: int | None) -> int | None:
    return a if b is None else b if a is None else a + b


class Rejected(CaptionError):  # noqa: N818 - the fate of a row, not a mistake of the caller
    """No try gave usable captions; the row goes to quarantine.

    Attributes:
        reason: one of `answers.REASONS`.
        call: "ocr" or "captions".
        field: the part at fault, such as `zh.long`; "" for the whole answer.
        ledger: what was spent.
        text: beginning of the last answer, if it could not be parsed.
    """

    def __init__(self, error: AnswerError, call: str, ledger: Ledger):
        super().__init__(f"{error.reason}: {call}, {ledger.attempts} answers, the last: {error.problem}")
        self.reason, self.call, self.field = error.reason, call, error.field
        self.ledger, self.text = ledger, error.text
