"""Show what a recurrent layer computes: python -m gate_explorer runs/NAME --index 7"""

from command_line.imports import clean_imports, fast_imports

PROGRAM = "gate_explorer"

if __name__ == "__main__":
    with clean_imports(PROGRAM):
        from command_line.program import clean_exit, parse_arguments
        from gate_explorer.arguments import Arguments
    with clean_exit(PROGRAM):
        arguments = parse_arguments(Arguments, "python -m gate_explorer")
        with fast_imports(PROGRAM):
            from gate_explorer.show import show
        show(arguments)
