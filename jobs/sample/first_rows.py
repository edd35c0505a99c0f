"""Print the first rows of the sample's snapshot, read the way every downstream project reads."""

from pathlib import Path

import pandas as pd

import kizami

STORE = Path(__file__).resolve().parents[2] / ".sample-store"

path = kizami.snapshot_path(str(STORE), "recipes")
rows = pd.read_parquet(path, columns=["doc_id", "field", "surface", "lemma"])

print("\nimport kizami, pandas as pd")
print('path = kizami.snapshot_path(".sample-store", "recipes")')
print('pd.read_parquet(path, columns=["doc_id", "field", "surface", "lemma"])\n')
pd.set_option("display.width", 120, "display.max_colwidth", 44, "display.unicode.east_asian_width", True)
print(rows.head(8).to_string())
print(f"\n{len(rows):,} texts, {rows['surface'].str.len().sum():,} tokens")
