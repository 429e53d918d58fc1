"""The verdict on a run as a page one can send: one HTML file without script, made of records, asking for nothing."""
