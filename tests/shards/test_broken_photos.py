"""A photo whose bytes in a shard were overwritten: the training names it and the shard."""

import pytest

from src.common.errors import UserError
from src.data_augmentation_parallel import PhotoBatches
from tests.helpers.fuzz_kinds import KINDS


def test_the_shard_of_a_broken_photo_is_named(tmp_path):
    KINDS["mindrecord"](tmp_path)
    shard = tmp_path / "shards" / "train.mindrecord000"
    content = shard.read_bytes()
    photo = content.rindex(b"\xff\xd8\xff")
    shard.write_bytes(content[:photo] + bytes(200) + content[photo + 200 :])
    with pytest.raises(UserError, match=rf"photo \w+ in {shard} is no JPEG; copy the shard"):
        list(PhotoBatches(shard, image_size=33, batch_size=1).batches())
