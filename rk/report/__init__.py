"""What is said of finished runs: summaries, comparisons, curves and pages. Imports no torch."""
