"""Words and blanks as Arrow's dictionaries hold them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.model import Csv
from pipeline.config.validation import validate
from pipeline.errors import ConfigError
from pipeline.ingest.csv.missing_words import DEFAULT_WORDS, is_blank, list_words, mask_words

cells = st.lists(
    st.sampled_from(["", " ", "\t", " \t ", " " * 50, "NA", "NAN", "é", " NA", "x", "\u00a0"])
)


@given(chunks=st.lists(cells, max_size=4), start=st.integers(0, 3))
def test_masked_are_the_words_and_blanks(chunks, start):
    """Also in slices, whose dictionaries hold values that no row has."""
    kind = pa.dictionary(pa.int32(), pa.string())
    arrays = [pa.array(cells, pa.string()).dictionary_encode().slice(start) for cells in chunks]
    masked = mask_words(pa.chunked_array(arrays, kind), ("", "NA"))
    expected = [None if c == "NA" or not c.strip(" \t") else c for cs in chunks for c in cs[start:]]
    assert masked.to_pylist() == expected
    assert all(is_blank(c) == (not c.strip(" \t")) for cs in chunks for c in cs)


def test_a_dictionary_without_words_is_not_copied():
    chunk = pa.array(["a", "b"] * 10).dictionary_encode()
    (masked,) = mask_words(pa.chunked_array([chunk]), DEFAULT_WORDS).chunks
    assert masked.dictionary.buffers()[2].address == chunk.dictionary.buffers()[2].address


def test_a_slice_of_a_dictionary():
    dictionary = pa.array(["zz", "NA", "b", ""]).slice(1)
    chunk = pa.DictionaryArray.from_arrays(pa.array(np.array([0, 1, 2], "int32")), dictionary)
    assert mask_words(pa.chunked_array([chunk]), ("", "NA")).to_pylist() == [None, "b", None]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ((), DEFAULT_WORDS),
        ("-", (*DEFAULT_WORDS, "-")),
        (["?", "NA"], (*DEFAULT_WORDS, "?")),
        ({"only": ["-"]}, ("", "-")),
        ({"only": []}, ("",)),
    ],
)
def test_words_of_the_config_add_to_the_default_ones(missing, words):
    assert list_words(Csv(missing=missing).missing) == words


@pytest.mark.parametrize("missing", [5, {"onli": ["a"]}, {"only": ["a"], "x": 1}, [1], None, {}])
def test_a_mistake_gives_one_message(missing):
    with pytest.raises(ConfigError, match=r"csv\.missing: must be a list of words, or {only: "):
        validate(Csv, {"missing": missing}, "data.csv")
