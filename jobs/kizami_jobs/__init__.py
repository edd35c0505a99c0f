"""The job: Kizami on Ray. The only package that imports it."""
