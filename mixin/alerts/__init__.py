"""The rules, their tests and what proves them."""
