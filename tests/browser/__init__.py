"""Tests in a real browser. A package, so that fixtures end with it."""
