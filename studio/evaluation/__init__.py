"""The evaluation process: what models answered on the held-out set, measured, compared and said in plain words."""
