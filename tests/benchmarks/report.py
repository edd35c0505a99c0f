"""The report: a benchmark's record as Markdown, in English and Japanese. Every figure comes from the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.measures import Measure
from support.reports import Record, Report, table


@dataclass(frozen=True, slots=True)
class Words:
    """What a report says in one language. Braces are filled from the record."""

    measures: Mapping[str, str]
    contenders: Mapping[str, str]
    introduction: str
    clock: str
    without_mecab: str
    not_full: str
    measure_heads: tuple[str, ...]
    contender_heads: tuple[str, ...]
    runs: Mapping[str, str]
    run_heads: tuple[str, ...]
    incremental: str
    reached: str
    aim_reached: str
    missed: str


ENGLISH: Final = Words(
    measures={
        "mecab": "throughput of a worker against the `mecab` command line",
        "team": "throughput of a worker against a team's own script",
        "menus_mecab": "the same against the `mecab` command line, on school menus that repeat",
        "two_workers": "analysis by two workers against one",
        "overhead": "a whole run beyond its analysis over two workers, Ray's start apart",
        "worker_memory": "peak private memory (USS) of a worker that analyses {whole} of text",
        "worker_memory_growth": "its growth from {excerpt} to {whole} of text",
        "snapshot_size": "a snapshot, all columns, against its raw text",
        "reading_team": "reading one token column with pandas against analysing again by the team's script",
        "reading_kizami": "the same against analysing again by a worker",
        "unchanged": "processor time of a run without a change, against a full one",
        "newest": "the same with 0.5 % of documents new and 0.5 % edited among the newest twentieth",
        "anywhere": "the same with 1 % edited anywhere",
    },
    contenders={
        "mecab": "`mecab` command line, all features to /dev/null",
        "kizami": "a Kizami worker",
        "team": "a team's own script",
        "read": "reading one column (`lemma`) with pandas",
        "menus_mecab": "school menus: `mecab` command line",
        "menus_kizami": "school menus: a Kizami worker",
        "one": "`kizami run`, one worker",
        "two": "`kizami run`, two workers",
    },
    introduction="{runs} on {cpu}, {cores} cores, {memory} GiB, {kernel}; Python {python}, MeCab {mecab}, "
    "fugashi {fugashi}, unidic-lite {unidic}, pyarrow {pyarrow}, pandas {pandas}, Ray {ray}, Kizami {kizami}. "
    "A ratio is the median of those of the rounds.",
    clock="On one core, in a fresh process each time, contenders in turn: text in, all columns of schema v1 in a "
    "Parquet file out, on the first {excerpt} of text of `bulk_aozora` in Parquet; school menus are "
    "`recipes_kobe_school_lunch` repeated to that size under new ids. The clock runs from before the Tagger is made "
    "and the first text is read to the closed file, imports not included; of the `mecab` command, all counts. `mecab` "
    "has the same dictionary and is given the text already normalised. The script "
    "(`tests/benchmarks/team_script.py`) does not normalise. `kizami run` takes {whole} of `bulk_aozora` into an empty "
    "store in a folder; its seconds are the whole command. The dictionary's pages, which workers share, are not "
    "private memory.",
    without_mecab="The `mecab` command is not installed here: its rows are left out.",
    not_full="**A trial with other sizes than the targets speak of.**",
    measure_heads=("measure", "median", "min – max", "target / aim", "reached"),
    contender_heads=("contender", "seconds: median", "min – max", "MB of text a second"),
    runs={
        "start": "start: a corpus of one document",
        "full": "full",
        "unchanged": "nothing changed",
        "newest": "0.5 % new, 0.5 % edited among the newest",
        "anywhere": "1 % edited anywhere",
    },
    run_heads=("run", "processor seconds", "of them Ray's own", "texts analysed", "parts copied"),
    incremental="Incremental runs, each on the snapshot of the one before: {incremental} of `bulk_aozora` in short "
    "documents, repeated under new ids. Processor seconds are those of all processes; in "
    "the ratios Ray's own and the start are left out.",
    reached="yes",
    aim_reached="yes, the aim too",
    missed="**no**",
)

JAPANESE: Final = Words(
    measures={
        "mecab": "ワーカーの処理速度、`mecab` コマンド比",
        "team": "ワーカーの処理速度、チームの自作スクリプト比",
        "menus_mecab": "繰り返しの多い給食献立での処理速度、`mecab` コマンド比",
        "two_workers": "解析段階の速さ、ワーカー一つに対する二つ",
        "overhead": "Ray の起動を除く実行全体が、二ワーカーで割った解析時間を超える分",
        "worker_memory": "本文 {whole} を一つで解析するワーカーの専有メモリー（USS）の最大",
        "worker_memory_growth": "本文が {excerpt} から {whole} に増えたときのその増加",
        "snapshot_size": "全列を含むスナップショットの大きさ、元の本文比",
        "reading_team": "形態素の一列を pandas で読む速さ、チームのスクリプトで解析し直す場合との比",
        "reading_kizami": "同、ワーカーで解析し直す場合との比",
        "unchanged": "変更のない実行のプロセッサー時間、全部を解析する実行比",
        "newest": "同、文書の 0.5 % が新規、最新の二十分の一の中で 0.5 % が編集",
        "anywhere": "同、全体のどこかで 1 % が編集",
    },
    contenders={
        "mecab": "`mecab` コマンド、全素性を /dev/null へ",
        "kizami": "Kizami のワーカー",
        "team": "チームの自作スクリプト",
        "read": "一列（`lemma`）を pandas で読む",
        "menus_mecab": "給食献立：`mecab` コマンド",
        "menus_kizami": "給食献立：Kizami のワーカー",
        "one": "`kizami run`、ワーカー一つ",
        "two": "`kizami run`、ワーカー二つ",
    },
    introduction="{cpu}、{cores} コア、{memory} GiB、{kernel}、Python {python}、MeCab {mecab}、fugashi {fugashi}、"
    "unidic-lite {unidic}、pyarrow {pyarrow}、pandas {pandas}、Ray {ray}、Kizami {kizami} での測定（{runs}）。"
    "比は各回の比の中央値です。",
    clock="一コア、毎回新しいプロセス、比較対象を交互に実行。本文を読み、スキーマ v1 の全列を Parquet に書くまでを、"
    "Parquet にした `bulk_aozora` の先頭 {excerpt} で測りました。"
    "給食献立は `recipes_kobe_school_lunch` を新しい id でその大きさまで繰り返したもの。"
    "時計は Tagger を作り最初のテキストを読む前からファイルを閉じるまで。"
    "import は含みませんが、`mecab` はコマンド全体です。`mecab` には同じ辞書と正規化済みのテキストを与えます。"
    "スクリプト（`tests/benchmarks/team_script.py`）は正規化をしません。"
    "`kizami run` は `bulk_aozora` の {whole} をフォルダーの空のストアへ処理し、秒数はコマンド全体です。"
    "ワーカーが共有する辞書のページは専有メモリーに入りません。",
    without_mecab="この環境に `mecab` コマンドはなく、その行は省きました。",
    not_full="**目標が前提とする大きさではない試行です。**",
    measure_heads=("項目", "中央値", "最小 – 最大", "目標 / 望み", "達成"),
    contender_heads=("対象", "秒：中央値", "最小 – 最大", "本文 MB/秒"),
    runs={
        "start": "起動：文書一つのコーパス",
        "full": "全部を解析",
        "unchanged": "変更なし",
        "newest": "新規 0.5 %、最新の中の編集 0.5 %",
        "anywhere": "全体での編集 1 %",
    },
    run_heads=("実行", "プロセッサー秒", "うち Ray 自身", "解析したテキスト", "複写したパート"),
    incremental="変わった分だけの実行。それぞれ直前のスナップショットから始まります。"
    "入力は短い文書に切って新しい id で繰り返した `bulk_aozora` の {incremental}。"
    "プロセッサー秒は全プロセスの合計で、比では Ray 自身と起動の分を除きます。",
    reached="はい",
    aim_reached="はい、望みも",
    missed="**いいえ**",
)


def markdown(record: Record, words: Words) -> str:
    """The report in one language, without a heading."""
    figures = _figures(record, words)
    blocks = [words.introduction.format_map(figures)]
    if not record["settings"]["full"]:
        blocks.append(words.not_full)
    if record["versions"]["mecab"] == "absent":
        blocks.append(words.without_mecab)
    blocks.append(table(words.measure_heads, _measure_rows(record, words, figures)))
    blocks.append(table(words.contender_heads, _contender_rows(record, words)))
    if record["incremental"]:
        blocks.append(table(words.run_heads, _run_rows(record, words)))
        blocks.append(words.incremental.format_map(figures))
    blocks.append(words.clock.format_map(figures))
    return "\n\n".join(blocks) + "\n"


def _refusal(record: Record) -> str | None:
    if record["settings"]["full"]:
        return None
    return "this was a trial with other sizes or without the whole runs: run `make bench` first"


REPORT: Final = Report("bench", ENGLISH, JAPANESE, markdown, _refusal)


def _figures(record: Record, words: Words) -> dict[str, object]:
    count = record["settings"]["repetitions"]
    whole = record["whole_runs"].get("two")
    if words is JAPANESE:
        runs = "一回" if count == 1 else f"{count} 回の中央値"
    else:
        runs = "One run of each" if count == 1 else f"Medians of {count} runs"
    versions = record["versions"]
    return {
        "runs": runs,
        "excerpt": _megabytes(record["inputs"][0]["text_bytes"]),
        "whole": _megabytes(whole["text_bytes"]) if whole else "–",
        "incremental": _megabytes(record["settings"]["incremental_bytes"]),
        "cpu": record["machine"]["cpu"],
        "cores": record["machine"]["cores"],
        "memory": record["machine"]["memory_gib"],
        "kernel": record["machine"]["kernel"],
        "unidic": versions["unidic-lite"],
        **versions,
    }


def _measure_rows(record: Record, words: Words, figures: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    for measure in map(Measure.of_record, record["measures"]):
        unit, value = measure.target.unit, measure.value
        reached = words.aim_reached if measure.aim_reached else words.reached if measure.reached else words.missed
        yield (
            words.measures[measure.name].format_map(figures),
            unit.written(value.median),
            f"{unit.written(value.minimum)} – {unit.written(value.maximum)}",
            measure.target.written(),
            reached,
        )


def _contender_rows(record: Record, words: Words) -> Iterator[tuple[str, ...]]:
    for name, title in words.contenders.items():
        if found := record["contenders"].get(name):
            yield _contender_row(title, found["spread"], found["text_bytes"])
        elif found := record["whole_runs"].get(name):
            yield _contender_row(title, found["seconds"], found["text_bytes"])


def _run_rows(record: Record, words: Words) -> Iterator[tuple[str, ...]]:
    for run in record["incremental"]:
        seconds = _seconds(run["job_seconds"] + run["ray_seconds"])
        copied = f"{run['parts_copied']:,} / {run['parts']:,}"
        own = _seconds(run["ray_seconds"])
        yield words.runs[run["name"]], seconds, own, f"{run['texts_analysed']:,}", copied


def _contender_row(title: str, seconds: Mapping[str, float], text_bytes: int) -> tuple[str, ...]:
    low, middle, high = (_seconds(seconds[name]) for name in ("minimum", "median", "maximum"))
    return title, middle, f"{low} – {high}", f"{text_bytes / seconds['median'] / 1e6:,.2f}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB".replace(".0 MB", " MB")
