"""Running a recipe: building, the loop, checkpoints, evaluation. This package imports torch."""
