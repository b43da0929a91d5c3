"""Do the course, or grade a class: python -m exercises"""

from command_line.imports import exit_on_ctrl_c

if __name__ == "__main__":
    with exit_on_ctrl_c("exercises"):
        from exercises.command import run
    run()
