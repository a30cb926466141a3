"""Plain data that every stage shares; nothing here imports torch."""
