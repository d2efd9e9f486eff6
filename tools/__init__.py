"""Programs that use the packages: the demo, the benchmarks."""
