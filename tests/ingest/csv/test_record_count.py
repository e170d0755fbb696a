"""Records of files in which values hold newlines."""

import random

from pipeline.config.model import Source
from pipeline.ingest.blocks import BlockGroup, plan_blocks
from pipeline.ingest.csv.record_count import RecordCounter
from pipeline.ingest.schema import infer_contract


def test_chunks_of_any_size_give_the_same_number():
    text = b'1,"a\nb"\n\n2,c\r\n\r\n3,"d\r\n""e""\n\n"\n4,f\n5,g'
    chance = random.Random(0)
    for _ in range(300):
        counter, at = RecordCounter('"'), 0
        while at < len(text):
            size = chance.randint(1, 9)
            counter.add(text[at : at + size])
            at += size
        assert counter.total() == 5


def test_records_are_counted_and_not_lines(tmp_path):
    rows = "".join(f'{i},"two\nlines"\n{i},one\n' for i in range(20))
    (tmp_path / "a.csv").write_text("n,s\n" + rows)
    blocks = plan_blocks(infer_contract(Source(path=str(tmp_path / "a.csv"))))
    assert sum(block.rows for block in blocks) == 60
    assert BlockGroup(tuple(blocks)).records == 40
