"""What the names of classes say: a polyp, something else, that nobody is sure, or nothing that can be told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum

from engine.command_line import counted
from engine.errors import InputError

_NEGATION = re.compile(r"(^|[\W_])(no|non|not|without)[\W_]*(polyps?|lesions?)([\W_]|$)", re.IGNORECASE)
_OTHER = re.compile(
    r"(^|[\W_])(normal|background|healthy|instruments?|tools?|forceps|stool|residue|bubbles?|specular\w*|glare|"
    r"artifacts?|artefacts?|blood|lumen|folds?|text)([\W_]|$)",
    re.IGNORECASE,
)
_UNSURE = re.compile(r"(^|[\W_])(unsure|uncertain|not[\W_]*sure|doubtful)([\W_]|$)", re.IGNORECASE)
_POLYP = re.compile(r"polyp|adenoma|lesion|neoplas|hyperplas|serrated|tumou?r|cancer|carcinoma", re.IGNORECASE)


def says_polyp(name: str) -> bool:
    """Whether a name sounds like a polyp."""
    return bool(_POLYP.search(name)) and not says_other(name)


def says_other(name: str) -> bool:
    """Whether a name sounds like something that is no polyp."""
    return bool(_NEGATION.search(name)) or (bool(_OTHER.search(name)) and not _POLYP.search(name))


def says_unsure(name: str) -> bool:
    """Whether a name says that nobody is sure what is there."""
    return bool(_UNSURE.search(name))


class Meaning(str, Enum):
    """What is done with the labels of a class.

    Attributes:
        POLYP: they are polyps.
        IGNORE: they are left out, and what they mark is no polyp.
        UNSURE: they may be polyps or not: pictures with one are left out.
    """

    POLYP = "polyp"
    IGNORE = "ignore"
    UNSURE = "unsure"


#: Asks a person what a class means, given its name and the number of its labels.
Ask = Callable[[str, int], Meaning]


def read_meanings(given: list[str]) -> dict[str, Meaning]:
    """What was said with `--class NAME=polyp|ignore|unsure`.

    Raises:
        InputError: it is none of these.
    """
    meanings: dict[str, Meaning] = {}
    for text in given:
        name, equals, meaning = text.rpartition("=")
        if not equals or not name or meaning not in (one.value for one in Meaning):
            raise InputError(f"--class takes NAME=polyp, NAME=ignore or NAME=unsure. Received: {text!r}")
        meanings[name] = Meaning(meaning)
    return meanings


def meanings_of(counts: Mapping[str, int], given: Mapping[str, Meaning], ask: Ask | None) -> dict[str, Meaning]:
    """What each class means: as was said, as its name says, or as a person answers.

    Args:
        counts: number of labels of each class.
        given: what was said before.
        ask: asks a person; None where nobody can be asked.

    Raises:
        InputError: a class that was spoken of is not there; nobody can be asked what a class means; or no class is a
            polyp.
    """
    if not counts:
        return {}
    known = ", ".join(map(repr, counts))
    unknown = [name for name in given if name not in counts]
    if unknown:
        raise InputError(f"there is no class {unknown[0]!r} in these labels (--class); they have {known}")
    meanings: dict[str, Meaning] = {}
    for name, count in counts.items():
        if name in given:
            meanings[name] = given[name]
        elif says_unsure(name):
            meanings[name] = Meaning.UNSURE
        elif says_polyp(name):
            meanings[name] = Meaning.POLYP
        elif says_other(name):
            meanings[name] = Meaning.IGNORE
        elif ask is not None:
            meanings[name] = ask(name, count)
        else:
            raise InputError(
                f"class {name!r} ({counted(count, 'label')}) may be polyps or not; say which: --class "
                f"'{name}=polyp' or '{name}=ignore' (the labels have {known})"
            )
    if not {Meaning.POLYP, Meaning.UNSURE} & set(meanings.values()):
        raise InputError(f"no class of these labels is a polyp (they have {known}); say which: --class NAME=polyp")
    return meanings
