"""Programs that use the packages: the demo and the benchmarks."""
