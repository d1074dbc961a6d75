"""Whether the recommended method and its rivals were trained on the same answers, and who was."""

from collections.abc import Sequence

from ..report.trained_on import trained_on, whose
from .collect import TRAINED, Collection


def check_rows(collection: Collection, recommended: str, rivals: Sequence[str]) -> list[str]:
    """One note where a rival was trained on the answers of others: part of the difference to it is theirs."""
    methods = {name: group.first.method for name, group in collection.groups.items() if group.role in TRAINED}
    ours = whose(methods[recommended])
    others = [name for name in rivals if whose(methods[name]) != ours]
    if not others:
        return []
    shared = [name for name in methods if name != recommended and whose(methods[name]) == ours]
    on = {name: trained_on({"method": methods[name]}) for name in (recommended, *others)}
    told = ", ".join(f"{name} on {on[name]}" for name in others)
    who = f"the same answers as {recommended} have {', '.join(shared)}" if shared else "no other method has its answers"
    return [
        f"not all are trained on the same rows: {recommended} on {on[recommended]}, {told}, so that part of the "
        f"difference may be the answers and not the method; {who}"
    ]
