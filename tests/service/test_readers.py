"""Readers: the paths Kizami gives, and everyday tools that read them, from a folder and from S3."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from bisect import bisect_right
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import kizami
from kizami.documents import read_document, render_document
from kizami.errors import ConfigurationError, DataError
from kizami.stores import open_store
from kizami_schemas import v1
from support.environments import Environment
from support.published import COLUMNS, CORPUS, DOC_ID, Published
from support.publishing import POINTER_KEYS
from support.s3_server import S3Server
from support.snapshot_factory import Recipe, publish_snapshot, recipes


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    """Equal rows and values, nulls included; the order of parts is the reader's."""
    order = [(name, "ascending") for name in ("doc_id", "field", "position")]
    assert found.column_names == expected.column_names
    assert found.sort_by(order).to_pylist() == expected.sort_by(order).to_pylist()


def test_the_snapshot_is_worth_reading(local_snapshot: Published) -> None:
    """Several parts, texts without tokens, nulls in lists, unknown words: what the tests below show, they show of
    these."""
    rows = local_snapshot.rows
    assert len(local_snapshot.manifest.parts) >= 3
    assert min(part.rows for part in local_snapshot.manifest.parts) > 0
    assert pc.min(pc.list_value_length(rows["lemma"])).as_py() == 0
    assert pc.list_flatten(rows["pos3"]).null_count > 0
    assert pc.any(pc.list_flatten(rows["is_unknown"])).as_py()
    assert 1 < len(local_snapshot.document) < len(rows)


@pytest.mark.s3
@pytest.mark.usefixtures("s3_url")
def test_the_snapshot_is_the_same_on_s3(s3_snapshot: Published, local_snapshot: Published) -> None:
    """Both stores hold the very same bytes under the same names."""
    assert s3_snapshot.manifest == local_snapshot.manifest
    store = open_store(s3_snapshot.store)
    for part in s3_snapshot.manifest.parts:
        body = store.get(f"v1/{CORPUS}/snapshots/{s3_snapshot.manifest.snapshot}/{part.name}").body
        assert hashlib.sha256(body).hexdigest() == part.sha256


def test_pandas_reads_the_path(snapshot: Published) -> None:
    """pandas reads the folder, some columns of it, and one document."""
    path = kizami.snapshot_path(snapshot.store, CORPUS)
    frame = pd.read_parquet(path, columns=COLUMNS)
    assert_same(pa.table({name: [_plain(value) for value in frame[name]] for name in COLUMNS}), snapshot.pruned)
    frame = pd.read_parquet(path, columns=COLUMNS, filters=[("doc_id", "==", DOC_ID)], dtype_backend="pyarrow")
    assert_same(pa.Table.from_pandas(frame, preserve_index=False), snapshot.document)
    assert len(pd.read_parquet(path).columns) == len(v1.SCHEMA)


def test_pandas_reads_tokens_as_indices(snapshot: Published) -> None:
    """The strings of a column stay in a dictionary where one asks for it."""
    path = kizami.snapshot_path(snapshot.store, CORPUS)
    encoded = {"read_dictionary": ["lemma.list.element"], "dtype_backend": "pyarrow"}
    frame = pd.read_parquet(path, columns=["doc_id", "lemma"], **encoded)
    lemmas = pa.Table.from_pandas(frame, preserve_index=False)["lemma"]
    assert pa.types.is_dictionary(lemmas.type.value_type)
    assert frame["lemma"].tolist() == snapshot.rows["lemma"].to_pylist()


def _plain(value: object) -> object:
    return list(value) if hasattr(value, "tolist") else value  # type: ignore[call-overload]  # pandas gives arrays


def test_pyarrow_reads_the_path(snapshot: Published) -> None:
    """pyarrow.dataset reads the folder in the order of doc_id, with the schema that the parts have."""
    data = ds.dataset(kizami.snapshot_path(snapshot.store, CORPUS), format="parquet")
    assert data.schema.equals(v1.SCHEMA)
    assert data.to_table().equals(snapshot.rows)
    assert data.to_table(columns=COLUMNS).equals(snapshot.pruned)
    assert data.to_table(columns=COLUMNS, filter=ds.field("doc_id") == DOC_ID).equals(snapshot.document)


def test_polars_reads_the_glob(snapshot: Published) -> None:
    """polars reads the pattern lazily; on S3 the environment is all it needs."""
    frame = pl.scan_parquet(kizami.snapshot_glob(snapshot.store, CORPUS))
    assert_same(frame.select(COLUMNS).collect().to_arrow(), snapshot.pruned)
    assert_same(frame.select(COLUMNS).filter(pl.col("doc_id") == DOC_ID).collect().to_arrow(), snapshot.document)
    assert_same(frame.collect().to_arrow(), snapshot.rows)


def test_duckdb_reads_an_arrow_dataset(snapshot: Published) -> None:
    """DuckDB without any extension takes pyarrow's dataset, and hands its columns and its filter down to it."""
    tokens = ds.dataset(kizami.snapshot_path(snapshot.store, CORPUS), format="parquet")
    connection = duckdb.connect()
    connection.register("tokens", tokens)
    columns = ", ".join(COLUMNS)
    assert_same(connection.sql(f"SELECT {columns} FROM tokens").to_arrow_table(), snapshot.pruned)
    one = connection.sql(f"SELECT {columns} FROM tokens WHERE doc_id = ?", params=[DOC_ID]).to_arrow_table()
    assert_same(one, snapshot.document)


def query(sql: str) -> pa.Table:
    """The answer of DuckDB."""
    relation = duckdb.sql(sql)
    assert relation is not None
    return relation.to_arrow_table()


def test_duckdb_reads_the_glob(local_snapshot: Published) -> None:
    """DuckDB reads the pattern; unnested, a token is a row."""
    glob = kizami.snapshot_glob(local_snapshot.store, CORPUS)
    columns = ", ".join(COLUMNS)
    assert_same(query(f"SELECT {columns} FROM '{glob}'"), local_snapshot.pruned)
    assert_same(query(f"SELECT {columns} FROM '{glob}' WHERE doc_id = '{DOC_ID}'"), local_snapshot.document)
    counted = query(f"SELECT count(*) FROM (SELECT unnest(lemma) FROM '{glob}')")
    assert counted.column(0).to_pylist() == [local_snapshot.manifest.counts.tokens]


DUCKDB_ON_S3 = """
import os, pathlib, sys
import duckdb, duckdb_extension_httpfs

connection = duckdb.connect()
extension, = pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
connection.execute(f"LOAD '{extension}'")   # where DuckDB may download it: INSTALL httpfs; LOAD httpfs
endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
connection.execute(
    f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', REGION 'us-east-1', "
    f"ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false)"
)
glob, columns, doc_id, folder = os.environ["GLOB"], os.environ["COLUMNS"], os.environ["DOC_ID"], os.environ["FOLDER"]
import pyarrow.parquet as pq
pq.write_table(connection.sql(f"SELECT {columns} FROM '{glob}'").arrow().read_all(), f"{folder}/pruned")
one = connection.execute(f"SELECT {columns} FROM '{glob}' WHERE doc_id = ?", [doc_id])
pq.write_table(one.arrow().read_all(), f"{folder}/document")
"""


@pytest.mark.s3
def test_duckdb_reads_the_glob_on_s3(
    s3_snapshot: Published, s3_server: S3Server, duckdb_environment: Environment, tmp_path: Path
) -> None:
    """DuckDB with its httpfs extension reads the pattern from S3, once it has a secret that names the endpoint."""
    variables = {"GLOB": s3_snapshot.glob, "COLUMNS": ", ".join(COLUMNS), "DOC_ID": DOC_ID, "FOLDER": str(tmp_path)}
    duckdb_environment.python(DUCKDB_ON_S3, {**s3_server.environment, **variables, "HOME": str(tmp_path)})
    assert_same(pq.read_table(tmp_path / "pruned"), s3_snapshot.pruned)
    assert_same(pq.read_table(tmp_path / "document"), s3_snapshot.document)


HUGGING_FACE = """
import os
import datasets

glob, columns, folder = os.environ["GLOB"], os.environ["COLUMNS"].split(", "), os.environ["FOLDER"]
everything = datasets.load_dataset("parquet", data_files=glob, split="train", columns=columns)
everything.to_parquet(f"{folder}/pruned")
filters = [("doc_id", "==", os.environ["DOC_ID"])]
one = datasets.load_dataset("parquet", data_files=glob, split="train", columns=columns, filters=filters)
one.to_parquet(f"{folder}/document")
stream = datasets.load_dataset("parquet", data_files=glob, split="train", columns=columns, streaming=True)
print(sum(1 for _ in stream))
"""


@pytest.mark.s3
@pytest.mark.parametrize("place", ["local", "s3"])
def test_hugging_face_datasets_reads_the_glob(
    place: str,
    request: pytest.FixtureRequest,
    s3_server: S3Server,
    s3fs_environment: Environment,
    tmp_path: Path,
) -> None:
    """datasets loads or streams the pattern; from S3 with s3fs installed, the environment is all it needs."""
    snapshot: Published = request.getfixturevalue(f"{place}_snapshot")
    variables = {
        "GLOB": snapshot.glob,
        "COLUMNS": ", ".join(COLUMNS),
        "DOC_ID": DOC_ID,
        "FOLDER": str(tmp_path),
        "HOME": str(tmp_path),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    counted = s3fs_environment.python(HUGGING_FACE, {**s3_server.environment, **variables})
    assert int(counted) == len(snapshot.rows)
    assert_same(pq.read_table(tmp_path / "pruned"), snapshot.pruned)
    assert_same(pq.read_table(tmp_path / "document"), snapshot.document)


PANDAS_ALONE = """
import importlib.util, json, os
for name in ("kizami", "kizami_schemas", "ray", "fugashi", "unidic_lite", "boto3", "s3fs", "fsspec"):
    assert importlib.util.find_spec(name) is None, name

import pandas as pd
from pyarrow import fs

store = os.environ["STORE"]
filesystem, root = fs.FileSystem.from_uri(store)
with filesystem.open_input_stream(f"{root}/v1/recipes/latest.json") as file:
    latest = json.load(file)
path = f"{store}/{latest['path']}"
frame = pd.read_parquet(path, columns=["doc_id", "lemma"], filters=[("doc_id", "==", os.environ["DOC_ID"])])
print(json.dumps({"latest": latest, "rows": len(pd.read_parquet(path)), "lemma": [list(x) for x in frame["lemma"]]}))
"""


@pytest.mark.s3
def test_pandas_reads_s3_from_latest_json_alone(
    s3_snapshot: Published, s3_server: S3Server, pandas_environment: Environment
) -> None:
    """Neither kizami nor Ray nor MeCab is installed, only pandas and pyarrow, and the environment names the server."""
    variables = {**s3_server.environment, "STORE": s3_snapshot.store, "DOC_ID": DOC_ID}
    found = json.loads(pandas_environment.python(PANDAS_ALONE, variables))
    assert found["rows"] == found["latest"]["rows"] == len(s3_snapshot.rows)
    assert found["latest"]["glob"] == s3_snapshot.glob.removeprefix(s3_snapshot.store + "/")
    assert found["lemma"] == s3_snapshot.document["lemma"].to_pylist()


def test_latest_json_has_what_the_contract_says(snapshot: Published) -> None:
    """The pointer is plain JSON with exactly these keys, and the business date's pointer is the same."""
    store = open_store(snapshot.store)
    body = store.get(f"v1/{CORPUS}/latest.json").body
    assert list(json.loads(body)) == POINTER_KEYS
    assert store.get(f"v1/{CORPUS}/dates/2026-11-23.json").body == body


def test_paths_start_with_the_store(snapshot: Published) -> None:
    """The newest snapshot and that of its date, as a folder and as a pattern, with or without a final slash."""
    assert kizami.snapshot_path(snapshot.store, CORPUS) == snapshot.path
    assert kizami.snapshot_path(snapshot.store + "/", CORPUS, schema=1) == snapshot.path
    assert kizami.snapshot_path(snapshot.store, CORPUS, "2026-11-23") == snapshot.path
    assert kizami.snapshot_path(snapshot.store, CORPUS, dt.date(2026, 11, 23)) == snapshot.path
    assert kizami.snapshot_glob(snapshot.store, CORPUS) == snapshot.glob
    assert kizami.snapshot_glob(snapshot.store, CORPUS, "2026-11-23") == snapshot.glob


def test_a_date_has_its_own_snapshot(tmp_path: Path) -> None:
    """`latest` is the newest business date; an earlier one is found by its date, also when it was published later."""
    store = str(tmp_path / "store")
    for day in ("2026-11-22", "2026-11-24", "2026-11-23"):
        publish_snapshot(store, Recipe(recipes(4), date=day, snapshot=f"snapshot-{day}"))
    assert kizami.snapshot_path(store, CORPUS).endswith("/snapshot-2026-11-24/")
    for day in ("2026-11-22", "2026-11-23", "2026-11-24"):
        assert kizami.snapshot_path(store, CORPUS, day).endswith(f"/snapshot-{day}/")


@pytest.mark.parametrize(
    ("corpus", "date", "schema", "message"),
    [
        ("novels", None, 1, "no snapshot of corpus 'novels' is published in {store} under v1; "),
        (CORPUS, "2026-11-22", 1, "no snapshot of 2026-11-22 of corpus 'recipes' is published in {store}"),
        (CORPUS, None, 2, "is published in {store} under v2; "),
    ],
)
def test_what_is_not_published_is_not_found(
    corpus: str, date: str | None, schema: int, message: str, snapshot: Published
) -> None:
    """One line says what is missing, where, and which command makes it; the exit code is 65."""
    for find in (kizami.snapshot_path, kizami.snapshot_glob):
        with pytest.raises(DataError) as caught:
            find(snapshot.store, corpus, date, schema)
        assert message.format(store=snapshot.store) in str(caught.value)
        assert f"`kizami run {corpus}" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("corpus", "date"), [("a/b", None), ("..", None), (CORPUS, "23.11.2026"), (CORPUS, "2026-11-31")]
)
def test_a_name_or_date_that_cannot_be_is_refused(corpus: str, date: str | None, local_snapshot: Published) -> None:
    """That is a fault of the caller, not of the store: 78."""
    with pytest.raises(ConfigurationError):
        kizami.snapshot_path(local_snapshot.store, corpus, date)


def test_document_path_names_the_part_that_holds_it(snapshot: Published) -> None:
    """Every document of the snapshot is in the part that is named for it, and in no other."""
    paths = [f"{snapshot.path}{part.name}" for part in snapshot.manifest.parts]
    held = {}
    for path in paths:
        for doc_id in set(ds.dataset(path).to_table(columns=["doc_id"])["doc_id"].to_pylist()):
            assert doc_id not in held
            held[doc_id] = path
    assert len(held) == snapshot.manifest.counts.documents
    some = list(held)[:: max(1, len(held) // 20)]
    for doc_id in {*some, min(held), max(held), *(part.lower for part in snapshot.manifest.parts[1:])}:
        assert kizami.document_path(snapshot.store, CORPUS, doc_id) == held[doc_id]


@pytest.mark.parametrize("doc_id", ["", "\0", "a", "recipe-0000", "料理-9999", "ｚ", "\uffff", "🍣", "\U0010ffff"])
def test_document_path_follows_utf8_order(doc_id: str, local_snapshot: Published) -> None:
    """An id the snapshot does not have is looked for in the one part it would be in, by its UTF-8 bytes."""
    lowers = [part.lower.encode() for part in local_snapshot.manifest.parts]
    expected = local_snapshot.manifest.parts[bisect_right(lowers, doc_id.encode()) - 1].name
    assert kizami.document_path(local_snapshot.store, CORPUS, doc_id) == local_snapshot.path + expected


def test_document_path_of_an_earlier_date(local_snapshot: Published) -> None:
    """The date decides in which snapshot the part is."""
    path = kizami.document_path(local_snapshot.store, CORPUS, DOC_ID, "2026-11-23")
    assert path.startswith(local_snapshot.path)
    with pytest.raises(DataError):
        kizami.document_path(local_snapshot.store, CORPUS, DOC_ID, "2026-11-22")


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    """A store that lost a manifest says which."""
    store = str(tmp_path / "store")
    manifest = publish_snapshot(store, Recipe(recipes(2)))
    open_store(store).delete([f"v1/{CORPUS}/manifests/{manifest.snapshot}.json"])
    with pytest.raises(DataError, match=rf"v1/recipes/manifests/{manifest.snapshot}\.json is missing.*rollback"):
        kizami.document_path(store, CORPUS, DOC_ID)


def test_a_document_is_read_whole(snapshot: Published) -> None:
    """All rows of a document, in order, every column."""
    rows = read_document(snapshot.store, CORPUS, DOC_ID)
    assert rows.equals(snapshot.rows.filter(pc.equal(snapshot.rows["doc_id"], DOC_ID)))


def test_a_document_that_is_not_there_is_not_found(snapshot: Published) -> None:
    """One line says so and where to look."""
    with pytest.raises(DataError, match=r"^no document '🍣-9999' in corpus 'recipes'.*kizami history"):
        read_document(snapshot.store, CORPUS, "🍣-9999")


def test_a_document_is_shown_aligned(local_snapshot: Published) -> None:
    """A line a token, in columns on a terminal where a Japanese character is two wide; unknown words and the
    starts of sentences are marked."""
    shown = render_document(read_document(local_snapshot.store, CORPUS, "🍣-0003"))
    assert shown == SHOWN
    assert "\n  --\n" in render_document(read_document(local_snapshot.store, CORPUS, DOC_ID))


SHOWN = r"""title[0]  'チキンカレー その3'
      0  チキン      チキン-chicken  チキン          名詞-普通名詞-一般
      3  カレー      カレー-curry    カレー          名詞-普通名詞-一般
      7  その        其の            ソノ            連体詞
      9  3           3                               名詞-数詞  (unknown)

steps[0]  ''

steps[1]  '\u3000\n'

steps[2]  'じゃがいもは皮をむいて一口大に切り、水にさらしておきます。'
      0  じゃがいも  ジャガ芋        ジャガイモ      名詞-普通名詞-一般
      5  は          は              ハ              助詞-係助詞
      6  皮          皮              カワ            名詞-普通名詞-一般
      7  を          を              ヲ              助詞-格助詞
      8  むい        剥く            ムク            動詞-一般
     10  て          て              テ              助詞-接続助詞
     11  一口        一口            ヒトクチ        名詞-普通名詞-一般
     13  大          大-大学         ダイ            接尾辞-名詞的-一般
     14  に          に              ニ              助詞-格助詞
     15  切り        切る            キル            動詞-非自立可能
     17  、          、                              補助記号-読点
     18  水          水              ミズ            名詞-普通名詞-一般
     19  に          に              ニ              助詞-格助詞
     20  さらし      晒す            サラス          動詞-一般
     23  て          て              テ              助詞-接続助詞
     24  おき        置く            オク            動詞-非自立可能
     26  ます        ます            マス            助動詞
     28  。          。                              補助記号-句点"""


def test_arrow_metadata_of_the_folder_is_the_schemas(local_snapshot: Published) -> None:
    """Whoever opens the folder finds what a column means beside it."""
    field = ds.dataset(local_snapshot.path).schema.field("goshu")
    assert field.metadata[b"doc"].decode().startswith("Word origin, 語種")
