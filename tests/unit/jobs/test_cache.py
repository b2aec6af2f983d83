"""The cache: values outlive the process, each in the journal of its shard."""

import hashlib
from pathlib import Path

import pytest

from crystalformer_rl.jobs.cache import BUCKETS, Cache, bucket_of, shard_of

KEY = {"potential": "00ff"}
DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)]


def test_what_was_put_is_found_by_the_next_process(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", key=KEY)
    values = {digest: number / 7 for number, digest in enumerate(DIGESTS[:20])}
    for digest, value in values.items():
        assert cache.get(digest) is None
        cache.put(digest, value)
        assert cache.get(digest) == value
    again = Cache(tmp_path / "cache", key=KEY)
    assert {digest: again.get(digest) for digest in DIGESTS[:21]} == values | {DIGESTS[20]: None}
    other = Cache(tmp_path / "cache", key={"potential": "another"})
    assert all(other.get(digest) is None for digest in values)


def test_asking_writes_nothing(tmp_path: Path) -> None:
    assert Cache(tmp_path / "cache", key=KEY).get(DIGESTS[0]) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shards", [1, 3, 32, BUCKETS])
def test_two_shards_never_share_a_journal(shards: int) -> None:
    owners = {(bucket_of(digest), shard_of(digest, shards)) for digest in DIGESTS}
    assert len({bucket for bucket, _ in owners}) == len(owners)
    assert {shard for _, shard in owners} == set(range(shards))
