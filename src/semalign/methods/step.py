"""One training step as a module: the student runs, its states meet their targets, the loss comes back.

Everything the loss needs happens inside `forward`, so that engines which wrap the module (DDP, FSDP,
DeepSpeed) see one output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from ..data import Batch, Example
from ..errors import UserError
from ..losses import Loss
from ..losses.base import upcast
from ..models import FINAL, LanguageModel, Part, Point, Site, states_of, states_with_prompt, train_only
from ..models.sharding import is_sharded, through_outputs
from ..pairing import Pair
from .lens import lens_total
from .outputs import Asked, output_loss
from .positions import Positions, asked_positions, followed_positions
from .prefix import PrefixCache
from .teacher import Norm, Signals, SignalSource


@dataclass(frozen=True)
class Stage:
    """A part of a training: the student layers whose adapters train, and the pairs that pull."""

    layers: tuple[int, ...]
    pairs: tuple[Pair, ...]


class Step(nn.Module):
    """Student forward plus all loss terms. With no pairs it is plain fine-tuning on the output losses."""

    def __init__(
        self,
        student: LanguageModel,
        *,
        outputs: Sequence[Loss],
        stages: Sequence[Stage],
        layer_loss: Loss | None = None,
        site: Site = "mlp_out",
        norm: Norm = "map",
        signals: SignalSource | None = None,
        tokens: Int[Tensor, "n_token"] | None = None,
        first: Int[Tensor, "n_teacher"] | None = None,
        cache: bool = False,
        balanced: bool = False,
        taught: Positions = "answer",
        labelled: Positions = "answer",
        part: Part = "decoder",
    ) -> None:
        """`taught`: positions where the teacher is followed; `labelled`: those where gold tokens are asked for. The
        pairs' layers are those of the student's `part`; an encoder's follow the teacher on the prompt.

        `tokens` are those that both models have, `first` the student's that each of the teacher's begins with.
        """
        super().__init__()
        self.module = student.module
        self.student, self.signals, self.tokens, self.first = student, signals, tokens, first
        self.outputs, self.layer_loss = tuple(outputs), layer_loss
        self.site: Site = site
        self.norm: Norm = norm
        self.stages, self.stage = tuple(stages), stages[0]
        self.balanced = balanced
        self.taught: Positions = taught
        self.labelled: Positions = labelled
        self.part: Part = part
        self.prefix = PrefixCache(student) if cache else None
        self.weights = self._given_weights()

    @property
    def n_stage(self) -> int:
        return len(self.stages)

    def enter(self, stage: int) -> None:
        """Begin a stage: its layers train, the others stand still. Call it after `train()`, which wakes all dropout."""
        self.stage = self.stages[stage]
        if self.n_stage == 1:
            return
        train_only(self.student, self.stage.layers)
        for layer, block in enumerate(self.student.blocks):
            block.train(layer in self.stage.layers)
        if self.prefix is not None:
            self.prefix.move(min(self.stage.layers))

    def rewrite(self, rows: Sequence[Example], step: int) -> Sequence[Example]:
        """The rows that a step trains on, before they are batched: here as they are given."""
        del step
        return rows

    def units(self, batch: Batch) -> dict[str, int]:
        """Units of each term in a batch: what its total is divided by."""
        units = {loss.name: loss.units(self._mask_of(loss, batch)) for loss in self.outputs}
        if self.layer_loss is not None and self.stage.pairs:
            n_unit = self.layer_loss.units(self._pulled(batch))
            units[_latent(self.layer_loss)] = n_unit * len(self.stage.pairs)
        return units

    def _mask_of(self, output: Loss, batch: Batch) -> Bool[Tensor, "b pos"]:
        return asked_positions(batch, output.target, taught=self.taught, labelled=self.labelled)

    def _pulled(self, batch: Batch) -> Bool[Tensor, "b pos"]:
        """Where layer losses are taken: of an encoder at the positions of the prompt."""
        return followed_positions(batch, self.taught) if self.part == "decoder" else batch.prompts.followed

    def measured(self, batch: Batch) -> Bool[Tensor, "b pos"]:
        """Where the cosine of a pair is measured."""
        return batch.followed if self.part == "decoder" else batch.prompts.followed

    def forward(self, batch: Batch, units: dict[str, int]) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Loss; total of each term; summed cosine of each pair. `units` are those of the whole accumulated batch."""
        heard = self._heard(batch)
        losses, totals = [], {}
        if self.outputs:
            loss, totals = self._output_loss(self.outputs, heard, units)
            losses.append(loss)
        latent, cosines = self._latent(heard)
        losses += [self._weighted(name, total, units) for name, total in latent.items()]
        totals |= {name: total.detach() for name, total in latent.items()}
        return torch.stack(losses).sum(), totals, cosines

    def gradient_norms(self, batch: Batch, units: dict[str, int]) -> dict[str, float]:
        """Norm of each weighted term's own gradient on a batch; no gradient is kept and no random number used up."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        losses, divided = self._losses(batch, units), is_sharded(self.student)
        norms: dict[str, float] = {}
        for name in list(losses):
            if divided and norms:
                losses = self._losses(batch, units)  # a backward pass gives back the weights that the next would need
            loss = losses[name]
            if not loss.requires_grad:
                raise UserError(
                    f"the loss term '{name}' does not depend on any adapter, so it would train nothing; "
                    "change the site, the LoRA roles or the pairing"
                )
            gradients = torch.autograd.grad(loss, parameters, retain_graph=not divided, allow_unused=True)
            norms[name] = float(torch.stack([g.norm() for g in gradients if g is not None]).norm())
        return norms

    def _losses(self, batch: Batch, units: dict[str, int]) -> dict[str, Tensor]:
        """Each weighted term by itself."""
        with torch.random.fork_rng():
            heard = self._heard(batch)
            losses = {output.name: self._output_loss([output], heard, units)[0] for output in self.outputs}
            latent, _ = self._latent(heard)
        return losses | {name: self._weighted(name, total, units) for name, total in latent.items()}

    def balance(self, batch: Batch, units: dict[str, int]) -> dict[str, float]:
        """Weights under which a term's gradient on a batch is `weight` times as long as the first output's."""
        wanted = self._given_weights()
        self.weights = dict.fromkeys(wanted, 1.0)
        norms = self.gradient_norms(batch, units)
        if not all(norms.values()):
            nothing = next(name for name, norm in norms.items() if not norm)
            raise UserError(f"balance: the gradient of '{nothing}' is 0 on the first batch; leave 'balance' out")
        reference = norms[self.outputs[0].name]
        return {name: wanted[name] * reference / norm for name, norm in norms.items()}

    def _given_weights(self) -> dict[str, float]:
        weights = {loss.name: loss.weight for loss in self.outputs}
        return weights | ({_latent(self.layer_loss): self.layer_loss.weight} if self.layer_loss else {})

    def _weighted(self, name: str, total: Tensor, units: Mapping[str, int]) -> Tensor:
        return self.weights[name] * total / max(units[name], 1)

    def _heard(self, batch: Batch) -> "_Heard":
        pairs = self.stage.pairs if self.layer_loss is not None else ()
        taught = followed_positions(batch, self.taught)
        signals = self.signals(batch, pairs, taught) if self.signals is not None else Signals(states={}, logits=None)
        states = self._student_states(batch, [Point(self.site, pair.student) for pair in pairs])
        return _Heard(batch, self._pulled(batch), pairs, states, signals)

    def _latent(self, heard: "_Heard") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Total of the layer loss where there is one, and the summed cosine of each pair."""
        if self.layer_loss is None or not heard.pairs:
            return {}, {}
        totals, cosines = [], {}
        measured = self.measured(heard.batch)
        pulled = heard.pulled if heard.signals.agree is None else heard.pulled & heard.signals.agree
        for pair in heard.pairs:
            state = self._compared(pair, heard.states[Point(self.site, pair.student)])
            target = self._target(heard.signals.states[pair.student], state)
            totals.append(self._latent_total(self.layer_loss, state, target, pulled))
            if state.shape == target.shape:
                cosines[pair.label] = _cosine_sum(state[measured], target[measured])
        return {_latent(self.layer_loss): torch.stack(totals).sum()}, cosines

    def _compared(self, pair: Pair, state: Float[Tensor, "b pos d_s"]) -> Float[Tensor, "b pos d"]:
        """The student's state as the layer loss sees it."""
        del pair
        return state

    def _student_states(self, batch: Batch, points: list[Point]) -> dict[Point, Tensor]:
        """Nothing runs behind the deepest state that a term looks at, nor before the first block that trains."""
        if self.part == "encoder" and points:
            assert batch.encoder is not None, "a student with an encoder gets rows for it"
            rows = batch.input_ids, batch.attention_mask
            return states_with_prompt(self.student, points, *rows, encoder=batch.encoder, final=bool(self.outputs))
        if self.outputs:
            points = [*points, FINAL]
        if is_sharded(self.student):
            return through_outputs(self.student, points, batch.input_ids, batch.attention_mask, encoder=batch.encoder)
        if self.prefix is None or self.prefix.layer == 0:
            return states_of(self.student, points, batch.input_ids, batch.attention_mask, encoder=batch.encoder)
        return states_of(
            self.student,
            points,
            batch.input_ids,
            batch.attention_mask,
            encoder=batch.encoder,
            first=self.prefix.layer,
            entry=self.prefix(batch),
        )

    def _target(self, target: Float[Tensor, "b pos d"], state: Float[Tensor, "b pos d_s"]) -> Float[Tensor, "b pos d"]:
        if self.norm != "student":
            return target
        return normalize(target, dim=-1) * state.detach().norm(dim=-1, keepdim=True)

    def _latent_total(self, loss: Loss, state: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        if loss.target == "state":
            return loss.total(state, target, mask)
        assert self.tokens is not None, "a loss that reads states comes with the tokens it reads"
        return lens_total(loss, self.student, state[mask], target[mask], self.tokens)

    def _output_loss(self, outputs: Sequence[Loss], heard: "_Heard", units: Mapping[str, int]) -> tuple[Tensor, dict]:
        asked = Asked(
            heard.batch, heard.states[FINAL], self.taught, self.labelled, self.tokens, heard.signals.logits, self.first
        )
        return output_loss(outputs, self.student, asked, lambda name, total: self._weighted(name, total, units))


@dataclass(frozen=True, eq=False)
class _Heard:
    """The student's states on a batch, and what the teacher says about it."""

    batch: Batch
    pulled: Bool[Tensor, "b pos"]
    pairs: tuple[Pair, ...]
    states: dict[Point, Tensor]
    signals: Signals


def _latent(loss: Loss) -> str:
    return f"latent_{loss.name}"


@torch.no_grad()
def _cosine_sum(state: Float[Tensor, "n d"], target: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    return cosine_similarity(upcast(state), upcast(target), dim=-1).sum()
