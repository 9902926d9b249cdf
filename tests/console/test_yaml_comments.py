"""Keys of a file with their values as written, and what is said beside and above them."""

from anomask.console.yaml_comments import Entry, entries, header

TEXT = """\
# @package data
# What the file is
# for.
defaults:
  - other

size: 128 # S, in pixels
name: "a # b"

# What follows is
# about places.
folder: ${paths.data}/x # where
list: [1, # in the middle
  2] # after it
part: # of two
  _target_: a.B
  window: {low: -1, high: 2}
items:
  - {a: 1}
  - b: [x, y]
    c: 3
empty:
"""


def test_values_are_as_written_with_the_comment_beside_them():
    assert header(TEXT) == "What the file is for."
    assert list(entries(TEXT, ("defaults",))) == [
        Entry("size", "128", "S, in pixels", ""),
        Entry("name", '"a # b"', "", ""),
        Entry("folder", "${paths.data}/x", "where", "What follows is about places."),
        Entry("list", "[1, # in the middle 2]", "after it", ""),
        Entry("part", None, "of two", ""),
        Entry("part._target_", "a.B", "", ""),
        Entry("part.window", "{low: -1, high: 2}", "", ""),
        Entry("items", "[{a: 1}, {b: [x, y], c: 3}]", "", ""),
        Entry("empty", "", "", ""),
    ]
