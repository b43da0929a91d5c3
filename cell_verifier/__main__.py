"""Verify a recurrent cell or layer: python -m cell_verifier FILE.py:NAME --against lstm"""

from command_line.imports import exit_on_ctrl_c

if __name__ == "__main__":
    with exit_on_ctrl_c("cell_verifier"):
        from cell_verifier.command import run
    run()
