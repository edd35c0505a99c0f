"""The analyser: many texts in, one Arrow table of their tokens out."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.analysis.dictionary import Dictionary, bundled_dictionary
from kizami.analysis.sentences import cut_sentences
from kizami.analysis.shown import Normalisation, ShownForm, show
from kizami.analysis.vocabulary import TOKEN_FORMAT, UNKNOWN_FORMAT, VOCABULARY_COLUMNS, Vocabulary
from kizami.errors import ConfigurationError
from kizami_schemas import v1

TOKENS: Final = pa.schema([v1.SCHEMA.field("sentence_start"), *(v1.SCHEMA.field(name) for name in v1.TOKEN_COLUMNS)])
"""Schema of what the analyser gives: the token columns of schema v1, one row a text."""

_VOCABULARY_LIMIT: Final = 300_000
"""Distinct tokens remembered, about 1 KB each. Literature of 43 million characters has some 200,000."""

_Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Analysis:
    """Tokens of a batch of texts."""

    tokens: pa.Table
    """One row a text, in the order given, schema ``TOKENS``. A text that failed has empty lists."""
    failures: Mapping[int, str]
    """Index of each text that could not be analysed, with a message that does not quote it."""


class Analyser:
    """MeCab with one dictionary and one normalisation. Not to be shared between threads or processes.

    Its tokens and features are those of ``fugashi.Tagger`` called once a sentence on the shown form.
    """

    def __init__(self, dictionary: Dictionary, normalisation: Normalisation) -> None:
        self.dictionary = dictionary
        self.normalisation = normalisation
        self._vocabulary = Vocabulary()
        self._parse = _tagger(dictionary)

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of ``texts``. Time and memory go with their total length: give it some MB at once, not a corpus."""
        try:
            tokens = self._analyse(texts)
        except _RoundTripError:
            return self._analyse_singly(texts)
        finally:
            if len(self._vocabulary) > _VOCABULARY_LIMIT:
                self._vocabulary.clear()
        return Analysis(tokens, {})

    def _analyse_singly(self, texts: Sequence[str]) -> Analysis:
        """Find the texts whose tokens do not rebuild them, and keep the tokens of all others."""
        tables = []
        failures = {}
        for index, text in enumerate(texts):
            try:
                tables.append(self._analyse([text]))
            except _RoundTripError as error:
                failures[index] = str(error)
                tables.append(self._analyse([""]))
        return Analysis(pa.concat_tables(tables), failures)

    def _analyse(self, texts: Sequence[str]) -> pa.Table:
        forms = [show(text, self.normalisation) for text in texts]
        batch = self._parse_sentences(forms)
        numbers = pa.array(batch.numbers)
        known = {name: self._vocabulary.column(name).take(numbers) for name in VOCABULARY_COLUMNS}
        lengths = known["surface_length"].to_numpy()
        ends = _running_sum_within(known["leading_spaces"].to_numpy() + lengths, batch.sentence_tokens)
        ends += np.repeat(batch.sentence_offsets, batch.sentence_tokens)
        starts = ends - lengths
        text_tokens = _sum_within(batch.sentence_tokens, batch.text_sentences)
        _check_round_trip([form.shown for form in forms], starts, ends, text_tokens, known["shown_surface"])
        _to_original(forms, starts, ends, text_tokens)
        surfaces = _slices(texts, starts, ends, text_tokens)
        values = known | {"surface": surfaces, "start": pa.array(starts)}
        for name in ("lemma", "orth_base"):
            values[name] = pc.coalesce(values[name], surfaces)
        offsets = pa.array(_offsets(text_tokens))
        columns = [_sentence_starts(batch, text_tokens)]
        columns += [pa.ListArray.from_arrays(offsets, values[name]) for name in v1.TOKEN_COLUMNS]
        return pa.Table.from_arrays(columns, schema=TOKENS)

    def _parse_sentences(self, forms: Sequence[ShownForm]) -> _Batch:
        numbers = array("i")
        number_of = self._vocabulary.__getitem__
        sentence_offsets, sentence_tokens, text_sentences = array("i"), array("i"), array("i")
        for form in forms:
            shown = form.shown
            spans = cut_sentences(shown)
            text_sentences.append(len(spans))
            for start, end in spans:
                before = len(numbers)
                printed = self._parse(shown[start:end])  # fugashi takes the last line end off
                if printed:
                    numbers.extend(map(number_of, printed.split("\n")))
                sentence_offsets.append(start)
                sentence_tokens.append(len(numbers) - before)
        return _Batch(
            *(np.array(values, np.int32) for values in (numbers, sentence_offsets, sentence_tokens, text_sentences))
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """What MeCab said of a batch of texts."""

    numbers: _Numbers
    """A token each: its number in the vocabulary."""
    sentence_offsets: _Numbers
    """A sentence each: where it starts in its text's shown form, in code points."""
    sentence_tokens: _Numbers
    """A sentence each: its number of tokens."""
    text_sentences: _Numbers
    """A text each: its number of sentences."""


class _RoundTripError(Exception):
    """The tokens do not rebuild the shown form."""


def _tagger(dictionary: Dictionary):  # type: ignore[no-untyped-def]  # fugashi has no types
    try:
        import fugashi  # noqa: PLC0415  # reading snapshots needs no MeCab
    except ImportError as error:
        raise ConfigurationError("fugashi is not installed: pip install 'kizami[jobs]'") from error
    # Without -O '' the dictionary's own dicrc chooses the output format and silently wins over -F.
    arguments = f"-r /dev/null -d '{dictionary.folder}' -O '' -F'{TOKEN_FORMAT}' -U'{UNKNOWN_FORMAT}' -E ''"
    return fugashi.GenericTagger(arguments).parse


@cache
def process_analyser(dictionary: Dictionary, normalisation: Normalisation) -> Analyser:
    """This process's one analyser: a Tagger takes memory and cannot be pickled."""
    return Analyser(dictionary, normalisation)


def bundled_analyser(normalisation: Normalisation = Normalisation.UNIDIC) -> Analyser:
    """This process's analyser with the dictionary that comes with the jobs extra."""
    return process_analyser(bundled_dictionary(), normalisation)


def _offsets(lengths: _Numbers) -> _Numbers:
    """Offsets of consecutive runs of these lengths: 0, the first's end, … the last's end."""
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int32)), dtype=np.int32)


def _sum_within(values: _Numbers, lengths: _Numbers) -> _Numbers:
    """Sum of ``values`` in each of the consecutive runs of these lengths."""
    total = _offsets(values)
    ends = _offsets(lengths)
    return total[ends[1:]] - total[ends[:-1]]


def _running_sum_within(values: _Numbers, lengths: _Numbers) -> _Numbers:
    """Running sum of ``values``, from zero again in each of the consecutive runs of these lengths."""
    total = _offsets(values)
    before = total[_offsets(lengths)[:-1]]
    return total[1:] - np.repeat(before, lengths)


def _to_original(forms: Sequence[ShownForm], starts: _Numbers, ends: _Numbers, text_tokens: _Numbers) -> None:
    """Turn offsets in shown forms into offsets in the texts, in place."""
    bounds = _offsets(text_tokens)
    for index, form in enumerate(forms):
        if form.origin is not None:
            own = slice(bounds[index], bounds[index + 1])
            starts[own] = form.original(starts[own])
            ends[own] = form.original(ends[own])


def _slices(texts: Sequence[str], starts: _Numbers, ends: _Numbers, text_tokens: _Numbers) -> pa.StringArray:
    """The slices ``[start, end)`` of the texts, in code points; ``text_tokens`` of each text, in order, disjoint."""
    data, inside, byte_lengths = _covered(texts, starts, ends, text_tokens)
    return pa.StringArray.from_buffers(
        len(starts), pa.py_buffer(_offsets(byte_lengths)), pa.py_buffer(data[inside]), null_count=0
    )


def _covered(
    texts: Sequence[str], starts: _Numbers, ends: _Numbers, text_tokens: _Numbers
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], _Numbers]:
    """The texts' UTF-8 bytes one after another, which of them lie in a slice, and the bytes of each slice."""
    data = np.frombuffer("".join(texts).encode(), np.uint8)
    # A byte that is not 0b10xxxxxx starts a code point; its index is that code point's byte offset.
    byte_of = np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data)).astype(np.int32)
    text_lengths = np.fromiter(map(len, texts), np.int32, len(texts))
    base = np.repeat(_offsets(text_lengths)[:-1], text_tokens)
    first, last = byte_of[starts + base], byte_of[ends + base]
    change = np.zeros(len(data) + 1, np.int8)
    change[first] += 1
    np.subtract.at(change, last, 1)
    return data, np.cumsum(change[:-1], dtype=np.int8).astype(np.bool_), last - first


def _check_round_trip(
    shown: Sequence[str], starts: _Numbers, ends: _Numbers, text_tokens: _Numbers, surfaces: pa.StringArray
) -> None:
    """Raise _RoundTripError unless the surfaces stand where they are said to, with only white space between them."""
    lengths = np.repeat(np.fromiter(map(len, shown), np.int32, len(shown)), text_tokens)
    if (ends > lengths).any():
        raise _RoundTripError("MeCab gave more text back than it was given")
    data, inside, _ = _covered(shown, starts, ends, text_tokens)
    if not np.isin(data[~inside], np.frombuffer(b" \n", np.uint8)).all():
        raise _RoundTripError("MeCab dropped a part of the text")
    if not np.array_equal(data[inside], np.frombuffer(_values(surfaces), np.uint8)):
        raise _RoundTripError("MeCab's surfaces are not the text's")


def _values(strings: pa.StringArray) -> memoryview | bytes:
    """All the strings' UTF-8 one after another."""
    offsets = np.frombuffer(strings.buffers()[1], np.int32)[strings.offset : strings.offset + len(strings) + 1]
    values = strings.buffers()[2]
    return b"" if values is None or not len(strings) else memoryview(values)[offsets[0] : offsets[-1]]


def _sentence_starts(batch: _Batch, text_tokens: _Numbers) -> pa.ListArray:
    """Index of each sentence's first token in its text, for the sentences that have tokens."""
    first = _offsets(batch.sentence_tokens)[:-1] - np.repeat(_offsets(text_tokens)[:-1], batch.text_sentences)
    kept = batch.sentence_tokens > 0
    kept_in_text = _sum_within(kept.astype(np.int32), batch.text_sentences)
    return pa.ListArray.from_arrays(pa.array(_offsets(kept_in_text)), pa.array(first[kept], pa.int32()))
