"""Do teacher and student write text alike: tokens, numbers, chat templates, special tokens."""

from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from ..basis import Basis
from ..data import end_token
from ..errors import UserError
from ..models import tokenizers_agree
from ..models.in_pieces import in_pieces
from ..two_tokenizers import FEW, TwoTokenizers, compare_tokenizers, prompts_followed
from .finding import Finding
from .subject import Subject


def examine_tokenizers(subject: Subject) -> Iterator[Finding]:
    """Coverage is measured on the rows that are trained on or looked at."""
    yield from _tokens(subject)
    yield from _templates(subject)
    yield from _specials(subject)


def _tokens(subject: Subject) -> Iterator[Finding]:
    teacher, student = subject.teacher, subject.student
    try:
        found = compare_tokenizers(subject.rows, teacher, student, subject.tokens)
        prompts = prompts_followed(subject.config.methods.values(), subject.rows, teacher, student)
    except UserError as error:
        yield Finding("error", str(error), "teacher, student", "choose a pair whose tokens end at the same places")
        return
    if found is None:
        agreement = tokenizers_agree(teacher, student)
        sizes = f"{agreement.n_shared} tokens shared, of the teacher's {agreement.n_teacher} and the student's"
        yield Finding("ok", f"one tokenizer: {sizes} {agreement.n_student}", "teacher, student")
    else:
        yield from _two(subject, found)
    for task, share in prompts.items():
        said = f"the student's encoder can follow the teacher at {share:.1%} of the prompt's tokens"
        yield Finding("warning" if share < FEW else "ok", said, task)


def _two(subject: Subject, found: TwoTokenizers) -> Iterator[Finding]:
    yield Finding(
        "note",
        f"two tokenizers ({found.difference}); {found.n_shared} tokens stand for the same text, of the teacher's "
        f"{found.n_teacher} ({found.coverage_teacher:.1%}) and the student's {found.n_student} "
        f"({found.coverage_student:.1%})",
        "teacher, student",
        "nothing, where the shares below are high; a pair with one tokenizer loses no position",
    )
    yield from _coverage(found)
    yield from _pieces(subject, found)


def _pieces(subject: Subject, found: TwoTokenizers) -> Iterator[Finding]:
    """How much of the teacher's vocabulary a map is fitted on, where it is more than the common tokens."""
    bases = [getattr(method, "basis", None) for method in subject.config.methods.values()]
    if not any(isinstance(basis, Basis) and basis.rows_in_pieces for basis in bases):
        return
    n_added = len(in_pieces(subject.teacher, subject.student, subject.tokens))
    share = (found.n_shared + n_added) / found.n_teacher
    yield Finding(
        "note",
        f"the map is fitted on {found.n_shared} common tokens and {n_added} of the teacher's that the student has in "
        f"pieces, {share:.1%} of the teacher's; most of the latter are rare, and each counts as much as a common one",
        "method.basis",
        "compare the map's agreement with and without 'pieces': 'semalign basis' shows it",
    )


def _coverage(found: TwoTokenizers) -> Iterator[Finding]:
    for task, positions in found.positions.items():
        tokens = found.answer_tokens[task]
        low = min(positions, tokens) < FEW
        yield Finding(
            "warning" if low else "ok",
            f"the teacher can be followed at {positions:.1%} of the answer's positions; {tokens:.1%} of the answer's "
            "tokens are tokens of the teacher's too",
            task,
            "expect less from the teacher's outputs on this task; losses on states need positions only" if low else "",
        )
    numbers = found.numerals
    if not numbers.agree:
        teacher, student = (", ".join(map(str, counts)) for counts in (numbers.teacher, numbers.student))
        yield Finding(
            "note",
            "numbers are cut differently: single tokens of one, two and three digits are "
            f"{teacher} for the teacher and {student} for the student, and a long one is cut as "
            f"{' '.join(numbers.cut_teacher)} and as {' '.join(numbers.cut_student)}",
            "teacher, student",
            "watch tasks with arithmetic: states inside a number cannot be followed",
        )


def _templates(subject: Subject) -> Iterator[Finding]:
    template = subject.config.data.template
    sides = {"teacher": subject.teacher.tokenizer, "student": subject.student.tokenizer}
    missing = [side for side, tokenizer in sides.items() if not tokenizer.chat_template]
    if template == "plain":
        if not missing:
            yield Finding(
                "note",
                "both models have a chat template, but rows are written plainly",
                "data.template",
                "use 'template: chat' for models that were tuned to chat",
            )
        return
    teacher, student = (tokenizer.chat_template for tokenizer in sides.values())
    if teacher == student:
        yield Finding("ok", "one chat template for both models", "data.template")
    else:
        yield Finding(
            "note",
            "the chat templates differ; each model reads rows in its own",
            "data.template",
            "nothing where the tokenizers differ too; otherwise copy one chat template to both folders",
        )


def _specials(subject: Subject) -> Iterator[Finding]:
    template = subject.config.data.template
    teacher, student = (model.tokenizer for model in (subject.teacher, subject.student))
    ends = [_text(tokenizer, end_token(tokenizer, template)) for tokenizer in (teacher, student)]
    if ends[0] == ends[1]:
        yield Finding("ok", f"answers end with {ends[0]!r} for both models", "teacher, student")
    else:
        yield Finding(
            "note",
            f"answers end with {ends[0]!r} for the teacher and {ends[1]!r} for the student; the two are matched",
            "teacher, student",
            "nothing, unless one of them is not what the model was tuned to end with",
        )
    for side, tokenizer in (("teacher", teacher), ("student", student)):
        if tokenizer.pad_token_id is None:
            yield Finding(
                "note",
                "the tokenizer names no padding token; the end token fills short rows, and is not read there",
                side,
                "nothing; set pad_token in tokenizer_config.json for other tools",
            )


def _text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    return str(tokenizer.convert_ids_to_tokens(token))
