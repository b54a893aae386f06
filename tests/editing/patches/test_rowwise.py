"""Row-wise edits: where a codebook answers."""

import torch

from editing.patches.patch import Codebook
from editing.patches.rowwise import codebook, stacked_codebooks


def test_only_the_nearest_entry_within_its_radius_answers() -> None:
    keys = torch.tensor([[[0.0, 0.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    values = torch.tensor([[[1.0], [2.0]], [[5.0], [6.0]]])
    radii = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    edit = codebook(keys, values, radii)
    x = torch.tensor([[0.5, 0.0], [1.5, 0.0], [2.5, 0.0]])
    found = edit(torch.stack([x, x]), torch.zeros(2, 3, 1), torch.tensor([0, 1]))
    assert found[..., 0].tolist() == [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]


def test_codebooks_of_different_sizes_and_users_without_one_share_a_batch() -> None:
    one = Codebook(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0]]), torch.tensor([0.1]))
    two = Codebook(torch.tensor([[9.0, 9.0], [0.0, 0.0]]), torch.tensor([[7.0], [8.0]]), torch.tensor([0.1, 0.1]))
    edit = stacked_codebooks([{"m": one}, {}, {"m": two}], torch.zeros(1))["m"]
    found = edit(torch.zeros(3, 1, 2), torch.zeros(3, 1, 1), torch.arange(3))
    assert found.flatten().tolist() == [1.0, 0.0, 8.0]
