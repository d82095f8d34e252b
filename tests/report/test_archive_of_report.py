"""Every kind of report is PDF/A-3b by an independent validator, and carries the records it was drawn from."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import pikepdf
import pytest
import report_cases
from pdf_reading import fonts, page_count
from pikepdf import pdfa
from report_cases import cohort, context

from audit_pipeline.config import ReportSection
from audit_pipeline.report import archive, render_audit, render_study

RECORD = b'{\n "schema": "audit-pipeline/study/1"\n}\n'
COHORT, RUN = b'{"counts": {}}\n', b'{"schema": "audit-pipeline/run/1"}\n'
XMP_OF_INFO = {
    "/Title": "dc:title", "/Subject": "dc:description", "/Creator": "xmp:CreatorTool", "/Producer": "pdf:Producer",
}  # fmt: skip


def study(case, **changes):
    return render_study(*case, context(**changes), {"record.json": RECORD})


def hostile_case():
    record, panels = report_cases.radiograph_case()
    words = "\u0645\u0631\u062d\u0628\u0627 \u6f22 \x00\ud800 <b> & \u202e"
    return replace(record, model=replace(record.model, name=words, classes=(words,)), study=words), panels


KINDS = {
    "3D": lambda: study(report_cases.volume_case()),
    "3D, two targets": lambda: study(report_cases.two_targets_case()),
    "2D": lambda: study(report_cases.radiograph_case()),
    "2D, 60 classes": lambda: study(report_cases.many_classes_case()),
    "refused": lambda: study((report_cases.refused_record(), ())),
    "letter, jet, clinical": lambda: study(
        report_cases.volume_case(), settings=ReportSection(paper="letter", colour_map="jet"), profile="clinical"
    ),
    "hostile text": lambda: study(hostile_case()),
    "audit": lambda: render_audit(*cohort(20), context(), {"cohort.json": COHORT, "run.json": RUN}),
    "audit of nothing": lambda: render_audit([], {}, {}, context(), {"cohort.json": COHORT, "run.json": RUN}),
}


@pytest.fixture(scope="module", params=KINDS)
def report(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def audit_report():
    return KINDS["audit"]()


def test_every_report_is_pdf_a_3b(report):
    found = pdfa.validate_written(io.BytesIO(report), "3b")
    assert found.passed, [str(one) for one in found.findings]


def test_every_font_is_embedded(report):
    assert all(is_embedded for _, kind, is_embedded in fonts(report) if kind == "/TrueType")
    assert {kind for _, kind, _ in fonts(report)} == {"/TrueType"}


def test_the_metadata_say_the_same_twice_and_tell_no_date(report):
    with pikepdf.open(io.BytesIO(report)) as document:
        with document.open_metadata() as metadata:
            for key, name in XMP_OF_INFO.items():
                assert str(document.docinfo[key]) == metadata[name]
            assert metadata["dc:creator"] == [str(document.docinfo["/Author"])]
            assert (metadata["pdfaid:part"], metadata["pdfaid:conformance"]) == ("3", "B")
            assert not [name for name in metadata if "Date" in name]
        assert not {"/CreationDate", "/ModDate"} & set(document.docinfo.keys())


def test_the_label_of_a_page_is_the_number_printed_on_it(report):
    with pikepdf.open(io.BytesIO(report)) as document:
        labels = [page.label for page in document.pages]
    assert labels == [str(number) for number in range(1, page_count(report) + 1)]


def test_the_outline_leads_to_every_page_that_starts_a_part(report):
    with pikepdf.open(io.BytesIO(report)) as document, document.open_outline() as outline:
        assert len(outline.root) >= 1


def test_a_study_carries_the_bytes_of_its_record_as_the_source_of_the_report():
    content = KINDS["2D"]()
    assert archive.attached_files(content) == {"record.json": RECORD}
    with pikepdf.open(io.BytesIO(content)) as document:
        (one,) = document.Root.AF
        assert one.AFRelationship == "/Source"
        assert one.EF.F.Subtype == "/application/json"
        assert "/ModDate" not in one.EF.F.Params


def test_an_audit_carries_its_summary_as_source_and_its_configuration_as_data(audit_report):
    assert archive.attached_files(audit_report) == {"cohort.json": COHORT, "run.json": RUN}
    with pikepdf.open(io.BytesIO(audit_report)) as document:
        kinds = {str(one.UF): str(one.AFRelationship) for one in document.Root.AF}
    assert kinds == {"cohort.json": "/Source", "run.json": "/Data"}


@pytest.mark.parametrize("kind", ["3D", "2D", "audit"])
def test_the_same_report_is_the_same_bytes(kind):
    assert KINDS[kind]() == KINDS[kind]()


def test_an_unknown_name_is_not_attached():
    with pytest.raises(KeyError):
        render_study(report_cases.refused_record(), (), context(), {"linkage.csv": b"who"})


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 nothing", b"\x00" * 100])
def test_something_that_is_no_pdf_carries_nothing(content):
    assert archive.attached_files(content) == {}


def test_text_of_the_metadata_keeps_its_order_and_shows_what_is_hidden():
    assert archive.plain(" \u05e9\u05dc\u05d5\u05dd\u202e\n\ud83d ") == "\u05e9\u05dc\u05d5\u05dd\\u202E\\u000A\\uD83D"
    assert len(archive.plain("x" * 10_000)) == archive.LONGEST


def links(content):
    """(page, kind, target) of every link; the target of one inside the document is its page."""
    with pikepdf.open(io.BytesIO(content)) as document:
        pages = {page.objgen: number for number, page in enumerate(document.pages)}
        for number, page in enumerate(document.pages):
            for one in page.get("/Annots", ()):
                action = one.get("/A")
                if action is None:
                    yield number, "inside", pages[one.Dest[0].objgen]
                else:
                    yield number, str(action.S), (str(action.F), str(action.D[1]))


def test_each_finding_on_page_one_leads_to_the_page_with_its_row():
    from pdf_reading import words

    content = KINDS["3D"]()
    found = [(kind, target) for page, kind, target in links(content) if page == 0]
    assert len(found) == 8 + 3 + 1, "eight marks at a glance, three findings that matter most and a remark"
    for kind, target in found:
        assert kind == "inside"
        assert "Check and finding" in words(content, target)


def test_each_row_of_the_audit_leads_to_the_report_of_its_study(audit_report):
    records, _, _ = cohort(20)
    outside = {target for _, kind, target in links(audit_report) if kind == "/GoToR"}
    assert outside == {(f"studies/{one.study}/report.pdf", "/XYZ") for one in records}, "the refused ones have a page"


def test_an_audit_whose_studies_have_no_report_has_no_link_to_one():
    content = render_audit(*cohort(5), context(settings=ReportSection(pdf="none")))
    assert {kind for _, kind, _ in links(content)} <= {"inside"}


def test_the_card_of_the_model_is_well_formed_and_names_what_the_audit_knows(audit_report):
    with pikepdf.open(io.BytesIO(audit_report)) as document:
        card = ET.fromstring(str(document.docinfo["/chaiMcXml"]))
        assert str(document.docinfo["/chaiMcSoftwareId"]) == "audit_pipeline 0.1.0"
    space = {"mc": "https://mc.chai.org/v0.2/schema.xsd"}
    assert card.findtext("mc:BasicInfo/mc:ModelName", namespaces=space) == "nodule-densenet"
    assert card.findtext("mc:ReleaseInfo/mc:ReleaseVersion", namespaces=space) == "2.1"
    results = card.find("mc:KeyMetrics/mc:UsefulnessUsabilityEfficacy/mc:Results", space)
    assert [one.findtext("mc:Label", namespaces=space) for one in results] == ["nodule", "no nodule"]
    assert '"auroc": 0.9137' in results[0].findtext("mc:ValueJson", namespaces=space)
    assert "D19 Methods disagree (6)" in card.findtext("mc:Warnings/mc:KnownRisksAndLimitations", namespaces=space)


def test_the_card_names_every_element_in_the_order_of_the_schema(audit_report):
    with pikepdf.open(io.BytesIO(audit_report)) as document:
        card = ET.fromstring(str(document.docinfo["/chaiMcXml"]))
    names = [one.tag.rpartition("}")[2] for one in card]
    assert names == [
        "BasicInfo", "ReleaseInfo", "ModelSummary", "UsesAndDirections", "Warnings", "TrustIngredients", "KeyMetrics",
        "Resources", "Bibliography",
    ]  # fmt: skip
    leaves = {one.tag.rpartition("}")[2] for one in card.iter() if len(one) == 0}
    assert {
        "ModelDeveloper", "DeveloperContact", "ReleaseStage", "ReleaseDate", "GlobalAvailability", "Keyword",
        "PrimaryIntendedUsers", "HowToUse", "TargetedPatientPopulation", "CautionedOutOfScopeSettings",
        "KnownBiasesOrEthicalConsiderations", "ClinicalRiskLevel", "OutcomesAndOutputs", "ModelType", "InputDataSource",
        "OutputAndInputDataTypes", "DevelopmentDataCharacterization", "BiasMitigationApproaches", "OngoingMaintenance",
        "FundingSource", "StakeholdersConsulted", "MetricGoal", "Interpretation", "TestType", "TestingDataDescription",
        "ValidationProcessAndJustification", "PeerReviewedPublications", "PatientConsentOrDisclosure",
    } <= leaves  # fmt: skip


def test_an_audit_of_several_models_is_no_card_of_one():
    records, summary, thumbnails = cohort(5)
    other = replace(records[0], model=replace(records[0].model, version="9"))
    with pikepdf.open(io.BytesIO(render_audit([other, *records[1:]], summary, thumbnails, context()))) as document:
        assert "/chaiMcXml" not in document.docinfo
