"""Verify programs: files and callables whose weights are fixed, such as exported layers."""
