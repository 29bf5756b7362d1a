"""Timings, run by hand (`make bench`); no test asserts them."""
