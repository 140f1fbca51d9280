"""The values that judgements are chosen from; a file `review.toml` in the folder of the results changes them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.reading.bounded import MALFORMED, label, read_text_bounded, reason_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "review.toml"
"""Name of the file in the folder of the results."""

VERDICTS = {"right": "A polyp", "wrong": "No polyp", "unsure": "Not sure"}
"""What can be said of a finding; these stay as they are, since figures are made of them."""

_MOST_VALUES = 100
_LISTS: Mapping[str, Mapping[str, str]] = {
    "kind": {
        "adenoma": "Adenoma",
        "serrated": "Sessile serrated lesion",
        "hyperplastic": "Hyperplastic polyp",
        "carcinoma": "Carcinoma",
        "inflammatory": "Inflammatory polyp",
        "other": "Other",
    },
    "size": {"1-5": "1 to 5 mm", "6-9": "6 to 9 mm", "10-19": "10 to 19 mm", "20+": "20 mm or more"},
    # Paris Workshop, Gastrointestinal Endoscopy 58 (supplement), 2003
    "paris": {
        "0-Ip": "0-Ip pedunculated",
        "0-Isp": "0-Isp semipedunculated",
        "0-Is": "0-Is sessile",
        "0-IIa": "0-IIa slightly elevated",
        "0-IIb": "0-IIb flat",
        "0-IIc": "0-IIc slightly depressed",
        "0-IIa+IIc": "0-IIa+IIc elevated and depressed",
        "0-III": "0-III excavated",
    },
    # Hewett et al., Gastroenterology 143, 2012
    "nice": {"1": "NICE 1", "2": "NICE 2", "3": "NICE 3"},
    "place": {
        "ileum": "Terminal ileum",
        "cecum": "Cecum",
        "ascending": "Ascending colon",
        "hepatic-flexure": "Hepatic flexure",
        "transverse": "Transverse colon",
        "splenic-flexure": "Splenic flexure",
        "descending": "Descending colon",
        "sigmoid": "Sigmoid colon",
        "rectum": "Rectum",
    },
    "cause": {
        "fold": "Fold",
        "bubble": "Bubble or foam",
        "stool": "Stool or residue",
        "reflection": "Reflection",
        "blood": "Blood",
        "instrument": "Instrument",
        "valve": "Ileocecal valve or appendix orifice",
        "scar": "Scar",
        "normal": "Normal mucosa",
        "other": "Other",
    },
}


@dataclass(frozen=True, slots=True)
class JudgementLists:
    """The values of each field, with the text that people read.

    Attributes:
        values: by field, then by value.
    """

    values: Mapping[str, Mapping[str, str]]

    def as_record(self) -> dict[str, list[dict[str, str]]]:
        """Ready for JSON."""
        return {
            field: [{"value": value, "text": text} for value, text in values.items()]
            for field, values in self.values.items()
        }

    def text_of(self, field: str, value: str) -> str:
        """The text of a value; the value itself where the list no longer has it."""
        return self.values[field].get(value, value)


USUAL = JudgementLists({"verdict": VERDICTS, **_LISTS})
"""The lists where no `review.toml` changes them."""


def read_lists(results: Path) -> JudgementLists:
    """The lists of a results folder: the usual ones, but for those that its `review.toml` names.

    The file has a table `[place]` (or kind, size, paris, nice, cause) whose entries are `value = "text"`.

    Raises:
        InputError: the file cannot be used; the message says why.
    """
    path = results / FILE
    found = dict(USUAL.values)
    try:
        text = read_text_bounded(path)
    except FileNotFoundError:
        return USUAL
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {str(path)!r}: {error}; correct it, or remove it") from error
    try:
        found |= _lists_of(tomllib.loads(text))
    except MALFORMED as error:
        raise InputError(f"{str(path)!r} cannot be used: {reason_of(error)}; correct it, or remove it") from error
    return JudgementLists(found)


def _lists_of(tables: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    unknown = [name for name in tables if name not in _LISTS]
    if unknown:
        raise ValueError(f"it names {unknown[0]!r}; the lists are {', '.join(_LISTS)}")
    found = {}
    for name, entries in tables.items():
        if not isinstance(entries, dict) or not 1 <= len(entries) <= _MOST_VALUES:
            raise ValueError(f'[{name}] must have 1 to {_MOST_VALUES} entries, each as value = "text"')
        found[name] = {label(f"a value of [{name}]", value): label(value, text) for value, text in entries.items()}
    return found
