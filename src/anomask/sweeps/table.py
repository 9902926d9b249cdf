"""Build a table of the paper from result records alone; imports no torch."""

import logging
import sys
from pathlib import Path

from anomask.errors import ConfigError
from anomask.files import write_text
from anomask.report.tables.columns import choose
from anomask.report.tables.formats import Filled, as_csv, footnote, latex, markdown, without_empty
from anomask.report.tables.rows import Resampling, cells, chosen_rows, read_rows
from anomask.settings.compose import CONF_FOLDER
from anomask.settings.schema import TableConfig, TablesConfig

log = logging.getLogger(__name__)


def build(config: TablesConfig) -> Path:
    """Build one table and write it as Markdown, LaTeX and CSV.

    Args:
        config: see `conf/tables.yaml`.

    Returns:
        the Markdown file

    Raises:
        ConfigError: an unknown column, row or reference row.
        RunError: records that are missing or damaged.
    """
    wanted, folder = config.paper_table, Path(config.records)
    chosen = chosen_rows(list(wanted.rows), config.rows, wanted.number)
    missing = [] if config.rows else [key for key in chosen if wanted.rows[key].pending and not _measured(folder / key)]
    titles = {key: wanted.rows[key].title for key in chosen if key not in missing}
    if wanted.against not in titles:
        raise ConfigError(f"the reference against={wanted.against} is no row; use one of {', '.join(titles)}.")
    rows = read_rows(folder, titles, remedy(wanted, folder.name))
    columns = choose(wanted.columns, next(iter(rows[0].records.values())))
    against = next(row for row in rows if row.key == wanted.against)
    figures = cells(rows, list(columns.values()), Resampling(against, config.bootstrap, config.seed))
    title = f"Table {wanted.number}. {wanted.title}: {folder.name}"
    filled = without_empty(Filled(title, columns, rows, figures, footnote(rows, against) + _without(missing)))
    # A table of some rows leaves the whole one alone.
    text, file = markdown(filled), Path(config.output) / f"table{wanted.number}{'_some' if config.rows else ''}.md"
    write_text(file.with_suffix(".tex"), latex(filled))
    write_text(file.with_suffix(".csv"), as_csv(filled))
    write_text(file, text)
    sys.stdout.write(text)
    log.info("%s (also .tex and .csv)", file)
    return file


def _measured(row: Path) -> bool:
    return any(row.glob("seed*/record.json"))


def _without(missing: list[str]) -> str:
    return f" No records yet: {', '.join(missing)}." if missing else ""


def remedy(table: TableConfig, evaluated: str) -> str:
    """Return the command that makes the records of a table on the data set or data folder of that name."""
    if table.target:
        return f"make {table.target}"
    known = (CONF_FOLDER / "data" / f"{evaluated}.yaml").is_file()
    data = f"DATA={evaluated}" if known else f"DATA=<trained on> FOLDER=<.../{evaluated}>"
    return f"make reproduce TABLE={table.number} {data}"
