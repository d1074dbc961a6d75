"""Options of SemAlign that contradict each other, or that have no effect beside the others: each one line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UserError
from ..losses import Loss
from ..models import check_layer_site

if TYPE_CHECKING:
    from .semalign import SemAlign


def refuse_without_effect(method: "SemAlign") -> None:
    """Raise UserError for the first such option."""
    _layers(method)
    _targets(method)
    _lengths(method)
    if method.balance and not method.outputs:
        raise UserError("'balance' has no effect on a single term; name an output under 'outputs', or leave it out")


def refuse_twice(outputs: Sequence[Loss]) -> None:
    """Terms are told apart by their names, so each loss may stand once."""
    names = [output.name for output in outputs]
    if len(set(names)) < len(names):
        raise UserError(f"'outputs' names a loss twice: {', '.join(names)}; give it once with its 'weight'")


def _layers(method: "SemAlign") -> None:
    if method.attribution is not None and not method.pairing.uses_attribution:
        raise UserError(f"pairing '{method.pairing.name}' does not look at an attribution; leave 'attribution' out")
    check_layer_site(method.site)
    if method.loss.target == "teacher_logits" and method.site != "block_out":
        raise UserError(
            f"loss '{method.loss.name}' reads a layer through the final norm and the head, and only the state after a "
            f"block can be read so; set 'site: block_out', not '{method.site}'"
        )


def _targets(method: "SemAlign") -> None:
    if method.loss.target == "labels":
        raise UserError(
            f"'loss' compares with a teacher layer, but '{method.loss.name}' with gold answers; name it under 'outputs'"
        )
    for output in method.outputs:
        if output.target == "state":
            raise UserError(f"'outputs' compare outputs, but '{output.name}' compares states; name it as 'loss'")
    refuse_twice(method.outputs)


def _lengths(method: "SemAlign") -> None:
    loss, basis = method.loss, method.basis
    if method.norm != "map" and not loss.sees_norm:
        raise UserError(f"'norm: {method.norm}' has no effect: loss '{loss.name}' does not see the length of a target")
    if loss.name == "mse" and method.norm == "map" and not basis.keeps_norm:
        raise UserError(
            f"loss 'mse' compares lengths, but basis '{basis.name}' throws them away; set 'norm: teacher' or "
            "'norm: student', or use basis 'logit' or 'ridge'"
        )
