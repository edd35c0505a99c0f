"""Putting parts into a snapshot's folder: what is wrong with one of them is told with the way out."""

from __future__ import annotations

import pytest

from kizami.assembly import assemble
from kizami.errors import DataError
from kizami.part_builder import copied_part
from kizami.predecessor import Predecessor
from support.memory_store import MemoryStore
from support.publishing import CORPUS
from support.snapshot_factory import Recipe, publish_in, recipes


@pytest.mark.parametrize(("body", "what"), [(None, "is missing"), (b"PAR1", "is not what was published")])
def test_a_damaged_part_is_not_copied_again_and_again(body: bytes | None, what: str) -> None:
    """The message names the part of the predecessor, and the run that does without it."""
    store = MemoryStore()
    manifest = publish_in(store, Recipe(recipes(40), part_bytes=1024))
    previous = Predecessor(manifest, manifest.fingerprint, manifest.provenance.fields).parts()
    parts = [copied_part(number, part) for number, part in enumerate(previous)]
    digests = [part.entry.input_digest or "" for part in previous]
    assert len(assemble(store, CORPUS, "sound", parts, digests)) == len(parts) > 1
    store.delete([previous[1].location])
    if body is not None:
        store.put(previous[1].location, body)
    with pytest.raises(DataError, match=rf"{manifest.snapshot}/part-00001\.parquet {what}: `kizami run --full`"):
        assemble(store, CORPUS, "damaged", parts, digests)
