"""Published benchmarks as data sets of this project's form, so that the same evaluation runs on them."""
