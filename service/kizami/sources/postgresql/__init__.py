"""PostgreSQL as a source: ranges of the id, read at once through ADBC, all of one moment.

A connection of the driver's exports its view (``pg_export_snapshot``) and stays open while others read; each of them
takes that view over, so that all ranges are of one moment, whatever is written meanwhile. Without the connection the
view is gone: then all is read again, never a rest of another moment.
"""
