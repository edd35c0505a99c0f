"""The schema's documentation, rendered from the schema itself.

``python -m kizami_schemas.documentation`` rewrites ``schemas/v1.md``; a test fails while the file and the code differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from kizami_schemas import v1
from kizami_schemas.compatibility import describe

V1_PAGE: Final = Path(__file__).parent.parent / "v1.md"


def render_markdown(major: int, minor: int, schema: pa.Schema) -> str:
    """A Markdown page with one table row a column, in order."""
    lines = [
        f"# Schema v{major}.{minor}: one row a text",
        "",
        "Generated from `kizami_schemas` by `python -m kizami_schemas.documentation`; edit the code, not this page.",
        "",
        "| column | type | nulls | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{column['name']}` | {column['type']} | {'may be null' if column['nullable'] else 'required'} "
        f"| {column['doc'].replace('|', '&#124;')} |"
        for column in describe(schema)
    ]
    lines += [
        "",
        "All lists of a row have one length, but `sentence_start`; the lists of a text without tokens are empty.",
        "Rows are sorted by `doc_id` (UTF-8 byte order), field in the corpus's configured order, and `position`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    V1_PAGE.write_text(render_markdown(v1.MAJOR, v1.MINOR, v1.SCHEMA), "utf-8")
