"""Move out of a `Scan` what need not run in every step."""
