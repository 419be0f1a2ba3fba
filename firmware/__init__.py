"""The C for the card's soft core, and what builds it."""
