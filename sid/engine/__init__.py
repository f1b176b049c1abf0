"""Who runs a pass over the rows: this process, or Ray over several machines. Results are the same to the bit."""
