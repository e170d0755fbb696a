"""The columns of the job on complete flights, which ``benchmarks/dense.yaml`` describes for us."""

TEXT = ["carrier", "tailnum", "origin", "dest"]
ENCODED, CODED = ["tailnum", "dest", "flight"], ["carrier", "origin"]
NUMERIC = [
    "month", "day", "sched_dep_time", "sched_arr_time", "dep_delay", "distance", "hour",
]  # fmt: skip
NUMBERS = [*NUMERIC, "flight", "arr_delay"]
COLUMNS = [*NUMBERS, *TEXT, "time_hour"]
FEATURES = [*NUMERIC, "weekday", *ENCODED, *CODED]
