"""Claims and what became of them: recipes trained beside their baselines, and the ledger that comes out."""
