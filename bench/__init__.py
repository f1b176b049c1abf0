"""Speed and quality beside the libraries that people use today. `python -m bench` runs all and writes RESULTS.md."""
