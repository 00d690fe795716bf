"""How closely operations follow each other through the book: promised by its front, needed by what is behind it."""

#: Cycles from an operation of one order or slot to the next operation of any kind, and back, at least.
APART_CYCLES = 2
