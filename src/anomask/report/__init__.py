"""From scored slices to what people read: the result record, tables and a page with pictures."""
