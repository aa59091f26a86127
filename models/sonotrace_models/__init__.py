"""Training, evaluation and export of sonotrace's networks.

Every network input and every packed image has `SIZE` pixels along a side. A *grid* position is a pixel index in it:
integers are pixel centres, x points right and y down.
"""

SIZE = 256
OBJECTS_MAX = 10
"""Objects that can be followed at once."""
