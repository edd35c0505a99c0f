"""The analyser: many texts in, one Arrow table of their tokens out.

MeCab prints each sentence in one call, a line a token with what names its dictionary entry. From there on a batch's
tokens are columns: equal lines are found once (``dictionary_encode``), their features looked up once an entry, and
every column is an index into a dictionary. Nothing in Python runs once a token.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from operator import methodcaller
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from kizami.analysis.dictionary import Dictionary, bundled_dictionary
from kizami.analysis.lexicon import FEATURE_COLUMNS, Lexicon, PrintedTokens
from kizami.analysis.sentences import cut_sentences
from kizami.analysis.shown import Normalisation, Offsets, ShownTexts, code_points, show
from kizami.analysis.user_dictionary import compiled
from kizami.encoded import TOKENS
from kizami.errors import ConfigurationError
from kizami.runs import ranges, run_offsets, running_sums
from kizami.strings import joined_bytes
from kizami_schemas import v1

_TOKEN_FORMAT: Final = r"%M\t%phl\t%pw"
_UNKNOWN_FORMAT: Final = r"%M\t-%phl\t%pw"
_RIGHT_FORMAT: Final = r"\t%phr"
"""How MeCab prints a token: leading spaces and surface, left context id (with a minus if it is unknown), word cost; and
where there is a user dictionary, the right context id too. Every character printed is paid for once a token.

The shown form holds neither tabs nor line ends, so nothing in a text can be mistaken for these separators.
"""
_LINE_TYPES: Final = {"head": pa.string(), "left": pa.int64(), "cost": pa.int64(), "right": pa.int64()}

_LEXICON_LIMIT: Final = 40_000
"""Dictionary entries remembered, some 120 bytes each. Five million characters of literature have 75,000, 43 million
have 170,000; to remember twice as many saves about a hundredth of the time, and a worker grows more with its input."""
_MEMORY_SENTENCES: Final = 8_000
_MEMORY_CODE_POINTS: Final = 64
"""What MeCab printed is remembered of this many sentences of at most this length (up to 10 MB): longer ones hardly ever
come again."""
_PRINTED_AT_ONCE: Final = 512
"""Sentences of which what MeCab printed is kept as it came."""

_line_ends: Final = methodcaller("count", b"\n")

_Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Analysis:
    """Tokens of a batch of texts."""

    tokens: pa.Table
    """One row a text, in the order given, schema ``TOKENS``. A text that failed has empty lists."""
    failures: Mapping[int, str]
    """Index of each text that could not be analysed, with a message that does not quote it."""


class Analyser:
    """MeCab with one dictionary and one normalisation. Not to be shared between threads or processes.

    Its tokens and features are those of ``fugashi.Tagger`` called once a sentence on the shown form. To make one with a
    user dictionary compiles that: raises ConfigurationError for a bad line of it.
    """

    def __init__(self, dictionary: Dictionary, normalisation: Normalisation) -> None:
        self.dictionary = dictionary
        self.normalisation = normalisation
        user = nullcontext() if dictionary.user is None else compiled(dictionary.user, dictionary.folder, normalisation)
        with user as words:  # both map the file into memory: it is not needed afterwards
            self._lexicon = Lexicon(dictionary.folder, words)
            self._parse = _tagger(dictionary.folder, words)
        self._printed: dict[str, bytes] = {}

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of ``texts``. Time and memory go with their total length: give it some MB at once, not a corpus."""
        shown = show(texts, self.normalisation)
        starts, ends = cut_sentences(shown.shown)
        cut = list(map(shown.shown.__getitem__, map(slice, starts.tolist(), ends.tolist())))
        distinct = list(dict.fromkeys(cut))
        number_of = dict(zip(distinct, range(len(distinct)), strict=True))
        order = list(map(number_of.__getitem__, cut))
        read = self._read(distinct)
        sentences = np.array(order, np.int64)
        sentence_text = np.searchsorted(shown.bounds, shown.original(starts), "right") - 1
        at_fault = np.flatnonzero(np.isin(sentences, list(read.faults)))
        failures = {int(sentence_text[at]): read.faults[order[at]] for at in at_fault}
        if failures:
            sound = ~np.isin(sentence_text, list(failures))
            sentences, starts, sentence_text = sentences[sound], starts[sound], sentence_text[sound]
        tokens = self._columns(shown, read, _Sentences(sentences, starts, sentence_text))
        self._keep_within_limits()
        return Analysis(tokens, failures)

    def forget(self) -> None:
        """Drop what is remembered; nothing but speed depends on it."""
        self._lexicon.forget()
        self._printed.clear()

    def _keep_within_limits(self) -> None:
        if len(self._lexicon) > _LEXICON_LIMIT:
            self._lexicon.shrink()
        if len(self._printed) > _MEMORY_SENTENCES:
            self._printed.clear()

    def _print(self, sentences: Sequence[str]) -> tuple[bytes, Offsets]:
        """What MeCab prints of the sentences, a line a token, and how many each has."""
        parse, remembered = self._parse, self._printed
        pieces = []
        counts = np.empty(len(sentences), np.int64)
        # Joined a few at a time: short ones that are kept lie close together then, and not all over the heap.
        for start in range(0, len(sentences), _PRINTED_AT_ONCE):
            printed = []
            for sentence in sentences[start : start + _PRINTED_AT_ONCE]:
                text = remembered.get(sentence)
                if text is None:
                    text = parse(sentence).encode()  # without the last line end, which fugashi takes off
                    if len(sentence) <= _MEMORY_CODE_POINTS:
                        remembered[sentence] = text
                printed.append(text)
            own = counts[start : start + len(printed)]
            own[:] = np.fromiter(map(_line_ends, printed), np.int64, len(printed))
            own += np.fromiter(map(bool, printed), np.int64, len(printed))
            if own.any():
                pieces += [b"\n".join(filter(None, printed)), b"\n"]
        return b"".join(pieces), counts

    def _read(self, sentences: Sequence[str]) -> _Read:
        """Analyse distinct sentences."""
        data, tokens = self._print(sentences)
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")).astype(np.int32) + 1
        offsets = np.concatenate(([0], ends), dtype=np.int32)
        equal = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data)).dictionary_encode()
        line = equal.indices.to_numpy()
        kinds = _parse_lines(equal.dictionary, with_right=self.dictionary.user is not None)
        heads = kinds["head"]
        surfaces = pc.utf8_ltrim(heads, characters=" ")
        head_length, length = (pc.utf8_length(each).to_numpy().astype(np.int64) for each in (heads, surfaces))
        numbers = {name: kinds[name].to_numpy() for name in kinds if name != "head"}
        is_unknown = numbers["left"] < 0
        numbers["left"] = np.abs(numbers["left"])
        rows = self._lexicon.rows(PrintedTokens(surfaces, is_unknown, **numbers))
        token_end = running_sums(head_length[line], tokens)
        return _Read(
            tokens=tokens,
            line=line,
            start=token_end - length[line],
            surfaces=surfaces,
            length=length,
            row=rows,
            is_unknown=is_unknown,
            faults={}
            if _is_whole(sentences, tokens, token_end, heads.take(equal.indices))
            else _faults(sentences, tokens, data),
        )

    def _columns(self, shown: ShownTexts, read: _Read, sentences: _Sentences) -> pa.Table:
        """The columns of a batch."""
        counts = read.tokens[sentences.number]
        token = ranges((np.cumsum(read.tokens) - read.tokens)[sentences.number], counts)
        text_counts = np.bincount(sentences.text, counts, len(shown.bounds) - 1).astype(np.int64)
        line = read.line[token]
        starts = read.start[token] + np.repeat(sentences.start, counts)
        ends = shown.original(starts + read.length[line])
        starts = shown.original(starts)
        row = pa.array(read.row[line])
        surface = _surfaces(shown, read.surfaces, line, starts, ends)
        position = starts - np.repeat(shown.bounds[:-1], text_counts)
        values = {
            "surface": surface,
            "start": pa.array(position.astype(np.int32)),
            "is_unknown": pa.array(read.is_unknown[line]),
        }
        for name in FEATURE_COLUMNS:
            values[name] = pa.DictionaryArray.from_arrays(row, self._lexicon.column(name), safe=False)
        for name in ("lemma", "orth_base"):
            feature = self._lexicon.column(name).take(pa.array(read.row))
            values[name] = _or_surface(feature, read.surfaces, line, surface)
        offsets = pa.array(run_offsets(text_counts))
        columns = [_sentence_starts(counts, sentences.text, text_counts)]
        columns += [pa.ListArray.from_arrays(offsets, values[name]) for name in v1.TOKEN_COLUMNS]
        return pa.Table.from_arrays(columns, schema=TOKENS)


@dataclass(frozen=True, slots=True)
class _Sentences:
    """The sentences of a batch, an element each, in order."""

    number: Offsets
    """Which of the distinct sentences it is."""
    start: Offsets
    """Where it starts in the batch's shown form, in code points."""
    text: Offsets
    """Index of its text."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What MeCab said of distinct sentences."""

    tokens: Offsets
    """Number of tokens of each sentence."""
    line: _Indices
    """An element a token: which of the distinct lines MeCab printed of it."""
    start: Offsets
    """An element a token: where it starts in its sentence, in code points of the shown form."""
    surfaces: pa.StringArray
    """An element a distinct line, as are the following: the surface, of the shown form."""
    length: Offsets
    """Code points of the surface."""
    row: _Indices
    """Row of the lexicon."""
    is_unknown: npt.NDArray[np.bool_]
    faults: Mapping[int, str]
    """Number of each sentence whose tokens do not rebuild it, with a message that does not quote it."""


def _parse_lines(lines: pa.StringArray, *, with_right: bool) -> dict[str, pa.Array]:
    """Distinct lines as MeCab prints them, as columns."""
    types = {name: type_ for name, type_ in _LINE_TYPES.items() if with_right or name != "right"}
    data = joined_bytes(lines)
    if not len(data):
        return {name: pa.array([], type_) for name, type_ in types.items()}
    table = arrow_csv.read_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(use_threads=False, column_names=list(types), block_size=1 << 30),
        parse_options=arrow_csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
        convert_options=arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    ).combine_chunks()
    return {name: table[name].chunk(0) for name in types}


def _is_whole(sentences: Sequence[str], tokens: Offsets, token_end: Offsets, heads: pa.StringArray) -> bool:
    """Whether the tokens rebuild all sentences, but for white space at their end."""
    expected = list(map(str.rstrip, sentences, itertools.repeat(" ")))
    lengths = np.fromiter(map(len, expected), np.int64, len(expected))
    rebuilt = np.zeros(len(tokens), np.int64)
    some = tokens > 0
    rebuilt[some] = token_end[np.cumsum(tokens)[some] - 1]
    # A memoryview compares byte for byte in a loop of its own; bytes do so at once.
    return np.array_equal(rebuilt, lengths) and bytes(joined_bytes(heads)) == "".join(expected).encode()


def _faults(sentences: Sequence[str], tokens: Offsets, printed: bytes) -> dict[int, str]:
    """The sentences that the printed tokens do not rebuild."""
    faults = {}
    lines = iter(printed.decode().split("\n"))
    for number, (sentence, count) in enumerate(zip(sentences, tokens.tolist(), strict=True)):
        expected = sentence.rstrip(" ")
        found = "".join(line.partition("\t")[0] for line in itertools.islice(lines, count))
        if len(found) < len(expected):
            faults[number] = "MeCab dropped a part of the text"
        elif len(found) > len(expected):
            faults[number] = "MeCab gave more text back than it was given"
        elif found != expected:
            faults[number] = "MeCab's surfaces are not the text's"
    return faults


def _tagger(folder: Path, words: Path | None):  # type: ignore[no-untyped-def]  # fugashi has no types
    try:
        import fugashi  # noqa: PLC0415  # reading snapshots needs no MeCab
    except ImportError as error:
        raise ConfigurationError("fugashi is not installed: pip install 'kizami[jobs]'") from error
    # Without -O '' the dictionary's own dicrc chooses the output format and silently wins over -F.
    rest = (_RIGHT_FORMAT if words is not None else "") + r"\n"
    arguments = f"-r /dev/null -d '{folder}' -O '' -F'{_TOKEN_FORMAT}{rest}' -U'{_UNKNOWN_FORMAT}{rest}' -E ''"
    if words is not None:
        arguments += " -u " + shlex.quote(f'"{words}"')  # MeCab takes a list of files, separated by commas
    return fugashi.GenericTagger(arguments).parse


@cache
def process_analyser(dictionary: Dictionary, normalisation: Normalisation) -> Analyser:
    """This process's one analyser: a Tagger takes memory and cannot be pickled."""
    return Analyser(dictionary, normalisation)


def bundled_analyser(normalisation: Normalisation = Normalisation.UNIDIC) -> Analyser:
    """This process's analyser with the dictionary that comes with the jobs extra."""
    return process_analyser(bundled_dictionary(), normalisation)


def _or_surface(
    feature: pa.StringArray, surfaces: pa.StringArray, line: _Indices, surface: pa.DictionaryArray
) -> pa.DictionaryArray:
    """A feature, and where UniDic has none, the surface of the token. ``feature`` and ``surfaces`` as they were shown
    are by ``line``; ``surface`` is what ``_surfaces`` makes of them."""
    filled = pc.coalesce(feature, surfaces)
    index = surface.indices.to_numpy()
    if len(surface.dictionary) == len(surfaces):
        return pa.DictionaryArray.from_arrays(surface.indices, filled, safe=False)
    none = feature.is_null().to_numpy(zero_copy_only=False)
    own = surface.dictionary[len(surfaces) :]
    return pa.DictionaryArray.from_arrays(
        pa.array(np.where(none[line], index, line)), pa.concat_arrays([filled, own]), safe=False
    )


def _surfaces(
    shown: ShownTexts, surfaces: pa.StringArray, line: _Indices, starts: Offsets, ends: Offsets
) -> pa.DictionaryArray:
    """The slices ``[start, end)`` of the texts as they are, in order and disjoint. Nearly all are what was shown, whose
    ``surfaces`` are there by ``line``."""
    altered = np.concatenate(([0], np.cumsum(shown.is_altered, dtype=np.int32)))
    others = np.flatnonzero(altered[ends] > altered[starts])
    if not len(others):
        return pa.DictionaryArray.from_arrays(pa.array(line), surfaces, safe=False)
    own = _slices(shown.joined, starts[others], ends[others]).dictionary_encode()
    index = line.copy()
    index[others] = own.indices.to_numpy() + np.int32(len(surfaces))
    return pa.DictionaryArray.from_arrays(pa.array(index), pa.concat_arrays([surfaces, own.dictionary]), safe=False)


def _slices(text: str, starts: Offsets, ends: Offsets) -> pa.StringArray:
    """The slices ``[start, end)`` of a text, in code points."""
    points = code_points(text)
    width = np.ones(len(points), np.int8)
    for first_wider in (0x80, 0x800, 0x10000):
        width += points >= first_wider
    byte_of = np.concatenate(([0], np.cumsum(width, dtype=np.int64)))
    first, last = byte_of[starts], byte_of[ends]
    data = np.frombuffer(text.encode(), np.uint8)[ranges(first, last - first)]
    return pa.StringArray.from_buffers(
        len(starts), pa.py_buffer(run_offsets(last - first)), pa.py_buffer(data), null_count=0
    )


def _sentence_starts(counts: Offsets, sentence_text: Offsets, text_counts: Offsets) -> pa.ListArray:
    """Index of each sentence's first token in its text, for the sentences that have tokens."""
    kept = counts > 0
    first = (np.cumsum(counts) - counts - (np.cumsum(text_counts) - text_counts)[sentence_text])[kept]
    sentences = np.bincount(sentence_text[kept], minlength=len(text_counts))
    return pa.ListArray.from_arrays(pa.array(run_offsets(sentences)), pa.array(first.astype(np.int32)))
