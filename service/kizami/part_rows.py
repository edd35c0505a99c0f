"""The rows of a part: texts in order, with tokens from the analyser or from the predecessor, a stretch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kizami.analysis.contract import TextAnalyser
from kizami.analysis.distinct import analyse_distinct
from kizami.encoded import ROWS, TOKENS
from kizami.interleaving import Picked, interleaved
from kizami.partfile import PartWriter
from kizami.reuse import Places, PreviousRows

BATCH_BYTES: Final = 1 << 20
"""UTF-8 bytes of text given to the analyser at once: some 350,000 tokens at the most, about 60 MB of columns."""
_BATCH_ROWS: Final = 100_000


class PartRows:
    """Writes the rows of a part of ``fields``, with tokens of the ``analyser`` or of the ``previous`` rows."""

    def __init__(
        self, writer: PartWriter, fields: Sequence[str], analyser: TextAnalyser, previous: PreviousRows | None
    ) -> None:
        self._writer = writer
        self._fields = fields
        self._analyser = analyser
        self._previous = previous

    def write(self, texts: pa.Table, places: Places, progress: Callable[[int], None]) -> list[dict[str, Any]]:
        """Write the rows of texts, schema TEXTS in the order of their keys; the failures, by the row of their text.

        ``places`` says where the previous rows have the tokens of a text; those that have none are analysed.
        ``progress`` is told now and then how many texts are done.
        """
        failures: list[dict[str, Any]] = []
        done = 0
        for stretch in _stretches(texts, places):
            failed = self._write_stretch(stretch, places[done : done + len(stretch)], done, progress)
            failures += [{"row": done + index, "message": message} for index, message in failed.items()]
            done += len(stretch)
            progress(done)
        return failures

    def _write_stretch(
        self, texts: pa.Table, places: Places, done: int, progress: Callable[[int], None]
    ) -> dict[int, str]:
        new = np.flatnonzero(places < 0)
        tokens, failures = TOKENS.empty_table().combine_chunks(), {}
        if len(new):
            asked = texts["text"] if len(new) == len(texts) else texts["text"].filter(pa.array(places < 0))
            analysis = analyse_distinct(self._analyser, asked.combine_chunks())
            tokens = analysis.tokens
            failures = {int(new[index]): message for index, message in analysis.failures.items()}
        if failures:
            kept = np.ones(len(texts), np.bool_)
            kept[list(failures)] = False
            texts, tokens = texts.filter(pa.array(kept)), tokens.filter(pa.array(kept[new])).combine_chunks()
            places = places[kept]
            new = np.flatnonzero(places < 0)
        if self._previous and len(new) < len(texts):
            own = Picked(tokens, np.arange(len(new)), new)
            for rows in self._take_over(self._previous, texts, places, own):
                progress(done + rows)
        else:
            self._writer.write(self._of(texts, tokens))
        return failures

    def _take_over(self, previous: PreviousRows, texts: pa.Table, places: Places, analysed: Picked) -> Iterator[int]:
        """Write rows whose tokens are partly ``analysed``, the others of the predecessor, one row group after another:
        so what one of the predecessor's has stays together. After each, how many rows are written."""
        counts = previous.token_counts(places)
        counts[analysed.at] = pc.list_value_length(analysed.tokens["start"]).to_numpy()
        start = 0
        while start < len(texts):
            end = start + self._writer.room(counts[start:])
            picked = list(previous.picked(places[start:end]))
            first, last = np.searchsorted(analysed.at, (start, end)).tolist()
            if first < last:
                own = analysed.tokens.slice(first, last - first)
                picked.append(Picked(own, np.arange(last - first), analysed.at[first:last] - start))
            made = interleaved(picked, end - start)
            rows = self._of(texts.slice(start, end - start), made.tokens)
            self._writer.write(rows, is_ordered=made.is_ordered)
            start = end
            yield start

    def _of(self, texts: pa.Table, tokens: pa.Table) -> pa.Table:
        """Texts and their tokens as rows of schema v1, encoded."""
        field = pa.array(self._fields, pa.string()).take(texts["field"].combine_chunks())
        head = [texts["doc_id"], field, texts["position"], texts["text"], texts["text_hash"]]
        return pa.Table.from_arrays([*head, *tokens.columns], schema=ROWS)


def _stretches(texts: pa.Table, places: Places) -> Iterator[pa.Table]:
    """Cut texts so that in each piece there are no more than ``BATCH_BYTES`` to be analysed, if no text alone is
    longer; the same ones for the same texts."""
    is_new = places < 0
    new_bytes = np.cumsum(np.where(is_new, pc.binary_length(texts["text"]).to_numpy(), 0), dtype=np.int64)
    new_rows = np.cumsum(is_new)
    start = 0
    while start < len(texts):
        bytes_done, rows_done = (new_bytes[start - 1], new_rows[start - 1]) if start else (0, 0)
        fitting = int(np.searchsorted(new_bytes, bytes_done + BATCH_BYTES, side="right"))
        end = min(max(fitting, start + 1), int(np.searchsorted(new_rows, rows_done + _BATCH_ROWS, side="right")))
        yield texts.slice(start, end - start)
        start = end
