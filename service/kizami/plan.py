"""A plan: what a run would do, told without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kizami.ledger import RunEntry, State

COMPARED_COLUMNS: Final = ("doc_id", "field", "position", "text_hash")
"""What of the predecessor's rows a comparison looks at."""
_TAKING_OVER: Final = 0.35
"""What a text that is taken over into a part written anew costs, against analysing it (`make bench`)."""


@dataclass(frozen=True, slots=True)
class TextCounts:
    """Texts of a source beside the rows of the predecessor; a text is one (doc_id, field, position)."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    unchanged: int = 0
    held_back: int = 0
    """Texts that would be quarantined for a fault of their document."""

    def __add__(self, other: TextCounts) -> TextCounts:
        return TextCounts(
            self.new + other.new,
            self.changed + other.changed,
            self.gone + other.gone,
            self.unchanged + other.unchanged,
            self.held_back + other.held_back,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do."""

    corpus: str
    date: str
    predecessor: str | None
    """The snapshot that the run would start from."""
    published: str | None
    """The snapshot of the date that was made of the same input: there is nothing to do."""
    texts: TextCounts
    texts_analysed: int
    texts_reused: int
    parts: int
    parts_copied: int
    parts_derived: int
    """Parts to be made in other versions of the schema, of those written and of those copied that lack them."""
    seconds: float | None
    """By the ledger; None where it has no run to judge by."""


def compare_texts(sound: pa.Table, rows: pa.Table, fields: Sequence[str]) -> TextCounts:
    """The sound texts of a part beside the rows of the predecessor in its range, columns COMPARED_COLUMNS."""
    field = pa.array(fields, pa.string()).take(sound["field"].combine_chunks())
    places = pc.index_in(
        _keys(sound["doc_id"], field, sound["position"]), _keys(rows["doc_id"], rows["field"], rows["position"])
    )
    same = pc.equal(rows["text_hash"].combine_chunks().take(places), sound["text_hash"].combine_chunks())
    there, unchanged = len(places) - places.null_count, int(pc.sum(same).as_py() or 0)
    return TextCounts(new=len(sound) - there, changed=there - unchanged, gone=len(rows) - there, unchanged=unchanged)


def _keys(doc_id: pa.Array, field: pa.Array, position: pa.Array) -> pa.Array:
    # The length first: no id can be mistaken for one with a field.
    columns = (pc.cast(pc.binary_length(doc_id), pa.string()), doc_id, field, pc.cast(position, pa.string()))
    keys = pc.binary_join_element_wise(*columns, " ")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys


def estimate_seconds(history: Sequence[RunEntry], analysed: int, taken_over: int) -> float | None:
    """Wall clock of a run, by the ledger (the newest entry first).

    ``taken_over`` counts the texts taken over into parts that are written anew. The last published run tells what
    reading and publishing take; the last one that took nothing over, what analysing does.
    """
    published = [entry for entry in history if entry.state is State.PUBLISHED and "analyse" in entry.stage_seconds]
    whole = [entry for entry in published if entry.counts.texts_analysed and not entry.counts.texts_reused]
    if not whole:
        return None
    a_text = whole[0].stage_seconds["analyse"] / whole[0].counts.texts_analysed
    rest = sum(seconds for stage, seconds in published[0].stage_seconds.items() if stage != "analyse")
    return round(rest + a_text * (analysed + _TAKING_OVER * taken_over), 1)


def render_plan(plan: Plan) -> str:
    """A plan for a person."""
    if plan.published:
        return f"nothing to do: {plan.date} is published from the same input as {plan.published}"
    texts, start = plan.texts, f"from {plan.predecessor}" if plan.predecessor else "the first one"
    held_back = f", {texts.held_back:,} to be quarantined" if texts.held_back else ""
    derived = f", {plan.parts_derived:,} to be derived for other versions of the schema" if plan.parts_derived else ""
    time = "unknown: the ledger has no full run to judge by" if plan.seconds is None else f"about {plan.seconds:,.0f} s"
    return (
        f"a run of {plan.corpus} for {plan.date}, {start}\n"
        f"texts: {texts.new:,} new, {texts.changed:,} changed, {texts.gone:,} gone, {texts.unchanged:,} unchanged"
        f"{held_back}\n"
        f"       {plan.texts_analysed:,} to be analysed, {plan.texts_reused:,} reused\n"
        f"parts: {plan.parts - plan.parts_copied:,} to be written, {plan.parts_copied:,} copied{derived}\n"
        f"time:  {time}"
    )
