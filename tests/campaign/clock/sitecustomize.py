"""Read by every Python that starts under libfaketime: ``time.sleep`` goes another way.

Since Python 3.11 it waits with ``clock_nanosleep`` until a moment of the steady clock, which
libfaketime 0.9.10 answers with EINVAL whatever the clock says.
"""

import select
import time

time.sleep = lambda seconds: (select.select([], [], [], seconds), None)[1]
