"""Arrow's columns as pandas': text keeps no more than its words and codes."""

from __future__ import annotations

import pyarrow as pa

from pipeline.ingest.arrow_to_frame import to_categorical


def test_text_is_codes_and_words_and_nothing_that_a_check_left():
    text = pa.chunked_array([pa.array(["b", None, "a", "b"]), pa.array(["c", "ü"])])
    made = to_categorical(text)
    assert list(made.codes) == [0, -1, 1, 0, 2, 3]
    assert list(made.categories) == ["b", "a", "c", "ü"] and made.categories.dtype == "str"
    assert not {"_engine", "array"} & set(made.categories._cache)
    encoded = to_categorical(text.dictionary_encode())
    assert list(encoded.codes) == list(made.codes)
