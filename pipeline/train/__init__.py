"""Models over float32 matrices: parameters, training, files; one package for each model.

Modules here import from artifacts, cluster, device, matrix, memory and below.
"""

import os

# XGBoost's OpenMP threads spin while they wait, and starve beside any other busy thread. 60 rounds
# on flights, 2 threads on 2 cores, one busy process beside them: 18 and 31 s; passive: 1.4 and
# 2.1 s. On idle cores: 0.56 s; passive: 0.67 s. The library reads it once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
