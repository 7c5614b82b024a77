"""The inputs that a fuzzer found worth keeping: each does what no other does. See http2_fuzzing.py."""

from __future__ import annotations

from random import Random

from protocol.http2_fuzzing import check, read_corpus, seeds, signature


def test_whatever_is_sent_is_borne_and_means_the_same_in_any_pieces():
    random = Random(0)
    corpus = read_corpus()
    assert len(corpus) > 100
    found = {signature(check(role, data, random)) for role, data in [*seeds(), *corpus]}
    assert len(found) > 100
