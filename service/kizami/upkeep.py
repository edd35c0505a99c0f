"""The verbs that look after what is in the store: ``publish``, ``verify``, ``rollback``, ``gc``, ``forget``."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from kizami.aftermath import after_run
from kizami.candidates import Publishing, publish
from kizami.catalogue import Publication
from kizami.cleaning import clean, preview
from kizami.cli import Answer, Verb, add_corpus, say
from kizami.config import Config, CorpusConfig, load_config
from kizami.identity import has_form, id_columns_of
from kizami.ledger import RunEntry, State
from kizami.record import new_id, now, timestamp
from kizami.remedies import run_again
from kizami.renewal import read_ids
from kizami.retention import Terms
from kizami.rollback import Rollback, roll_back
from kizami.signals import Interruption
from kizami.stores import ObjectStore, Versioning, open_store, require_folder
from kizami.takedown import TakeDown, checked_ids, take_down
from kizami.undertaking import undertaking
from kizami.verification import Verification, verify


def _opened(parsed: argparse.Namespace) -> tuple[Config, ObjectStore]:
    config = load_config(parsed.config)
    config.corpus(parsed.corpus)
    require_folder(config.store)
    return config, open_store(config.store)


def _publish(parsed: argparse.Namespace) -> Answer:
    config, store = _opened(parsed)
    interruption = Interruption()
    entry = _entry(parsed.corpus, "publish", config)
    on_end = partial(after_run, config, store, say)
    under = undertaking(store, config.lock, entry, say=say, interruption=interruption, on_end=on_end)
    with interruption.watching(), under as held:
        interruption.check()
        schemas = config.corpus(parsed.corpus).schemas
        held.record.note(schemas=schemas)
        done = publish(held, parsed.corpus, parsed.snapshot, force=parsed.force, schemas=schemas)
        text = _publish_text(done)
        held.record.note(snapshot=done.pointer.snapshot, date=done.pointer.date, outcome=text.splitlines()[0])
        if not done.did_nothing:
            held.record.count(rows=done.pointer.rows)
        held.record.end(State.DONE if done.did_nothing else State.PUBLISHED)
    data = {
        "run": asdict(held.record.entry),
        "snapshot": asdict(done.pointer),
        "is_latest": done.is_latest,
        "forced": [gate.name for gate in done.forced],
    }
    return Answer(f"{text}\n{config.store}/{done.pointer.path}", data)


def _publish_text(done: Publishing) -> str:
    pointer, manifest, latest = done.pointer, done.manifest, done.latest
    if done.did_nothing:
        return f"nothing to do: {pointer.date} shows {pointer.snapshot} already"
    lines = [f"published {pointer.date}: {pointer.snapshot}, {pointer.rows:,} rows"]
    if done.forced:
        lines[0] += f"; forced: {', '.join(map(str, done.forced))}"
    if latest and not done.is_latest:
        lines.append(f"latest.json stays at {latest.snapshot} of {latest.date}")
    if latest and latest.snapshot != manifest.predecessor:
        lines.append(
            f"it was made from {manifest.predecessor or 'nothing'}; latest.json has moved to {latest.snapshot} since"
        )
    if latest and latest.fingerprint != manifest.fingerprint:
        lines.append(f"its analysis is {manifest.fingerprint}, that of {latest.snapshot} is {latest.fingerprint}")
    return "\n".join(lines)


def _add_publish_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument(
        "snapshot", metavar="SNAPSHOT", help="the snapshot to publish; another name lists those there are"
    )
    parser.add_argument("--force", action="store_true", help="publish it though a gate that compares it is closed")


def _verify(parsed: argparse.Namespace) -> Answer:
    _, store = _opened(parsed)
    found = verify(store, parsed.corpus, parsed.snapshot, on_part=_show_parts)
    return Answer(_verify_text(found), asdict(found), exit_code=1 if found.faults else 0)


def _show_parts(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,} parts", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _verify_text(found: Verification) -> str:
    name = f"{found.snapshot} of {found.corpus}, {found.date}" if found.date else found.corpus
    if not found.faults:
        parts = f"{found.parts:,} part{'' if found.parts == 1 else 's'}"
        if len(found.schemas) > 1:
            parts = f"schema versions {' and '.join(map(str, found.schemas))}: {parts}"
        return f"{name}: {parts}, {found.rows:,} rows, {found.size_bytes:,} bytes, as published"
    lines = [f"{fault.key} {fault.what}" for fault in found.faults]
    return "\n".join([f"{name}: {len(lines):,} {'fault' if len(lines) == 1 else 'faults'}", *lines])


def _add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument("--snapshot", metavar="S", help="another snapshot than the one that latest.json names")


def _rollback(parsed: argparse.Namespace) -> Answer:
    config, store = _opened(parsed)
    interruption = Interruption()
    entry = _entry(parsed.corpus, "rollback", config)
    with interruption.watching(), undertaking(store, config.lock, entry, say=say, interruption=interruption) as held:
        interruption.check()
        done = roll_back(held, parsed.corpus, parsed.snapshot)
        text = _rollback_text(done, config.corpus(parsed.corpus), now().astimezone(config.timezone).date())
        held.record.note(snapshot=done.pointer.snapshot, date=done.pointer.date, outcome=text.splitlines()[0])
        held.record.end(State.DONE)
    data = {
        "run": asdict(held.record.entry),
        "snapshot": asdict(done.pointer),
        "withdrawn": [{"snapshot": each.snapshot, "date": each.date} for each in done.withdrawn],
        "dates": done.dates,
    }
    return Answer(text, data)


def _rollback_text(done: Rollback, corpus: CorpusConfig, today: dt.date) -> str:
    pointer = done.pointer
    if done.did_nothing:
        return f"nothing to do: {corpus.name} is at {pointer.snapshot} of {pointer.date}, and nothing is newer"
    lines = [f"{corpus.name} is back at {pointer.snapshot} of {pointer.date}; withdrawn: {_names(done.withdrawn)}"]
    for date, snapshot in done.dates.items():
        again = f"has no snapshot any more; `{run_again(corpus, date, today)}` makes a new one"
        lines.append(f"{date} {f'names {snapshot} now' if snapshot else again}")
    return "\n".join(lines)


def _names(publications: tuple[Publication, ...]) -> str:
    return ", ".join(f"{each.snapshot} of {each.date}" for each in publications) or "nothing"


def _add_rollback_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="the snapshot that latest.json is to name")


def _gc(parsed: argparse.Namespace) -> Answer:
    config, store = _opened(parsed)
    terms = Terms(dates=config.corpus(parsed.corpus).retention_dates)
    if parsed.dry_run:
        found = preview(store, parsed.corpus, terms)
        text = f"would do: {found}" if found.did_anything else str(found)
        return Answer(text, {"dry_run": True, **asdict(found)})
    interruption = Interruption()
    entry = _entry(parsed.corpus, "gc", config)
    with interruption.watching(), undertaking(store, config.lock, entry, say=say, interruption=interruption) as held:
        interruption.check()
        with held.record.stage("clean"):
            done = clean(store, held.lease, parsed.corpus, terms, interruption.check)
        held.record.note(outcome=str(done))
        held.record.end(State.DONE)
    return Answer(str(done), {"dry_run": False, "run": asdict(held.record.entry), **asdict(done)})


def _add_gc_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")


def _forget(parsed: argparse.Namespace) -> Answer:
    config, store = _opened(parsed)
    ids = checked_ids(read_ids(parsed.ids_file) if parsed.ids_file else parsed.id)
    interruption = Interruption()
    entry = _entry(parsed.corpus, "forget", config)
    with interruption.watching(), undertaking(store, config.lock, entry, say=say, interruption=interruption) as held:
        interruption.check()
        done = take_down(held, parsed.corpus, ids, may_go_on=interruption.check, on_object=_show_objects)
        text = _forget_text(done, parsed.corpus) + _form_text(ids, config.corpus(parsed.corpus))
        held.record.note(snapshot=done.pointer.snapshot if done.pointer else None, outcome=text.splitlines()[0])
        held.record.end(State.DONE)
    return Answer(text, {"run": asdict(held.record.entry), **asdict(done)})


def _show_objects(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rsearched {done:,} of {total:,} objects", end=end, file=sys.stderr, flush=True)


def _forget_text(done: TakeDown, corpus: str) -> str:
    documents = f"{done.documents:,} document{'' if done.documents == 1 else 's'}"
    found = "in no snapshot" if not done.found else f"found {done.found:,}"
    first = (
        f"{documents} of {corpus} forgotten ({found}); snapshots: {len(done.copies):,} published anew, "
        f"{len(done.deleted):,} unpublished deleted; objects: {done.objects:,} deleted, {done.searched:,} searched, "
        "no trace left"
    )
    lines = [first, *(f"{original} is {copy} now" for original, copy in done.copies.items())]
    if remedy := _VERSIONING_REMEDIES.get(done.versioning):
        lines.append(f"versioning of the bucket: {done.versioning}; {remedy}")
    return "\n".join(lines)


def _form_text(ids: Sequence[str], corpus: CorpusConfig) -> str:
    """A line where ids are not written as this corpus's are; they may be those of an earlier configuration."""
    columns = id_columns_of(corpus.id_column)
    others = sum(not has_form(each, len(columns)) for each in ids)
    if not others:
        return ""
    return (
        f"\n{others:,} of the ids {'is' if others == 1 else 'are'} not of the form {'/'.join(columns)}, so no run "
        "leaves anything out for it: in a value, / is written %2F and % is written %25; "
        "forget the documents under that id, too"
    )


_VERSIONING_REMEDIES: Final = {
    Versioning.ENABLED: "what was deleted is still there as older versions: delete those (aws s3api "
    "list-object-versions, delete-object), or let a lifecycle rule expire noncurrent versions",
    Versioning.SUSPENDED: "what was deleted may still be there as older versions, from when it was enabled: delete "
    "those (aws s3api list-object-versions, delete-object), or let a lifecycle rule expire noncurrent versions",
    Versioning.UNKNOWN: "the store does not tell: if it keeps older versions or backups, delete them there",
}


def _add_forget_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--id", nargs="+", action="extend", metavar="ID", help="the documents with these ids")
    what.add_argument("--ids-file", type=Path, metavar="F", help="the documents with the ids in a file, one a line")


def _entry(corpus: str, verb: str, config: Config) -> RunEntry:
    started = now()
    return RunEntry(
        run=new_id(started),
        verb=verb,
        corpus=corpus,
        date=started.astimezone(config.timezone).date().isoformat(),
        state=State.STARTED,
        stage="lock",
        started_at=timestamp(started),
    )


UPKEEP_VERBS: Final = (
    Verb("publish", "publish a candidate, or a snapshot that a gate held back", _add_publish_arguments, _publish),
    Verb("verify", "compare a published snapshot with its manifest, byte by byte", _add_verify_arguments, _verify),
    Verb(
        "rollback",
        "let latest.json name an earlier snapshot, and withdraw newer ones",
        _add_rollback_arguments,
        _rollback,
    ),
    Verb("gc", "delete what is past its retention, and what dead runs left", _add_gc_arguments, _gc),
    Verb("forget", "take documents down, from every snapshot and for good", _add_forget_arguments, _forget),
)
