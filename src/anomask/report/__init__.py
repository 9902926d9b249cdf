"""From scored slices to what people read: records, tables and pages, one room each."""
