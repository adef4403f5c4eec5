"""The dashboards and what proves them."""
