from dataclasses import replace

import numpy as np

from pipeline.features.op import Rows


def rows_of(device, n=1000, rate=0.25):
    return Rows(device, device.to_device(np.arange(n, dtype="int64")), sample_rate=rate)


def test_the_sample_is_the_rows_whose_hash_lies_below_the_rate(device):
    rows = rows_of(device)
    hashes = device.hash_ints(rows.ids, rows.seed + 2)
    assert bool((rows.sample_mask() == (hashes < 2**30)).all())
    assert bool(rows_of(device, rate=1.0).sample_mask().all())
    assert len(rows_of(device, n=0, rate=1.0).sample_mask()) == 0


def test_rows_are_hashed_once_however_many_columns_ask(device, monkeypatch):
    rows, hashed, hash_ints = rows_of(device), [], device.hash_ints
    monkeypatch.setattr(
        device, "hash_ints", lambda values, seed: hashed.append(seed) or hash_ints(values, seed)
    )
    first, again = rows.sample_mask(), rows.sample_mask()
    assert bool((first == again).all())
    assert len(hashed) == 1


def test_other_rows_have_their_own_sample(device):
    rows = rows_of(device)
    before = int(rows.sample_mask().sum())
    assert int(replace(rows, sample_rate=0.75).sample_mask().sum()) > before
    assert int(replace(rows, seed=5).sample_mask().sum()) != 0
    assert not bool((replace(rows, seed=5).sample_mask() == rows.sample_mask()).all())
