"""Served models: what they are asked, what is in production, and when they are trained anew."""
