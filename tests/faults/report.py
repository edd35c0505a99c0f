"""The fault table: a record of outcomes as Markdown, in English and Japanese. Every figure comes from the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from support.reports import Record, Report, table


@dataclass(frozen=True, slots=True)
class Words:
    """What a report says in one language. Braces are filled from the record."""

    faults: Mapping[str, str]
    heads: tuple[str, ...]
    introduction: str
    readers: str
    away: str
    killed: str
    wrong: str


ENGLISH: Final = Words(
    faults={
        "worker": "a worker process killed in mid-part",
        "host": "a host lost with its workers, parts and data",
        "driver": "the driver killed; started again from the other host",
        "partition": "the host that holds the lock cut off from Ray and S3; a run from the other host meanwhile",
        "s3_restart": "the S3 server killed and started again in mid-run",
        "s3_overload": "S3 answers 503 to one request in five, the others slowly",
    },
    heads=("fault", "runs end with", "rows lost", "rows doubled", "readers disturbed", "what the ledger says"),
    introduction="{rows:,} rows in {parts} parts, yesterday's snapshot before them; two hosts of Ray {ray} with {cpus} "
    "CPUs each, in network namespaces, and a real S3 server. Rows are compared with the source, and all columns with a "
    "run without any fault.",
    readers="{disturbed} of {reads} readings",
    away="; S3 itself away: {away}",
    killed="killed",
    wrong="**not the snapshot of an undisturbed run**",
)

JAPANESE: Final = Words(
    faults={
        "worker": "パートの途中でワーカープロセスを kill",
        "host": "ホストをワーカー、パート、データごと失う",
        "driver": "ドライバーを kill。もう一方のホストから再実行",
        "partition": "ロックを持つホストを Ray と S3 から切り離す。その間にもう一方のホストから実行",
        "s3_restart": "実行の途中で S3 サーバーを kill して起動し直す",
        "s3_overload": "S3 がリクエストの五つに一つに 503 を返し、残りも遅い",
    },
    heads=("障害", "実行の終了コード", "失われた行", "重複した行", "読み手への影響", "台帳の記録"),
    introduction="{rows:,} 行、{parts} パート、前日のスナップショットあり。ネットワーク名前空間による二つのホスト"
    "（Ray {ray}、各 {cpus} CPU）と本物の S3 サーバーでの結果です。"
    "行は元のデータと、全列は障害のない実行と比べました。",
    readers="{reads} 回中 {disturbed} 回",
    away="（S3 自体の不在 {away} 回）",
    killed="kill",
    wrong="**障害のない実行のスナップショットと違う**",
)


def markdown(record: Record, words: Words) -> str:
    """The table in one language, without a heading."""
    rows = table(words.heads, (_row(outcome, words) for outcome in record["outcomes"]))
    return f"{words.introduction.format_map(record['scene'])}\n\n{rows}\n"


def _refusal(record: Record) -> str | None:
    if {outcome["fault"] for outcome in record["outcomes"]} == ENGLISH.faults.keys():
        return None
    return "it has not all faults: run `make faults` first"


REPORT: Final = Report("faults", ENGLISH, JAPANESE, markdown, _refusal)


def _row(outcome: Mapping[str, Any], words: Words) -> tuple[str, ...]:
    readers = words.readers.format(disturbed=len(outcome["disturbed"]), reads=outcome["reads"])
    if outcome["store_away"]:
        readers += words.away.format(away=outcome["store_away"])
    fault = words.faults[outcome["fault"]]
    return (
        fault if outcome["same_tokens"] else f"{fault}: {words.wrong}",
        ", ".join(words.killed if code < 0 else str(code) for code in outcome["codes"]),
        f"{outcome['lost']:,}",
        f"{outcome['doubled']:,}",
        readers,
        "<br>".join(_ledger(outcome["ledger"])),
    )


def _ledger(lines: list[Mapping[str, Any]]) -> Iterator[str]:
    """The entries, in the ledger's own words in either language."""
    for line in lines:
        code = "" if line["exit_code"] is None else f", exit {line['exit_code']}"
        text = f"`{line['state']}` at {line['stage']}{code}"
        if line["error"]:
            text += f", {line['error']}"
        if line["failed_attempts"]:
            text += (
                f"; tried again: {', '.join(f'{what} ({count})' for what, count in line['failed_attempts'].items())}"
            )
        if line["parts_found"]:
            text += f"; {line['parts_found']} of {line['parts']} parts found finished"
        yield text
