"""Analysing each of some texts once, however often it comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.analysis.analyser import Analysis
from kizami.analysis.contract import TextAnalyser
from kizami.encoded import TOKENS
from kizami.runs import ranges, run_offsets


def analyse_distinct(analyser: TextAnalyser, texts: pa.StringArray) -> Analysis:
    """What ``analyser`` says of ``texts``, which it is given once each. No nulls."""
    encoded = texts.dictionary_encode()
    found = analyser.analyse(encoded.dictionary.to_pylist())
    if len(encoded.dictionary) == len(texts):
        return found
    number = encoded.indices.to_numpy()
    failures = {
        int(place): found.failures[int(number[place])]
        for place in np.flatnonzero(np.isin(number, list(found.failures)))
    }
    return Analysis(_taken(found.tokens, number), failures)


def _taken(tokens: pa.Table, rows: npt.NDArray[np.int32]) -> pa.Table:
    """Rows of a table of schema TOKENS, in which columns that share their indices still do."""
    sentences = _Lists.of(tokens["sentence_start"], rows)
    of_tokens = _Lists.of(tokens["start"], rows)
    taken: dict[int, tuple[pa.Array, pa.Array]] = {}

    def column(name: str) -> pa.ListArray:
        lists = sentences if name == "sentence_start" else of_tokens
        values = tokens[name].combine_chunks().flatten()
        if not pa.types.is_dictionary(values.type):
            return pa.ListArray.from_arrays(lists.offsets, values.take(lists.places))
        indices = values.indices
        address = indices.buffers()[1].address if len(indices) else 0
        if address not in taken:
            taken[address] = indices, indices.take(lists.places)  # kept with the indices: the address stays theirs
        return pa.ListArray.from_arrays(
            lists.offsets, pa.DictionaryArray.from_arrays(taken[address][1], values.dictionary, safe=False)
        )

    return pa.Table.from_arrays([column(name) for name in TOKENS.names], schema=TOKENS)


@dataclass(frozen=True, slots=True)
class _Lists:
    """Where the elements of some rows of a column of lists stand among all of its elements."""

    offsets: pa.Int32Array
    places: pa.Int64Array

    @classmethod
    def of(cls, column: pa.ChunkedArray, rows: npt.NDArray[np.int32]) -> _Lists:
        lengths = pc.list_value_length(column).to_numpy().astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        return cls(pa.array(run_offsets(lengths[rows])), pa.array(ranges(starts[rows], lengths[rows])))
