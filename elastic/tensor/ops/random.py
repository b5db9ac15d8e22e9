"""Ops with chance in them."""
