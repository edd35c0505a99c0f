"""Snapshots without contents, in any store: for tests of what points to them and what becomes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from kizami import candidates, json_form, layout
from kizami.candidates import Publishing
from kizami.config import LockConfig
from kizami.gates import USUAL, Figures, Gate, judge
from kizami.lease import Lease
from kizami.ledger import RunEntry, State
from kizami.manifest import Counts, Manifest, PartEntry, Provenance, decode_manifest, pointer_to
from kizami.pointer import Pointer
from kizami.readers import find_pointer
from kizami.rollback import Rollback, roll_back
from kizami.stores import ObjectStore
from kizami.undertaking import Undertaking, undertaking
from support.publishing import CORPUS, holder, nobody_died

OPEN: Final = tuple(judge(Figures(2, 2, 2, 2, 0, 0, 0, 0), USUAL, earlier_rows=2, earlier_unknown=0.0))
"""The verdicts on a snapshot like those of the shelf."""


def manifest(
    snapshot: str,
    date: str = "2026-11-23",
    parts: int = 2,
    quarantine: str | None = None,
    *,
    gates: tuple[Gate, ...] = OPEN,
    predecessor: str | None = None,
    after_commit: int = 0,
) -> Manifest:
    """A manifest whose parts are a few bytes each."""
    return Manifest(
        schema="1.0",
        corpus=CORPUS,
        snapshot=snapshot,
        date=date,
        created_at=f"{date}T05:00:00Z",
        fingerprint="f" * 32,
        input_digest="0" * 64,
        counts=Counts(parts, parts, 10, parts, parts, 0, 0, {}),
        parts=tuple(_part(snapshot, number) for number in range(parts)),
        quarantine=quarantine,
        provenance=Provenance("run", "a.jsonl", 1, 10, False, ("title",), "unidic", 10, 1, {}),
        gates=gates,
        predecessor=predecessor,
        after_commit=after_commit,
    )


def _part(snapshot: str, number: int) -> PartEntry:
    body = _body(snapshot, number)
    lower = "" if number == 0 else f"doc-{number:05d}"
    digest = hashlib.sha256(body).hexdigest()
    return PartEntry(layout.part_name(number), lower, digest[:32], 1, 1, 0, len(body), digest)


def _body(snapshot: str, number: int) -> bytes:
    return f"part {number} of {snapshot}\n".encode()


def put_snapshot(store: ObjectStore, made: Manifest, others: Collection[int] = ()) -> None:
    """Write parts, quarantine and manifest, in other versions of the schema too; nobody points to them yet."""
    if made.quarantine:
        store.put(made.quarantine, b"held back")
    for schema in (*others, 1):
        for number in range(len(made.parts)):
            store.put(layout.part_key(CORPUS, made.snapshot, number, schema), _body(made.snapshot, number))
        body = json_form.encode(replace(made, schema=f"{schema}.0"))
        store.put(layout.manifest_key(CORPUS, made.snapshot, schema), body)


def publish(
    store: ObjectStore,
    snapshot: str,
    date: str = "2026-11-23",
    quarantine: str | None = None,
    others: Collection[int] = (),
) -> Pointer:
    """Put a snapshot on the shelf and publish it, as a run does."""
    made = manifest(snapshot, date, quarantine=quarantine)
    with Lease.take(store, CORPUS, holder(f"run-of-{snapshot}", date=date), on_takeover=nobody_died) as lease:
        put_snapshot(store, made, others)
        return lease.commit(pointer_to(made, f"{date}T05:30:00Z"), others)


@contextmanager
def undertake(store: ObjectStore, verb: str, run: str = "") -> Iterator[Undertaking]:
    """A verb under the lock, whoever died before."""
    entry = RunEntry(run or f"{verb}-1", verb, CORPUS, "2026-11-24", State.STARTED, "lock", "2026-11-24T06:00:00Z")
    with undertaking(store, LockConfig(), entry, say=lambda _: None) as held:
        yield held


def go_back(store: ObjectStore, snapshot: str, run: str = "") -> Rollback:
    """Roll back to a snapshot."""
    with undertake(store, "rollback", run) as held:
        return roll_back(held, CORPUS, snapshot)


def put_candidate(
    store: ObjectStore,
    snapshot: str,
    date: str = "2026-11-23",
    *,
    gates: tuple[Gate, ...] = OPEN,
    others: Collection[int] = (),
) -> None:
    """Leave a snapshot on the shelf that was made now, and not published."""
    with Lease.take(store, CORPUS, holder(f"run-of-{snapshot}", date=date), on_takeover=nobody_died) as lease:
        latest, last = lease.predecessor, lease.last_commit
        made = manifest(
            snapshot,
            date,
            gates=gates,
            predecessor=latest.snapshot if latest else None,
            after_commit=last.n if last else 0,
        )
        put_snapshot(store, made, others)


def publish_candidate(
    store: ObjectStore, snapshot: str, *, force: bool = False, run: str = "", schemas: Collection[int] = (1,)
) -> Publishing:
    """Publish it as the verb does."""
    with undertake(store, "publish", run) as held:
        return candidates.publish(held, CORPUS, snapshot, force=force, schemas=schemas)


def shown(store: ObjectStore, schema: int = 1) -> dict[str, str]:
    """What readers are shown, by date and under ``latest``; fails unless every bit of it is there."""
    prefix = layout.dates_prefix(CORPUS, schema)
    dates = [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]
    found = {}
    for name, date in [("latest", None), *((date, date) for date in dates)]:
        pointer = find_pointer(store, CORPUS, date, schema)
        if pointer is None:
            continue
        assert pointer == pointer.in_schema(schema)
        found[name] = pointer.snapshot
        made = decode_manifest(store.get(pointer.manifest).body, pointer.manifest)
        assert (made.snapshot, made.date, made.major) == (pointer.snapshot, date or pointer.date, schema)
        listed = {info.key: info.size_bytes for info in store.list(pointer.path)}
        assert listed == {pointer.path + part.name: part.size_bytes for part in made.parts}, pointer.snapshot
    return found


def folders(store: ObjectStore, schema: int = 1) -> set[str]:
    """Snapshots of which there is any part or a manifest."""
    parts = {info.key.split("/")[3] for info in store.list(layout.snapshots_prefix(CORPUS, schema))}
    prefix = layout.manifests_prefix(CORPUS, schema)
    manifests = {info.key.split("/")[3].removesuffix(".json") for info in store.list(prefix)}
    return parts | manifests
