"""What metrics count in each row, so that any resample of the rows is scored by adding up (numpy; no torch)"""
