"""The GPU's implementation of `pipeline.device`; imported only after a GPU is chosen.

`errors` is the exception: it needs no GPU library, so any module may import it.
"""
