"""How numbers are written in the sentences of findings: three significant digits, right singular and plural."""

from __future__ import annotations

from audit_pipeline.wording import percent, shown


def chance(probability: float) -> str:
    """Return a probability, never rounded to a certainty that was not there.

    >>> chance(0.98765), chance(0.99996), chance(1e-9), chance(1.0), chance(0.0)
    ('0.988', '>0.999', '<0.001', '1', '0')
    """
    if 0.9995 <= probability < 1:
        return ">0.999"
    return "<0.001" if 0 < probability < 0.0005 else shown(probability)


def sureness(probability: float) -> str:
    """Return a probability in per cent, never rounded to a certainty that was not there.

    >>> sureness(0.98765), sureness(0.99996), sureness(1.0)
    ('98.8 %', '>99.9 %', '100 %')
    """
    return ">99.9 %" if 0.9995 <= probability < 1 else percent(probability)


def sentence(*parts: str) -> str:
    """Return the parts as one sentence; the case of all but the first letter stays, that of a file name too.

    >>> sentence("the map of AP is empty, see D05", "nothing else"), sentence("studies/a/report.pdf is missing")
    ('The map of AP is empty, see D05; nothing else.', 'studies/a/report.pdf is missing.')
    """
    text = "; ".join(parts)
    is_file = "." in text.split(" ", maxsplit=1)[0]
    return f"{text}." if is_file else f"{text[:1].upper()}{text[1:]}."
