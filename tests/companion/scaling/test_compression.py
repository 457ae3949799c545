"""Compressed displacements: what is sent, how wrong it is, and that nothing is lost for good."""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch

from companion.running.distributed import Ranks
from companion.scaling.compression import CHUNK, Compressed, Int8, TopK, message_bytes
from metalib.errors import InputError
from tests.tolerances import EXACT

N = 5_000
VECTOR = torch.randn(N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@dataclass(frozen=True)
class OneRank(Ranks):
    """A rank that is alone and needs no process group."""

    def gather(self, parts):
        return [parts]

    def mean(self, update, values):
        return update, values


@contextmanager
def sent(compression, feedback: bool, times: int):
    share = Compressed.of(OneRank(), compression, feedback=feedback)
    update = {"a": VECTOR[:1_000].view(10, 100), "b": VECTOR[1_000:]}
    means = [share.mean(update, torch.zeros(1))[0] for _ in range(times)]
    assert means[0]["a"].shape == (10, 100)
    assert means[0]["a"].dtype == torch.float64
    yield share, torch.stack([torch.cat([mean["a"].flatten(), mean["b"]]) for mean in means])


def test_eight_bits_are_wrong_by_at_most_half_a_step_of_their_chunk():
    decoded = Int8().decode(Int8().encode(VECTOR), N).double()
    chunks = torch.nn.functional.pad(VECTOR, (0, -N % CHUNK)).view(-1, CHUNK)
    largest = chunks.abs().amax(1).repeat_interleave(CHUNK)[:N]
    error = (decoded - VECTOR).abs() / largest
    assert error.max() <= 1 / 254 * (1 + 1e-4)
    assert error.max() > 1 / 300, "the bound is tight"
    assert Int8().decode(Int8().encode(torch.zeros(3)), 3).tolist() == [0, 0, 0]


def test_the_largest_numbers_arrive_and_the_others_are_zero(device):
    decoded = TopK(0.1).decode(TopK(0.1).encode(VECTOR.to(device)), N).cpu()
    arrived = decoded != 0
    assert arrived.sum() == 500
    assert VECTOR[arrived].abs().min() >= VECTOR[~arrived].abs().max()
    torch.testing.assert_close(decoded[arrived], VECTOR[arrived].float())


def test_messages_are_a_quarter_and_a_fiftieth_of_float32():
    assert message_bytes(None, N) == 4 * N
    assert message_bytes(Int8(), N) == 5 * CHUNK + 5 * 4
    assert message_bytes(TopK(0.01), N) == 50 * 8


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(InputError, match="send a share in"):
        TopK(share)


def test_with_feedback_what_was_left_out_is_sent_later_and_without_it_never():
    """Of the same displacement sent T times, the sum that arrives lacks only the last residual."""
    with sent(TopK(0.1), True, 40) as (share, arrived):
        lacking = 40 * VECTOR - arrived.sum(0)
        torch.testing.assert_close(lacking, share._residual[0], rtol=0, atol=40 * EXACT * VECTOR.abs().max())
        assert lacking.norm() < 40 * VECTOR.norm() / 5
    with sent(TopK(0.1), False, 40) as (_, arrived):
        assert (40 * VECTOR - arrived.sum(0)).norm() > 40 * VECTOR.norm() / 2


def test_the_error_of_every_message_is_noted():
    with sent(Int8(), False, 3) as (share, arrived):
        error = float((arrived[0] - VECTOR).norm() / VECTOR.norm())
        assert share.errors == pytest.approx([error] * 3)
        assert 0.001 < error < 0.01
