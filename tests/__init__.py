"""The tests of atlas_lab."""
