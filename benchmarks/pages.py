"""Write a measured table into a page of the documentation, between two comments.

<!-- table NAME -->
...
<!-- end -->
"""

from pathlib import Path

from command_line.errors import ConfigError
from command_line.files import atomic_write

END = "<!-- end -->"


def write_table(page: Path, name: str, table: str) -> None:
    """Replace the table ``name`` of a page.

    Raises:
        ConfigError: the page has no such table.
    """
    text, start = page.read_text(), f"<!-- table {name} -->"
    before, found, rest = text.partition(start)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ConfigError(f"{page} has no table {name}: expected the lines {start} and {END}")
    with atomic_write(page) as file:
        file.write(f"{before}{start}\n\n{table}\n\n{END}{after}".encode())
