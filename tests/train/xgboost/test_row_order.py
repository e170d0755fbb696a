"""Rows that trees keep together lie side by side, in an order that no division into blocks changes."""

from functools import partial

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from list_feed import FEATURES, TARGETS, feed_of

from pipeline.errors import DataError
from pipeline.matrix import Matrix
from pipeline.train import model
from pipeline.train.fitted_model import TrainingOptions
from pipeline.train.model import parse_models
from pipeline.train.xgboost import quantile_matrix, row_order

NATIVE = {"objective": "binary:logistic", "max_depth": 4, "max_bin": 256, "nthread": 2}


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(row_order, "CHUNK_ROWS", 64)
    monkeypatch.setattr(quantile_matrix, "LEAST_ROWS", 1000)
    monkeypatch.setattr(quantile_matrix, "SAMPLE_ROWS", 300)


def make_block(key):
    """Return rows whose only feature is their key, with labels and weights that name the row."""
    ids = np.arange(len(key))
    return Matrix(np.array(key, "float32")[:, None], ids * 1.0, ids * 2.0, ids)


def make_bins(block):
    types = [feature.kind for feature in FEATURES]
    return xgb.QuantileDMatrix(block.x, block.label, feature_types=types, enable_categorical=True)


def order(blocks):
    """Return the columns of all chunks, and the rows of each."""
    orders = {}
    passes = [
        list(row_order.iter_ordered_blocks(lambda: iter(blocks), lambda x: x[:, 0], orders))
        for _ in range(2)
    ]
    chunks, again = passes  # the second pass sorts by the orders of the first one
    assert [chunk.ids.tolist() for chunk in chunks] == [chunk.ids.tolist() for chunk in again]
    columns = [np.concatenate(column) for column in zip(*chunks, strict=True)] if chunks else []
    return columns, [len(chunk.x) for chunk in chunks]


@given(key=st.lists(st.integers(0, 5), max_size=300), cuts=st.lists(st.integers(0, 300)))
def test_the_order_does_not_depend_on_the_blocks(key, cuts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_order, "CHUNK_ROWS", 64)
        whole = make_block(key)
        cuts = sorted(min(cut, len(key)) for cut in cuts)
        pairs = zip([0, *cuts], [*cuts, len(key)], strict=True)
        parts = [Matrix(*(column[start:end] for column in whole)) for start, end in pairs]
        expected, sizes = order([whole])
        columns, sizes_of_parts = order(parts)
        assert sizes == sizes_of_parts
        for one, other in zip(expected, columns, strict=True):
            assert one.tobytes() == other.tobytes()
        if key:
            x, label, weight, ids = expected
            assert sorted(ids) == list(range(len(key))), "each row once"
            assert (x[:, 0] == np.array(key)[ids]).all()
            assert (label == ids).all()
            assert (weight == 2 * ids).all()
            for start in range(0, len(key), 64):
                chunk = slice(start, start + 64)
                assert sorted(ids[chunk]) == list(range(start, min(start + 64, len(key))))
                pairs_in_chunk = list(zip(x[chunk, 0], ids[chunk], strict=True))
                assert pairs_in_chunk == sorted(pairs_in_chunk), "equal keys keep their order"


@pytest.mark.parametrize("task", list(TARGETS))
def test_the_key_has_one_number_per_row_and_groups_the_rows(task):
    feed = feed_of(task)
    objective = {"multiclass": {"objective": "multi:softprob", "num_class": 3}}
    objective["regression"] = {"objective": "reg:squarederror"}
    (block,) = feed.blocks("train")
    key = row_order.fit_row_key(make_bins(block), NATIVE | objective.get(task, {}))(block.x)
    assert key.shape == (len(block.x),)
    assert len(np.unique(key)) > 3
    # The strongest feature differs less in a leaf than among all rows.
    spread = np.mean([block.x[key == leaf, 1].std() for leaf in np.unique(key)])
    assert spread < 0.8 * block.x[:, 1].std()


def test_a_sample_of_one_class_gives_one_key():
    (block,) = feed_of("binary").blocks("train")
    one_class = block._replace(label=np.ones(len(block.x)))
    key = row_order.fit_row_key(make_bins(one_class), NATIVE)(block.x)
    assert np.isfinite(key).all()


@pytest.mark.parametrize("task", list(TARGETS))
@pytest.mark.usefixtures("small_chunks")
def test_the_model_is_the_same_for_any_blocks_in_memory_and_on_disk(task, tmp_path, monkeypatch):
    monkeypatch.setattr(quantile_matrix, "page_rows", lambda rows, features: 250)
    parsed = parse_models({"xgboost": {"rounds": 10, "max_depth": 4}})["xgboost"]
    fit = partial(model.train, "xgboost", parsed)
    feed = feed_of(task)
    models = [fit(feed.split(parts), TrainingOptions(0, 2)) for parts in (1, 3, 17)]
    models.append(fit(feed.split(5), TrainingOptions(0, 2, cache=tmp_path / "bins")))
    models.append(fit(feed.split(5), TrainingOptions(0, 1)))
    assert len({bytes(m.content.save_raw("ubj")) for m in models}) == 1


@pytest.mark.parametrize("bins", ["of all rows", "of a sample"])
@pytest.mark.usefixtures("small_chunks")
def test_only_many_rows_on_a_cpu_are_sorted(bins, monkeypatch):
    if bins == "of a sample":
        monkeypatch.setattr(quantile_matrix, "EXACT_BELOW", 1000)
        monkeypatch.setattr(quantile_matrix, "BIN_ROWS", 600)
    sorted_sets = []

    def record(start_pass, key, orders):
        sorted_sets.append(key)
        return row_order.iter_ordered_blocks(start_pass, key, orders)

    monkeypatch.setattr(quantile_matrix, "iter_ordered_blocks", record)
    params = parse_models({"xgboost": {}})["xgboost"]

    def build(rows):
        feed = feed_of("binary", rows)
        quantile_matrix.build_matrices(
            params, feed, {**NATIVE, "device": "cpu"}, seed=0, notes=[], cache=None
        )
        return len(sorted_sets)

    assert build(999) == 0
    assert build(1500) > 0


@pytest.mark.usefixtures("small_chunks")
def test_an_infinite_value_in_the_sample_is_reported_by_its_feature():
    feed = feed_of("binary")
    feed.sets["train"][0][:, 1] = np.inf
    params = parse_models({"xgboost": {}})["xgboost"]
    with pytest.raises(DataError, match="'größe' has infinite values in the train set"):
        model.train("xgboost", params, feed, TrainingOptions(0, 2))


@pytest.mark.usefixtures("small_chunks")
def test_the_bins_are_those_of_the_rows_in_any_order():
    x = np.random.default_rng(0).normal(size=(2000, 4)).astype("float32")
    block = Matrix(x, x[:, 0] * 1.0, None, np.arange(2000))
    chunks = list(row_order.iter_ordered_blocks(lambda: iter([block]), lambda x: x[:, 1], {}))
    ordered = np.concatenate([chunk.x for chunk in chunks])
    cuts = [xgb.QuantileDMatrix(rows).get_quantile_cut()[1] for rows in (x, ordered)]
    np.testing.assert_array_equal(*cuts)
