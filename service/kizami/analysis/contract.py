"""What whoever needs tokens asks of an analyser, however it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kizami.analysis.analyser import Analysis


class TextAnalyser(Protocol):
    """Texts in, their tokens out."""

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of ``texts``, one row a text; a text that cannot be analysed is a failure, not an exception."""
