"""What a worker does, whole and in one process: a source file in, a finished part in a store out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kizami.analysis.analyser import bundled_analyser
from kizami.analysis.dictionary import bundled_dictionary, fingerprint
from kizami.analysis.shown import Normalisation
from kizami.part_builder import BuiltPart, PartJob, build_part
from kizami.sources import list_files, read_texts
from kizami.stores import open_store
from kizami_jobs.memory import use_lasting_pool


def build(source: Path, store: Path, fields: Sequence[str]) -> BuiltPart:
    """Read a source file and build one part of all its texts; the part is in the staging of ``store``.

    Everything that a fresh worker does is in it: the fingerprint, the Tagger, and all that is learned on the way.
    """
    use_lasting_pool()
    (file,) = list_files(str(source))
    blocks = read_texts(file, file_index=0, id_column="doc_id", fields=fields)
    job = PartJob(
        corpus="bench",
        run="bench",
        fields=tuple(fields),
        files=(file.url,),
        number=0,
        lower="",
        upper=None,
        fingerprint=fingerprint(bundled_dictionary(), Normalisation.UNIDIC),
    )
    texts = [block.texts for block in blocks]
    return build_part(job, texts, bundled_analyser(), open_store(str(store)), lambda done: None)
