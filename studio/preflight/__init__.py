"""The preflight process: everything that is looked for in data before a run, and what could be done about it."""
