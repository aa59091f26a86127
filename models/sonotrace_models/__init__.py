"""Training, evaluation and export of sonotrace's networks.

Side of every network's input, and of every packed image, is `SIZE` pixels. A *grid* position is a pixel index on it,
whole at pixel centres, x to the right and y down.
"""

SIZE = 256
