"""The suppression list: what it holds, what it tells, and how it is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from kizami import layout
from kizami.errors import DataError, UnavailableError
from kizami.sources import list_files, read_texts
from kizami.stores import ObjectStore, OutcomeUnknownError
from kizami.suppression import NOBODY, read_suppression, suppress
from support.kitchen import RECIPE_FIELDS, recipes, write_jsonl
from support.memory_store import MemoryStore

KEY = layout.suppression_key("recipes")


def test_documents_are_known_by_a_keyed_hash_alone(store: ObjectStore) -> None:
    """The list finds them among others, and has none of their ids in it."""
    assert read_suppression(store, "recipes") == NOBODY
    assert suppress(store, "recipes", ["肉じゃが-0001", "r-1"]) == 2
    found = read_suppression(store, "recipes")
    assert [found.holds(each) for each in ("肉じゃが-0001", "r-1", "r-10", "")] == [True, True, False, False]
    ids = pa.array(["r-10", "r-1", None, "r-1", "肉じゃが-0001"])
    assert found.among(ids).to_pylist() == ["r-1", "肉じゃが-0001"]
    assert NOBODY.among(ids).to_pylist() == []
    body = store.get(KEY).body.decode()
    assert "r-1" not in body
    assert "肉じゃが" not in body


def test_the_list_grows_under_its_key(store: ObjectStore) -> None:
    """One put on it again changes nothing, not even the object's version; a new one keeps those before it."""
    suppress(store, "recipes", ["r-1"])
    before = store.get(KEY)
    assert suppress(store, "recipes", ["r-1"]) == 0
    assert store.get(KEY).etag == before.etag
    assert suppress(store, "recipes", ["r-2", "r-1"]) == 1
    after = read_suppression(store, "recipes")
    assert (after.holds("r-1"), after.holds("r-2"), len(after)) == (True, True, 2)
    assert after.key in before.body.decode()


def test_two_stores_hash_one_id_differently() -> None:
    """The key is random: a list tells nothing of another corpus's."""
    one, other = NOBODY.with_ids(["r-1"]), NOBODY.with_ids(["r-1"])
    assert one.key != other.key
    assert not set(one.digests) & set(other.digests)


class LosesAnswers(MemoryStore):
    """A store whose first writes are carried out, their answers lost."""

    lost = 1

    def create(self, key: str, body: bytes) -> str:
        etag = super().create(key, body)
        if self.lost:
            self.lost -= 1
            raise OutcomeUnknownError("lost")
        return etag


def test_a_lost_answer_is_found_out() -> None:
    """What was written counts once, under the key that was written."""
    store = LosesAnswers()
    assert suppress(store, "recipes", ["r-1"]) == 1
    assert len(read_suppression(store, "recipes")) == 1


class NeverWrites(MemoryStore):
    """A store that takes no new object."""

    def create(self, key: str, body: bytes) -> str:
        raise OutcomeUnknownError("lost")


def test_a_list_that_cannot_be_written_is_no_success() -> None:
    """It is told, and what to see to."""
    with pytest.raises(UnavailableError, match=r"suppressed.json can be read but not written"):
        suppress(NeverWrites(), "recipes", ["r-1"])


@pytest.mark.parametrize("body", [b"", b'{"key": "", "digests": ["ab"]}', b'{"key": "xy", "digests": []}'])
def test_a_damaged_list_stops_everything(body: bytes) -> None:
    """Nothing may be read as if nobody were to be forgotten."""
    store = MemoryStore()
    store.put(KEY, body)
    with pytest.raises(DataError, match=r"suppressed\.json"):
        read_suppression(store, "recipes")


def test_a_block_without_a_document_is_that_of_a_source_without_it(tmp_path: Path) -> None:
    """Its texts, its ids, its counts and its digest are gone, those of all others as they were."""
    documents = recipes(6)
    gone = documents[2]["recipe_id"]
    blocks = []
    for name, some in (("all", documents), ("fewer", documents[:2] + documents[3:])):
        [file] = list_files(str(write_jsonl(tmp_path / name / "r.jsonl", some)))
        [block] = read_texts(file, file_index=0, id_column="recipe_id", fields=RECIPE_FIELDS)
        blocks.append(block)
    whole, fewer = blocks
    left = whole.without(pa.array([gone]))
    assert left.texts.drop(["line"]).equals(fewer.texts.drop(["line"]))
    assert left.doc_ids.equals(fewer.doc_ids)
    assert left.text_counts.tolist() == fewer.text_counts.tolist()
    assert left.text_bytes.tolist() == fewer.text_bytes.tolist()
    assert left.digests.tolist() == fewer.digests.tolist()
