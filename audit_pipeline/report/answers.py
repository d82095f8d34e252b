"""What the record holds of the answers to changed inputs, and the sentences about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from audit_pipeline.conclusion import conclude
from audit_pipeline.records import Task
from audit_pipeline.report import numbers, text
from audit_pipeline.study_record import AnswerFacts, PredictionFacts, StudyRecord
from audit_pipeline.wording import counted

MOST_CLASSES = 4
"""Classes whose answers are shown; the record holds those of all."""

MOST_NAMED = 6


def asked(record: StudyRecord, group: str) -> list[AnswerFacts]:
    """Return the rows of a group, answered or not."""
    return [one for one in record.answers if one.group == group]


def answered(record: StudyRecord, group: str) -> list[AnswerFacts]:
    """Return the rows of a group that hold an answer."""
    return [one for one in asked(record, group) if one.probabilities]


def rungs(record: StudyRecord) -> dict[str, list[AnswerFacts]]:
    """Return kind of change -> its answers, the smallest amount first, for the kinds that have amounts."""
    kinds: dict[str, list[AnswerFacts]] = {}
    for one in record.answers:
        if one.probabilities and one.amount is not None:
            kinds.setdefault(one.name, []).append(one)
    return {name: sorted(rows, key=lambda row: row.amount or 0.0) for name, rows in kinds.items()}


def shown_classes(prediction: PredictionFacts, rows: Sequence[AnswerFacts] = ()) -> list[str]:
    """Return the classes whose answers are shown: the unsteady ones, then the concluded, else the most probable."""
    chances, moved = prediction.probabilities, unsteady(prediction, rows)
    others = sorted(chances, key=lambda name: (name not in prediction.predicted, -chances[name]))
    ranked = list(dict.fromkeys([*moved, *others]))
    wanted = max(1, sum(name in moved or name in prediction.predicted for name in ranked))
    return ranked[: min(MOST_CLASSES, wanted)]


def unsteady(prediction: PredictionFacts, rows: Sequence[AnswerFacts]) -> list[str]:
    """Return the labels that enter or leave the conclusion in an answer, most often first; none of exclusive classes.

    Where classes exclude each other, what the concluded one loses tells the same.
    """
    if prediction.task != Task.MULTILABEL:
        return []
    own = set(prediction.predicted)
    moved = Counter(name for row in rows if row.probabilities for name in own ^ set(concluded(prediction, row)))
    return [name for name, _ in moved.most_common()]


def concluded(prediction: PredictionFacts, row: AnswerFacts) -> tuple[str, ...]:
    """Return the classes that the model concludes from an answer."""
    names = list(row.probabilities)
    return conclude(names, [row.probabilities[name] for name in names], prediction.thresholds, Task(prediction.task))


def is_turned(prediction: PredictionFacts, row: AnswerFacts) -> bool:
    """Return whether an answer leads to another conclusion than the unchanged image."""
    return bool(row.probabilities) and set(concluded(prediction, row)) != set(prediction.predicted)


def reason(record: StudyRecord, group: str, what: str) -> str:
    """Return why nothing of a group was asked, in one line."""
    rows = asked(record, group)
    reasons = text.listed(list(dict.fromkeys(row.reason for row in rows if row.reason)))
    return f"{what}: not asked. {reasons if rows and reasons != 'none' else 'The record holds no answers.'}"


def spread(rows: Sequence[AnswerFacts], name: str) -> tuple[float, float]:
    """Return the lowest and the highest probability of a class."""
    values = [row.probabilities[name] for row in rows]
    return min(values), max(values)


def between(low: float, high: float) -> str:
    """Return a range of probabilities, one number where both print alike.

    >>> between(0.91234, 0.96), between(0.5, 0.5)
    ('0.912 to 0.960', '0.500')
    """
    first, last = numbers.probability(low), numbers.probability(high)
    return first if first == last else f"{first} to {last}"


def turned(prediction: PredictionFacts, rows: Sequence[AnswerFacts]) -> str:
    """Return how many changes turn the decision, of a multi-label model on which labels, as the end of a sentence."""
    count = sum(is_turned(prediction, row) for row in rows)
    if count == 0:
        return "none turns the decision" if len(rows) > 1 else "it does not turn the decision"
    moved = unsteady(prediction, rows)
    on = f" on {text.listed(moved, MOST_NAMED)}" if moved else ""
    return f"{counted(count, 'change turns', 'changes turn')} the decision{on}"


def strip_sentence(record: StudyRecord) -> str:
    """Return what the harmless changes do to the class that they move most; "" where none was asked."""
    prediction, rows = record.prediction, answered(record, "harmless")
    if prediction is None or not rows:
        return ""
    name = moved_most(prediction, rows)
    low, high = min(rows, key=lambda row: row.probabilities[name]), max(rows, key=lambda row: row.probabilities[name])
    own, (lowest, highest) = numbers.probability(prediction.probabilities[name]), spread(rows, name)
    where = f"it is {_extreme(low, name)}"
    if low is not high:
        where = f"it lies between {_extreme(low, name)} and {_extreme(high, name)}"
    if len(rows) > 1 and own == between(lowest, highest):
        where = "it stays there"
    sentence = (
        f"{text.cut(name, text.LONGEST_NAME)} has {own} unchanged. Over "
        f"{counted(len(rows), 'harmless change')} {where}; {turned(prediction, rows)}."
    )
    again = answered(record, "repeat")
    if again:
        sentence += f" Asked {counted(len(again), 'time')} again without a change: {between(*spread(again, name))}."
    return sentence


def range_sentence(record: StudyRecord) -> str:
    """Return the range of the class that harmless changes move most; "" where none was asked."""
    prediction, rows = record.prediction, answered(record, "harmless")
    if prediction is None or not rows:
        return ""
    name = moved_most(prediction, rows)
    which = f" of {text.cut(name, text.LONGEST_NAME)}" if len(prediction.predicted) != 1 else ""
    changes = counted(len(rows), "harmless change")
    return f"Probability{which} under {changes}: {between(*spread(rows, name))}."


def ladder_class(record: StudyRecord, prediction: PredictionFacts) -> str:
    """Return the class whose probability is drawn against the amount of every change: the one that moves most."""
    return moved_most(prediction, [row for rows in rungs(record).values() for row in rows])


def moved_most(prediction: PredictionFacts, rows: Sequence[AnswerFacts]) -> str:
    """Return the class shown whose probability has the widest range over the answers."""

    def width(name: str) -> float:
        low, high = spread(rows, name)
        return high - low

    names = shown_classes(prediction, rows)
    return max(names, key=width) if rows else names[0]


def _extreme(row: AnswerFacts, name: str) -> str:
    return f"{numbers.probability(row.probabilities[name])} ({row.sentence})"


def decision(prediction: PredictionFacts, row: AnswerFacts) -> str:
    """Return whether the decision stays, and to what it turns."""
    if not is_turned(prediction, row):
        return "stays"
    found = concluded(prediction, row)
    return (
        f"becomes {text.listed([text.cut(one, text.LONGEST_NAME) for one in found], MOST_NAMED)}"
        if found
        else ("becomes no class")
    )
