"""The pointers that readers follow to a snapshot: ``latest.json`` and ``dates/D.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kizami import json_form, layout


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a reader needs to find a snapshot. Part of the contract."""

    schema: int
    corpus: str
    snapshot: str
    date: str
    """Business date, ISO 8601."""
    path: str
    """Folder of the parts, relative to the store's root; ends with ``/``."""
    glob: str
    manifest: str
    rows: int
    published_at: str
    fingerprint: str
    commit: int
    """Number of the commit that wrote it; 0 before that. In a catalogue: of the commit that first published it."""

    def in_schema(self, schema: int) -> Pointer:
        """The pointer to the same snapshot in another major version, where it has the same name."""
        return replace(
            self,
            schema=schema,
            path=layout.snapshot_prefix(self.corpus, self.snapshot, schema),
            glob=layout.snapshot_glob(self.corpus, self.snapshot, schema),
            manifest=layout.manifest_key(self.corpus, self.snapshot, schema),
        )


def decode_pointer(body: bytes, key: str) -> Pointer:
    """A pointer from its JSON. Raises DataError naming the key."""
    return json_form.decode(Pointer, body, key)
