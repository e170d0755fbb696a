"""`bench`: the same run on rows of several sizes and on both devices, side by side."""
