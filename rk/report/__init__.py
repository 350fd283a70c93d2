"""Reports on finished runs: summaries, comparisons, curves and pages. Imports no torch."""
