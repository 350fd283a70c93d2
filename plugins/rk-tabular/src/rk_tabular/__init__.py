"""Your own tables, without code: CSV, TSV, Parquet and JSON lines, networks and boosted trees on them."""
