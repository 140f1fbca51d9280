"""XML from anywhere, read without entities and within bounds, and XML to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.reading.bounded import DATA_BYTES, read_bounded, reason_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # nosec B405


def read_xml(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        InputError: it cannot be read, is no XML, or declares entities.
    """
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError as error:
        raise InputError(f"labels in XML need one more package ({error}): pip install 'polypstream[train]'") from error
    try:
        root: Element = ElementTree.fromstring(read_bounded(path, most_bytes=DATA_BYTES), forbid_dtd=True)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; check the path") from error
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InputError(f"{str(path)!r} is no XML of labels ({reason_of(error)}); export it again") from error
    return root


def text_of(element: Element, path: str, default: str = "") -> str:
    """The text of what lies at a path below an element, without spaces around it; the default where there is none."""
    text = element.findtext(path)
    return default if text is None else text.strip()


def tag(name: str, attributes: Mapping[str, object] | None = None, content: str | Iterable[str] = "") -> str:
    """An element as text; its content is XML already, or several elements."""
    own = "".join(f' {key}="{escape(str(value))}"' for key, value in (attributes or {}).items())
    inner = content if isinstance(content, str) else "\n" + "".join(f"{one}\n" for one in content)
    return f"<{name}{own}/>" if not inner.strip() else f"<{name}{own}>{inner}</{name}>"


def plain(name: str, value: object) -> str:
    """An element that holds a text."""
    return tag(name, content=escape(str(value)))
