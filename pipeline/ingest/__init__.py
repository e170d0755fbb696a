"""Files to partitions of typed columns with row ids, sets and labels."""
