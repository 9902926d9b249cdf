"""The paper's tables from result records alone: rows, columns, paired tests, formats. Knows no torch."""
