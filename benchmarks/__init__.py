"""One script a claim: each measures, prints, and writes benchmarks/results/<name>.json."""
