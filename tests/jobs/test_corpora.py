"""Real corpora, whole, through `kizami run` into a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from pyarrow import fs

import kizami
from support import corpora
from support.kizami_process import KIZAMI

pytestmark = [pytest.mark.s3, pytest.mark.ray, pytest.mark.shared]

FIELDS = {
    "recipes_edo.jsonl.gz": ("title", "body", "ingredients.name", "steps"),
    "recipes_personal_cc0.jsonl.gz": ("title", "body", "ingredients.name", "steps"),
    "recipes_kobe_school_lunch.jsonl.gz": ("title", "body", "ingredients.name"),
    "general_wikipedia.jsonl.gz": ("title", "body"),
    "bulk_aozora.jsonl.zst": ("title", "body"),
}
WORKER_BYTES = 800 << 20
"""More than this in a worker would mean that it holds more than its part: all of bulk_aozora's rows are some 6 GB."""


class MemoryWatch:
    """The largest private memory (USS) of each process of a tree, by what the process is called."""

    def __init__(self, pid: int) -> None:
        self.peaks: dict[str, int] = {}
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in processes:
                try:
                    name = f"{' '.join(process.cmdline()[:2])[-60:]} ({process.pid})"
                    self.peaks[name] = max(self.peaks.get(name, 0), process.memory_full_info().uss)
                except psutil.Error:
                    continue


@pytest.mark.parametrize("name", FIELDS)
def test_a_whole_corpus_goes_into_s3(name: str, s3_url: str, tmp_path: Path, shared_corpora: None) -> None:
    """Rows are the source's texts, each surface is a slice of its text, and no worker holds more than its part."""
    config = tmp_path / "kizami.toml"
    source = corpora.CORPORA / name
    config.write_text(
        f'store = "{s3_url}"\n[corpora.real]\nsource = "{source}"\n'
        f'id = "doc_id"\nfields = {json.dumps(FIELDS[name])}\n',
        "utf-8",
    )
    command = [sys.executable, str(KIZAMI), "run", "real", "--config", str(config), "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        watch = MemoryWatch(process.pid)
        try:
            output, _ = process.communicate(timeout=900)
        finally:
            watch.stop()
            process.kill()
    assert process.returncode == 0
    run = json.loads(output)["run"]
    seconds = time.monotonic() - started
    peaks = sorted(watch.peaks.items(), key=lambda item: -item[1])
    print(f"{name}: {run['counts']}, {run['stage_seconds']}, {seconds:.1f} s in all; peak private memory (USS):")
    print("\n".join(f"  {peak >> 20:>5} MiB  {process_name}" for process_name, peak in peaks if peak > 20 << 20))
    workers = [peak for process_name, peak in peaks if "ray::" in process_name]
    assert workers
    assert max(workers) < WORKER_BYTES

    expected = dict(texts_by_key(name))
    dataset = ds.dataset(
        kizami.snapshot_path(s3_url, "real").removeprefix("s3://"), filesystem=fs.FileSystem.from_uri(s3_url)[0]
    )
    assert dataset.count_rows() == len(expected) == run["counts"]["rows"]
    previous: tuple[bytes, int, int] | None = None
    columns = ["doc_id", "field", "position", "text", "surface", "start"]
    for batch in dataset.to_batches(columns=columns, batch_size=200, batch_readahead=1, fragment_readahead=1):
        keys = [batch[column].to_pylist() for column in columns[:4]]
        for doc_id, field, position, text in zip(*keys, strict=True):
            assert expected.pop((doc_id, field, position)) == text
            key = (doc_id.encode(), FIELDS[name].index(field), position)
            assert previous is None or previous < key
            previous = key
        for text, surface, start in zip(batch["text"], batch["surface"], batch["start"], strict=True):
            assert_slices(text.as_py(), surface.values, start.values)
    assert not expected


def texts_by_key(name: str) -> Any:
    """(doc_id, field, position) and text of every text of a corpus, told without any code of Kizami."""
    for document in corpora.documents(name):
        for field in FIELDS[name]:
            column, _, key = field.partition(".")
            value = document.get(column)
            for position, element in enumerate(value if isinstance(value, list) else [value]):
                text = element[key] if key and element else element
                if text is not None:
                    yield (document["doc_id"], field, position), text


def assert_slices(text: str, surfaces: pa.Array, starts: pa.Array) -> None:
    """Each surface is the text from its start; what no token covers is white space or control."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    lengths = pc.utf8_length(surfaces).to_numpy(zero_copy_only=False).astype(np.int64)
    first = starts.to_numpy(zero_copy_only=False).astype(np.int64)
    assert (first[1:] >= (first + lengths)[:-1]).all()
    change = np.zeros(len(points) + 1, np.int64)
    np.add.at(change, first, 1)
    np.add.at(change, first + lengths, -1)
    covered = np.cumsum(change)[:-1].astype(bool)
    joined = "".join(surfaces.to_pylist())
    assert points[covered].tobytes() == joined.encode("utf-32-le")
    assert all(chr(point).isspace() or point < 0x20 or 0x7F <= point < 0xA0 for point in set(points[~covered].tolist()))
