"""The published schemas, as code: the one place that says what a column means."""
