"""Verify a recurrent cell or layer: python -m cell_verifier FILE.py:NAME --against lstm"""

from command_line.imports import clean_imports

if __name__ == "__main__":
    with clean_imports("cell_verifier"):
        from cell_verifier.command import run
    run()
