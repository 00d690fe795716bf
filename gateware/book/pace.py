"""How closely operations follow each other through the book: what its front promises, and what stands behind it needs."""

#: Cycles from an operation of one order or slot to the next operation of any kind, and back, at least.
APART_CYCLES = 2
