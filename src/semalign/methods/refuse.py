"""Options of a method that contradict each other, or that have no effect beside the others: each one line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..basis import Basis
from ..errors import UserError
from ..losses import Loss
from ..losses.divergence import Divergence
from ..models import LanguageModel, check_layer_site, shared_tokens, tokenizers_agree
from ..schedules.base import Sequential
from ..strategy import available

if TYPE_CHECKING:
    from .semalign import SemAlign


def refuse_without_effect(method: "SemAlign") -> None:
    """Raise UserError for the first such option."""
    _layers(method)
    _targets(method)
    _lengths(method)
    if method.part == "encoder":
        _encoder(method)
    if method.start != "zero" and isinstance(method.schedule, Sequential):
        raise UserError(
            f"'start: {method.start}' needs all layers at once, but schedule '{method.schedule.name}' trains them one "
            "after the other; leave one of the two out"
        )
    if method.balance and not method.outputs:
        raise UserError("'balance' has no effect on a single term; name an output under 'outputs', or leave it out")


def refuse_part(method: "SemAlign", teacher: LanguageModel, student: LanguageModel) -> None:
    """Raise UserError where an encoder's layers are to be paired that is not there, or cannot be ranked."""
    if method.part == "decoder":
        return
    if not student.is_encoder_decoder:
        raise UserError(
            f"'part: encoder' pairs the layers of an encoder-decoder student's encoder, but {student.name} is "
            "decoder-only; leave it out"
        )
    if method.pairing.uses_attribution and teacher.is_encoder_decoder:
        raise UserError(
            f"pairing '{method.pairing.name}' ranks the teacher's decoder layers, but 'part: encoder' follows those of "
            f"{teacher.name}'s encoder; use depth, monotone_cka or another pairing without an attribution"
        )


def refuse_twice(outputs: Sequence[Loss]) -> None:
    """Terms are told apart by their names, so each loss may stand once."""
    names = [output.name for output in outputs]
    if len(set(names)) < len(names):
        raise UserError(f"'outputs' names a loss twice: {', '.join(names)}; give it once with its 'weight'")


def refuse_states(outputs: Sequence[Loss]) -> None:
    """Outputs are compared with gold answers or with the teacher's logits, never with states."""
    states = [output.name for output in outputs if output.target == "state"]
    if states:
        raise UserError(f"'outputs' compare outputs, but '{states[0]}' compares states; use method 'semalign'")


def losses_on_logits() -> str:
    """The names of all losses that look at the teacher's logits, for messages."""
    return ", ".join(
        name for name, loss in available("loss").items() if getattr(loss, "target", "") == "teacher_logits"
    )


def refuse_tokens(losses: Sequence[Loss], teacher: LanguageModel, student: LanguageModel) -> None:
    """Raise UserError where a divergence asks for more tokens than both models have, or for what both have alike."""
    first = [loss.name for loss in losses if loss.compares == "first_token"]
    if first and tokenizers_agree(teacher, student).agree:
        raise UserError(
            f"loss '{first[0]}': 'vocabulary: first_token' has no effect, {teacher.name} and {student.name} have one "
            "tokenizer; leave it out"
        )
    asked = {loss.name: loss.top_k for loss in losses if isinstance(loss, Divergence) and loss.top_k is not None}
    if not asked:
        return
    n_token = len(shared_tokens(teacher, student))
    for name, k in asked.items():
        if k > n_token:
            raise UserError(
                f"loss '{name}': 'top_k' is {k}, but the two models share {n_token} tokens; "
                "lower it, or leave it out for all of them"
            )


def refuse_pieces(basis: Basis, teacher: LanguageModel, student: LanguageModel) -> None:
    """Raise UserError where a map is to be fitted on tokens in pieces, but no token is."""
    if basis.rows_in_pieces is not None and tokenizers_agree(teacher, student).agree:
        raise UserError(
            f"basis '{basis.name}': 'pieces' has no effect, {teacher.name} and {student.name} have one tokenizer; "
            "leave it out"
        )


def _layers(method: "SemAlign") -> None:
    if method.attribution is not None and not method.pairing.uses_attribution:
        raise UserError(f"pairing '{method.pairing.name}' does not look at an attribution; leave 'attribution' out")
    check_layer_site(method.site)
    if method.loss.target == "teacher_logits" and method.site != "block_out":
        raise UserError(
            f"loss '{method.loss.name}' reads a layer through the final norm and the head, and only the state after a "
            f"block can be read so; set 'site: block_out', not '{method.site}'"
        )


def _encoder(method: "SemAlign") -> None:
    """An encoder's layers are not on the way from the decoder's input to the head."""
    if method.loss.target == "teacher_logits":
        raise UserError(
            f"loss '{method.loss.name}' reads a layer through the final norm and the head, which read no state of an "
            "encoder; with 'part: encoder' use cosine, mse or another loss of states"
        )
    if method.agreement:
        raise UserError("'agreement' goes by what the decoder predicts; leave it out with 'part: encoder'")
    if isinstance(method.schedule, Sequential):
        raise UserError(
            f"schedule '{method.schedule.name}' goes through the decoder's layers; with 'part: encoder' use joint"
        )


def _targets(method: "SemAlign") -> None:
    if method.loss.target == "labels":
        raise UserError(
            f"'loss' compares with a teacher layer, but '{method.loss.name}' with gold answers; name it under 'outputs'"
        )
    if method.loss.compares == "first_token":
        raise UserError(f"'vocabulary: first_token' is for outputs; name loss '{method.loss.name}' under 'outputs'")
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
