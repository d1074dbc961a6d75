"""What every schedule promises: each layer in exactly one stage, the same stages from the same seed."""

import pytest

from semalign.schedules.deep_to_shallow import DeepToShallow
from semalign.schedules.frontier import Frontier
from semalign.schedules.joint import Joint
from semalign.schedules.random_order import RandomOrder
from semalign.strategy import available

LAYERS = [1, 2, 5, 6, 9]


@pytest.fixture(params=available("schedule").values(), ids=lambda cls: cls.name)
def schedule(request):
    return request.param()


@pytest.mark.parametrize("layers", [LAYERS, [3], list(range(17))])
def test_every_layer_trains_in_exactly_one_stage(schedule, layers):
    stages = schedule.stages(layers)
    assert sorted(layer for stage in stages for layer in stage) == layers
    assert all(stages)


def test_the_same_schedule_gives_the_same_stages(schedule):
    assert schedule.stages(LAYERS) == schedule.replace().stages(LAYERS)


def test_joint_is_one_stage():
    assert Joint().stages(LAYERS) == [tuple(LAYERS)]


def test_the_frontier_moves_up_and_its_control_down():
    assert Frontier().stages(LAYERS) == [(1,), (2,), (5,), (6,), (9,)]
    assert DeepToShallow().stages(LAYERS) == [(9,), (6,), (5,), (2,), (1,)]


def test_a_random_order_depends_on_the_seed_alone():
    orders = [RandomOrder(seed=seed).stages(LAYERS) for seed in range(20)]
    assert len({tuple(order) for order in orders}) > 10
    assert RandomOrder().seeded(3).stages(LAYERS) == orders[3]
    assert RandomOrder(seed=5).seeded(3).stages(LAYERS) == orders[5]
