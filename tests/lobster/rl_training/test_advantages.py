"""What a failure weighs in a batch."""

import pytest
import torch

from lobster.rl_training.advantages import without_outliers


def test_a_failure_is_no_louder_than_three_spreads():
    group = torch.tensor([0.1, -0.2, 0.3, -0.1, 0.2, 0.0, -0.3, -6.0])
    bounded = without_outliers(torch.cat([group, group * 10]), 8)
    assert bounded.unflatten(0, (2, 8)).sum(1).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert bounded[:8].argsort().tolist() == group.argsort().tolist()
    assert -1.5 < bounded[7] < -0.8
    assert bounded[15] == pytest.approx(10 * bounded[7].item(), rel=1e-5)


def test_groups_without_a_spread_are_left_as_they_are():
    mostly_failures = torch.tensor([-1.0, -1.0, -1.0, -1.0, 4.0])
    assert torch.equal(without_outliers(mostly_failures, 5), mostly_failures)
