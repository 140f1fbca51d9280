"""Archives that speak HTTP (DICOMweb): STOW-RS, QIDO-RS, WADO-RS."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from requests import Session
from requests.exceptions import HTTPError, RequestException, TooManyRedirects

from engine.errors import InputError, first_line
from engine.files import claim_folder, make_folder, replacing, write_errors
from engine.interrupts import check
from stream.hospital.network.associations import NetworkError
from stream.hospital.network.finding import COLUMNS, Level, Query, texts_of
from stream.hospital.network.getting import Got, GotListener, Wanted
from stream.hospital.network.objects import DicomObject, read_whole
from stream.hospital.network.peers import Security
from stream.hospital.network.sending import Sent, SentListener
from stream.hospital.network.spooling import is_uid

_AS_IT_IS = (("application/dicom", "*"),)  # in the syntax in which it is stored
_FAILED, _REASON = "FailedSOPSequence", "FailureReason"


@dataclass(frozen=True, slots=True)
class WebPeer:
    """A DICOMweb server.

    Attributes:
        url: of its service, such as https://pacs.example/dicom-web.
        token: that is sent to it; None for none.
        security: certificates; the system's where it is None.
        timeout_s: longest wait for an answer, in seconds.
    """

    url: str
    token: str | None = None
    security: Security | None = None
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Check the address. Raises InputError."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"a DICOMweb address must begin with https and name a host. Received: {self.url!r}")
        if parts.username or parts.password or parts.query:
            raise InputError("a DICOMweb address holds no password and no query; put a token into a file: --token-file")
        if self.token is not None and parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise InputError(f"a token is sent by https alone, as others read along on http. Received: {self.url!r}")

    def __str__(self) -> str:
        """Its address."""
        return self.url


def is_web(text: str) -> bool:
    """Whether a peer is named by a web address."""
    return text.lower().startswith(("http://", "https://"))


def read_token(path: Path) -> str:
    """The first line of a file. Raises InputError when it cannot be read or holds none."""
    try:
        token = path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "its first line is empty"
        raise InputError(f"{path} holds no token: {reason}; write it in the first line") from error
    if not token or not token.isascii() or not token.isprintable():
        raise InputError(f"{path} holds no token; write it in the first line, in printable ASCII")
    return token


def send_web(objects: Sequence[DicomObject], peer: WebPeer, *, on_sent: SentListener, into: Sent) -> None:
    """Sends objects (STOW-RS), each by itself and as it is encoded; one is held in memory at a time.

    Arguments and errors as of `stream.hospital.network.sending.send`.
    """
    with _client(peer) as client:
        for one in objects:
            check()
            try:
                whole = read_whole(one.path)
            except InputError as error:
                into.failures[str(one.path)] = str(error)
                continue
            try:
                with _faults(peer):
                    answer = client.store_instances([whole])
            except _RefusedError as error:
                into.failures[str(one.path)] = f"{one.path}: {error}"
                continue
            failed = answer.get(_FAILED) or []
            if failed:
                reason = failed[0].get(_REASON)
                said = "no reason given" if reason is None else f"status 0x{int(reason):04X}"
                into.failures[str(one.path)] = f"{peer} did not take {one.path} ({said})"
                continue
            into.sent.append(one)
            on_sent(one)


def find_web(query: Query, peer: WebPeer) -> tuple[list[dict[str, str]], bool]:
    """Asks an archive (QIDO-RS); arguments and errors as of `stream.hospital.network.finding.find`."""
    filters = dict(query.matches)
    columns = COLUMNS[query.level]
    with _client(peer) as client, _faults(peer):
        given: dict[str, Any] = {"search_filters": filters, "limit": query.most + 1, "fields": list(columns)}
        searches: dict[Level, Callable[..., list[Any]]] = {
            Level.STUDY: client.search_for_studies,
            Level.SERIES: client.search_for_series,
            Level.IMAGE: client.search_for_instances,
        }
        answers = [texts_of(_answer(one), columns) for one in searches[query.level](**given)]
    return answers[: query.most], len(answers) > query.most


def _answer(one: Any) -> Dataset:
    """An answer of a server. Raises ValueError where it is none."""
    try:
        return Dataset.from_json(one)
    except Exception as error:  # pydicom raises many kinds for what is no DICOM JSON
        raise ValueError("it holds what is no DICOM JSON") from error


def get_web(wanted: Wanted, peer: WebPeer, output: Path, *, overwrite: bool, on_progress: GotListener) -> Got:
    """Fetches objects (WADO-RS), in the syntax in which they are stored; one is held in memory at a time.

    Arguments and errors as of `stream.hospital.network.getting.get`.
    """
    got = Got()
    with claim_folder(output), _client(peer) as client:
        with _faults(peer):
            objects = _objects(client, wanted)
        while True:
            check()
            with _faults(peer):
                one = next(objects, None)
            if one is None:
                return got
            _keep(one, output, overwrite, got)
            on_progress(got)


def _objects(client: DICOMwebClient, wanted: Wanted) -> Iterator[Dataset]:
    if wanted.series is None:
        return iter(client.iter_study(wanted.study, media_types=_AS_IT_IS))
    if wanted.instance is None:
        return iter(client.iter_series(wanted.study, wanted.series, media_types=_AS_IT_IS))
    return iter([client.retrieve_instance(wanted.study, wanted.series, wanted.instance, media_types=_AS_IT_IS)])


def _keep(one: Dataset, output: Path, overwrite: bool, got: Got) -> None:
    study, instance = str(one.get("StudyInstanceUID")), str(one.get("SOPInstanceUID"))
    if not (is_uid(study) and is_uid(instance)):
        got.failures.append("an object came whose UIDs are none")
        return
    target = output / study / f"{instance}.dcm"
    if target.exists() and not overwrite:
        got.there.append(target)
        return
    make_folder(target.parent)
    remedy = "free space, and run the same command again"
    with write_errors(target, remedy=remedy), replacing(target, private=True) as part:
        one.save_as(part, enforce_file_format=True)
    got.files.append(target)


class _RefusedError(NetworkError):
    """A server that does not take what it was asked; where that is one object, the others may go."""


@contextmanager
def _client(peer: WebPeer) -> Iterator[DICOMwebClient]:
    """A client that follows no redirect: it would send objects, or the token, to somebody else."""
    with Session() as session:
        session.trust_env = False  # neither .netrc nor proxies of the surroundings
        session.max_redirects = 0
        if peer.token is not None:
            session.headers["Authorization"] = f"Bearer {peer.token}"
        security = peer.security
        if security is not None:
            security.calling()  # its files are usable
            if security.authority is not None:
                session.verify = str(security.authority)
            if security.certificate is not None:
                session.cert = (str(security.certificate), str(security.key or security.certificate))
        client = DICOMwebClient(peer.url, session=session, timeout=peer.timeout_s)
        client.set_http_retry_params(retry=False)
        yield client


@contextmanager
def _faults(peer: WebPeer) -> Iterator[None]:
    """Turns errors of HTTP into one line. Raises NetworkError."""
    try:
        yield
    except TooManyRedirects as error:
        raise NetworkError(f"{peer} sends us to another address, which is not followed; name that one") from error
    except HTTPError as error:
        code = 0 if error.response is None else error.response.status_code
        if code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise NetworkError(f"{peer} does not let us in ({code}); check the token of --token-file") from error
        if code == HTTPStatus.NOT_FOUND:
            raise NetworkError(f"{peer} has no such service or objects (404); check the address and the UID") from error
        if code == HTTPStatus.INSUFFICIENT_STORAGE:
            raise NetworkError(f"{peer} has no more room (507); run the same command again when it has") from error
        if code in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
            raise _RefusedError(f"{peer} refuses what it was asked (HTTP status {code}); check it") from error
        raise NetworkError(f"{peer} answered with HTTP status {code}; run the same command again") from error
    except RequestException as error:
        raise NetworkError(f"{peer} cannot be reached: {first_line(error)}; check the address and --ca") from error
    except ValueError as error:  # an answer that is none of DICOMweb
        said = first_line(error)
        raise NetworkError(f"{peer} gave an answer that is no DICOMweb: {said}; check the address") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
