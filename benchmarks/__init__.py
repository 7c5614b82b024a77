"""Every claim about speed, side by side with the peers: `python -m benchmarks --help`, docs/performance.md."""
