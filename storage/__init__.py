"""The only room that knows DuckDB and SQL: plain functions, `db` first, frozen rows out."""
