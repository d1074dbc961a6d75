"""One training step as a module: the student runs, its states meet their targets, the loss comes back.

Everything the loss needs happens inside `forward`, so that engines which wrap the module (DDP, FSDP,
DeepSpeed) see one output.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ..basis import SemanticMap
from ..data import Batch
from ..errors import UserError
from ..losses import Loss
from ..losses.base import upcast
from ..models import FINAL, LanguageModel, Point, Site, listen
from ..pairing import Pair


@dataclass(frozen=True, eq=False)
class Signals:
    """What the teacher says about a batch."""

    states: dict[int, Float[Tensor, "b pos d_s"]]
    """Mapped target state of each paired student layer."""
    logits: Float[Tensor, "n_answer n_token"] | None
    """Logits of the shared tokens at the answer positions, in the order of the mask."""


class OnlineTeacher:
    """A frozen teacher that runs beside the student.

    It is no submodule of the step, so nothing of it is trained, saved or sharded with the student.
    """

    def __init__(
        self,
        teacher: LanguageModel,
        pairs: Sequence[Pair],
        site: Site,
        semantic_map: SemanticMap | None,
        tokens: Int[Tensor, "n_token"] | None,
    ) -> None:
        self.teacher, self.pairs, self.tokens = teacher, pairs, tokens
        self.map = semantic_map.to(teacher.device) if semantic_map is not None else None
        self.site: Site = site
        self.points = sorted({Point(site, layer) for pair in pairs for layer, _ in pair.teacher})

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Signals:
        with listen(self.teacher, self.points) as states:
            output = self.teacher.module.base_model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
            )
        targets = {}
        for pair in self.pairs:
            assert self.map is not None, "pairs come with a map"
            mixed = torch.stack([weight * states[Point(self.site, layer)] for layer, weight in pair.teacher]).sum(0)
            targets[pair.student] = self.map(mixed)
        logits = None
        if self.tokens is not None:
            logits = self.teacher.logits(output.last_hidden_state[batch.mask])[:, self.tokens]
        return Signals(states=targets, logits=logits)


class Step(nn.Module):
    """Student forward plus all loss terms. With no pairs it is plain fine-tuning on the output losses."""

    def __init__(
        self,
        student: LanguageModel,
        *,
        outputs: Sequence[Loss],
        layer_loss: Loss | None = None,
        pairs: Sequence[Pair] = (),
        site: Site = "mlp_out",
        signals: OnlineTeacher | None = None,
        tokens: Int[Tensor, "n_token"] | None = None,
    ) -> None:
        super().__init__()
        self.module = student.module
        self.student, self.signals, self.tokens = student, signals, tokens
        self.outputs, self.layer_loss, self.pairs = tuple(outputs), layer_loss, tuple(pairs)
        self.site: Site = site

    def units(self, batch: Batch) -> dict[str, int]:
        """Units of each term in a batch: what its total is divided by."""
        units = {loss.name: loss.units(batch.mask) for loss in self.outputs}
        if self.layer_loss is not None and self.pairs:
            units[_latent(self.layer_loss)] = self.layer_loss.units(batch.mask) * len(self.pairs)
        return units

    def forward(self, batch: Batch, units: dict[str, int]) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Loss; total of each term; summed cosine of each pair. `units` are those of the whole accumulated batch."""
        totals, cosines = self._totals(batch)
        loss = self._loss(totals, units)
        return loss, {name: total.detach() for name, total in totals.items()}, cosines

    def gradient_norms(self, batch: Batch, units: dict[str, int]) -> dict[str, float]:
        """Norm of each weighted term's own gradient on a batch; no gradient is kept and no random number used up."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        with torch.random.fork_rng():
            totals, _ = self._totals(batch)
        norms = {}
        for name, total in totals.items():
            if not total.requires_grad:
                raise UserError(
                    f"the loss term '{name}' does not depend on any adapter, so it would train nothing; "
                    "change the site, the LoRA roles or the pairing"
                )
            loss = self._loss({name: total}, units)
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            norms[name] = float(torch.stack([g.norm() for g in gradients if g is not None]).norm())
        return norms

    def _loss(self, totals: dict[str, Tensor], units: dict[str, int]) -> Tensor:
        weights = {loss.name: loss.weight for loss in self.outputs}
        if self.layer_loss is not None:
            weights[_latent(self.layer_loss)] = self.layer_loss.weight
        return torch.stack([weights[name] * total / max(units[name], 1) for name, total in totals.items()]).sum()

    def _totals(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        points = [Point(self.site, pair.student) for pair in self.pairs]
        signals = self.signals(batch) if self.signals is not None else Signals(states={}, logits=None)
        with listen(self.student, [*points, FINAL]) as states:
            self.module.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
        totals = self._output_totals(states[FINAL][batch.mask], batch, signals)
        cosines: dict[str, Tensor] = {}
        if self.layer_loss is not None and self.pairs:
            latent = []
            for pair in self.pairs:
                state, target = states[Point(self.site, pair.student)], signals.states[pair.student]
                latent.append(self.layer_loss.total(state, target, batch.mask))
                with torch.no_grad():
                    cosines[pair.label] = cosine_similarity(
                        upcast(state[batch.mask]), upcast(target[batch.mask]), dim=-1
                    ).sum()
            totals[_latent(self.layer_loss)] = torch.stack(latent).sum()
        return totals, cosines

    def _output_totals(
        self, hidden: Float[Tensor, "n_answer d_s"], batch: Batch, signals: Signals
    ) -> dict[str, Tensor]:
        """Output losses see the answer positions only: no logits are made for prompts or padding."""
        if not self.outputs:
            return {}
        logits = self.student.logits(hidden)
        everywhere = torch.ones(hidden.shape[0], dtype=torch.bool, device=hidden.device)
        labels = batch.targets[batch.mask]
        totals = {}
        for loss in self.outputs:
            if loss.target == "labels":
                totals[loss.name] = loss.total(logits, labels, everywhere)
            else:
                assert self.tokens is not None, "teacher logits come with the shared tokens"
                totals[loss.name] = loss.total(logits[:, self.tokens], signals.logits, everywhere)
        return totals


def _latent(loss: Loss) -> str:
    return f"latent_{loss.name}"
