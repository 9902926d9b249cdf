"""Build a table of the paper from result records alone; imports no torch."""

import logging
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from anomask.config import CONF_FOLDER, register
from anomask.entry import user_errors
from anomask.errors import ConfigError
from anomask.files import write_text
from anomask.report.columns import COLUMNS
from anomask.report.paper_table import read_rows
from anomask.report.table_formats import as_csv, footnote, latex, markdown
from anomask.schemas import TablesConfig

log = logging.getLogger(__name__)
register()


def build(config: TablesConfig) -> Path:
    """Build one table and write it as Markdown, LaTeX and CSV.

    Args:
        config: see `conf/tables.yaml`.

    Returns:
        the Markdown file

    Raises:
        ConfigError: an unknown column.
        RunError: records that are missing or damaged.
    """
    names = list(config.paper_table.columns)
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise ConfigError(f"table column {', '.join(unknown)} is unknown; use some of {', '.join(COLUMNS)}.")
    folder = Path(config.records)
    rows = read_rows(folder, list(config.paper_table.rows))
    title = f"Table {config.paper_table.number}. {config.paper_table.title}: {folder.name}"
    about, stem = footnote(rows), f"table{config.paper_table.number}"
    text = markdown(title, rows, names, about)
    folder = Path(config.output)
    write_text(folder / f"{stem}.tex", latex(title, rows, names, about))
    write_text(folder / f"{stem}.csv", as_csv(rows, names))
    write_text(folder / f"{stem}.md", text)
    sys.stdout.write(text)
    log.info("%s (also .tex and .csv)", folder / f"{stem}.md")
    return folder / f"{stem}.md"


@hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name="tables")
def main(config: DictConfig) -> None:
    """Compose the settings from conf/tables.yaml and the command line, and build the table."""
    with user_errors():
        build(config)


if __name__ == "__main__":
    main()
