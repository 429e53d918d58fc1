"""One uvicorn process: the JSON routes of the labeling hot path, and the mounted UI."""
