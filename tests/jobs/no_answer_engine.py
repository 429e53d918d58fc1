"""A stand-in for studio.inference that loads for ever: `python -m tests.jobs.no_answer_engine RUN_DIR`."""

import time

time.sleep(120)
