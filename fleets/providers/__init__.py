"""Ways to a car: one contract (`base`), one adapter a provider, one throttle."""
