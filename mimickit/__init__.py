"""MimicKit: trains physically simulated characters to imitate motion clips."""

import os

__version__ = "0.1.0"

# Idle OpenMP threads shall sleep, not spin: beside any other busy program, spinning threads made
# training on two cores twenty times slower. Read when torch is first imported, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
