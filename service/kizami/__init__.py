"""Kizami (刻み): Japanese text analysed once, for everyone.

::

    import kizami, pandas as pd

    path = kizami.snapshot_path("s3://ml-shared/tokens", "recipes")
    df = pd.read_parquet(path, columns=["doc_id", "field", "lemma"])
"""

from kizami.errors import KizamiError
from kizami.identity import document_id
from kizami.readers import document_path, snapshot_glob, snapshot_path

__all__ = ["KizamiError", "document_id", "document_path", "snapshot_glob", "snapshot_path"]
