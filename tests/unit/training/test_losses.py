"""Likelihoods of training: where they are computed in bfloat16."""

import pytest
import torch

from crystalformer_rl.training.losses import has_bfloat16


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_only_where_the_card_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """A Turing card says that it supports bfloat16, which it emulates."""

    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_bfloat16(torch.device("cuda")) is native
    assert not has_bfloat16(torch.device("cpu"))
