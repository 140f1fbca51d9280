"""The findings of a procedure as a structured report (DICOM PS3.16, TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from stream.hospital.dicom.instances import NAME, NOTICE, Series, Study, program_version
from stream.hospital.dicom.regions import Region
from stream.judgements.lists import JudgementLists
from stream.procedure.judged_values import (
    BBPS,
    JudgedValue,
    bowel_preparation,
    judged_place,
    judged_values,
    total_preparation,
)

_OWN = "99POLYPSTREAM"
_COLONOSCOPY = Code("73761001", "SCT", "Colonoscopy")
_POLYP = Code("399505005", "SCT", "Polyp of large intestine")  # of colon or rectum
_MORPHOLOGY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_TITLE = Code("126000", "DCM", "Imaging Measurement Report")
_DEVICE = sr.CodedConcept("121007", "DCM", "Device")
_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
_PERCENT, _SECONDS, _NO_UNIT = Code("%", "UCUM", "Percent"), Code("s", "UCUM", "second"), Code("1", "UCUM", "no units")
_FIRST = Code("first", _OWN, "First seen, time in the procedure")
_LAST = Code("last", _OWN, "Last seen, time in the procedure")
_FROM = Code("from", _OWN, "In view from, time in the procedure")
_UNTIL = Code("until", _OWN, "In view until, time in the procedure")
_IN_VIEW = Code("in_view", _OWN, "Time in view")
_TIME = Code("time", _OWN, "Time in the procedure")
_COUNT = Code("findings", _OWN, "Number of findings")
_WRONG = Code("judged_wrong", _OWN, "Number of findings judged wrong and left out")
_READERS = Code("readers", _OWN, "Number of readers who judged")
_TOTAL = Code("bbps", _OWN, f"{BBPS}, total")
_KIND = Code("kind", _OWN, "Kind of lesion, estimated")
_USE = Code("use", _OWN, "Intended use")
_RESEARCH = Code("research", _OWN, NOTICE)
_SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class ReportedFinding:
    """A finding as it is reported.

    Attributes:
        entry: of `report.json`.
        regions: some of the frames that show it, the best one first.
        picture: the object with its picture.
    """

    entry: Mapping[str, Any]
    regions: Sequence[Region]
    picture: Dataset


def structured_report(
    study: Study,
    series: Series,
    findings: Sequence[ReportedFinding],
    evidence: Sequence[Dataset],
    contents: Mapping[str, Any],
    lists: JudgementLists,
) -> Dataset:
    """A Comprehensive 3D SR object of the findings: complete, and verified by nobody.

    Args:
        study: that it belongs to.
        series: of the object.
        findings: in order.
        evidence: all objects that the report refers to.
        contents: of `report.json`.
        lists: texts of the values that judgements are chosen from.
    """
    algorithm = _algorithm(contents)
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=study.uids.new(), name=NAME, manufacturer_name=NAME, model_name=f"{NAME} {program_version()}"
    )
    groups = [_summary(study, contents, algorithm)]
    for finding in findings:
        groups += _groups(study, finding, algorithm, lists)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(observer_type=_DEVICE, observer_identifying_attributes=device)
        ),
        procedure_reported=_COLONOSCOPY,
        imaging_measurements=groups,
        title=_TITLE,
    )
    form = study.instance("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.1.2.1", series, 1)
    made = sr.Comprehensive3DSR(
        evidence=list(evidence),
        content=content[0],
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=form.SOPInstanceUID,
        instance_number=1,
        manufacturer=NAME,
        is_complete=True,
        is_verified=False,
        series_description=series.description,
    )
    for element in form:  # patient and study, as all other objects have them
        if element.keyword not in ("Modality",) and element.keyword not in made:
            made[element.tag] = element
    for name in study.identity.attributes:
        setattr(made, name, study.identity.attributes[name])
    made.SpecificCharacterSet = form.SpecificCharacterSet
    return made


def _algorithm(contents: Mapping[str, Any]) -> sr.AlgorithmIdentification:
    model = contents.get("model") or {}
    versions = contents.get("versions") or {}
    classifier = contents.get("classifier") or {}
    parameters = [
        *([f"model.json sha256 {model['sha256']}"] if model.get("sha256") else []),
        *([f"threshold {contents['threshold']:.4g}"] if contents.get("threshold") is not None else []),
        *([f"classifier {classifier.get('name')}, sha256 {classifier.get('sha256')}"] if classifier else []),
    ]
    return sr.AlgorithmIdentification(
        name=f"{NAME} model {model.get('name') or 'unknown'}",
        version=str(versions.get(NAME) or program_version()),
        parameters=parameters or None,
        manufacturer=NAME,
    )


def _summary(
    study: Study, contents: Mapping[str, Any], algorithm: sr.AlgorithmIdentification
) -> sr.MeasurementsAndQualitativeEvaluations:
    """How many findings there are, what readers said of the procedure, and that nobody is to rely on it."""
    counts = {_COUNT: len(contents["findings"])}
    if contents.get("reviewed"):
        counts |= {_WRONG: len(contents["judged_wrong"]), _READERS: len(contents["reviewed"]["readers"])}
    for segment, points in bowel_preparation(contents).items():
        counts[_own(f"bbps-{segment.split()[0]}", f"{BBPS}, {segment}")] = points
    total = total_preparation(contents)
    if total is not None:
        counts[_TOTAL] = total
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=study.uids.new(), identifier=_SUMMARY),
        algorithm_id=algorithm,
        measurements=[sr.Measurement(name=name, value=float(count), unit=_NO_UNIT) for name, count in counts.items()],
        qualitative_evaluations=[sr.QualitativeEvaluation(name=_USE, value=_RESEARCH)],
    )


def _groups(
    study: Study, finding: ReportedFinding, algorithm: sr.AlgorithmIdentification, lists: JudgementLists
) -> Iterator[Any]:
    """A finding: what is known of it as a whole, each look at it, then each region, all of one tracking identifier."""
    entry = finding.entry
    place = judged_place(entry, lists)
    found_by = None if entry["score_max"] is None else algorithm  # the detector did not see what a reader added
    uid, name = study.uids.new(), f"finding {entry['number']}"
    kind = entry.get("kind") or {}
    best = max(kind, key=kind.__getitem__) if kind else None
    yield sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=name),
        finding_type=_POLYP,
        finding_category=_MORPHOLOGY,
        algorithm_id=found_by,
        finding_sites=None if place is None else [sr.FindingSite(_value_code(place))],
        measurements=[
            *(
                [sr.Measurement(name=_CERTAINTY, value=_percent(entry["score_max"]), unit=_PERCENT)]
                if entry["score_max"] is not None
                else []
            ),
            sr.Measurement(name=_FIRST, value=float(entry["first_s"]), unit=_SECONDS),
            sr.Measurement(name=_LAST, value=float(entry["last_s"]), unit=_SECONDS),
            sr.Measurement(name=_IN_VIEW, value=float(entry["in_view_s"]), unit=_SECONDS),
            *(
                sr.Measurement(name=_kind_code(one, "Probability: "), value=_percent(share), unit=_PERCENT)
                for one, share in kind.items()
            ),
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(name=_USE, value=_RESEARCH),
            *([sr.QualitativeEvaluation(name=_KIND, value=_kind_code(best))] if best else []),
            *(
                sr.QualitativeEvaluation(name=_own(f"judged_{one.field}", one.title), value=_value_code(one))
                for one in judged_values(entry, lists)
            ),
        ],
        source_images=[sr.SourceImageForMeasurementGroup(finding.picture.SOPClassUID, finding.picture.SOPInstanceUID)],
    )
    for start_s, end_s in entry.get("looks_s") or ():
        yield sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=name),
            finding_type=_POLYP,
            algorithm_id=found_by,
            measurements=[
                sr.Measurement(name=_FROM, value=float(start_s), unit=_SECONDS),
                sr.Measurement(name=_UNTIL, value=float(end_s), unit=_SECONDS),
            ],
        )
    for region in finding.regions:
        x1, y1, x2, y2 = region.box_xyxy
        corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]], np.float32)
        yield sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=name),
            referenced_region=sr.ImageRegion(
                graphic_type=sr.GraphicTypeValues.POLYLINE,
                graphic_data=corners,
                source_image=sr.SourceImageForRegion(region.recorded.kind, region.recorded.uid, [region.frame]),
            ),
            finding_type=_POLYP,
            algorithm_id=None if region.score is None else algorithm,
            measurements=[
                *(
                    [sr.Measurement(name=_CERTAINTY, value=_percent(region.score), unit=_PERCENT)]
                    if region.score is not None
                    else []
                ),
                sr.Measurement(name=_TIME, value=round(region.time_s, 3), unit=_SECONDS),
            ],
        )


def _kind_code(kind: str, before: str = "") -> Code:
    """A kind of lesion as the classifier names it; no vocabulary has its classes."""
    return Code(kind[:16], _OWN, f"{before}{kind.replace('_', ' ')}"[:64])


def _value_code(one: JudgedValue) -> Code:
    """The code of SNOMED CT where there is one; else our own, which names the field too: "1" is of several lists."""
    if one.snomed is not None:
        return Code(one.snomed[0], "SCT", one.snomed[1])
    return _own(f"{one.field}-{one.value}", one.text)


def _own(value: str, meaning: str) -> Code:
    """A code of our own; a backslash would part it in two."""
    return Code(value.replace("\\", "/"), _OWN, meaning.replace("\\", "/")[:64])


def _percent(share: float) -> float:
    return round(100.0 * float(share), 2)
