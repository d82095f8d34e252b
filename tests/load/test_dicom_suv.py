"""Uptake by body weight: the closed form, and a refusal for every tag it needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dicom_bench import Bench, put_pixels
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import PositronEmissionTomographyImageStorage

from audit_pipeline.errors import SuvError
from audit_pipeline.load import load_study

HALF_LIFE_S, DOSE_BQ, WEIGHT_KG = 6586.2, 350e6, 72.0


def pet(**fields) -> list[Dataset]:
    """Return two PET slices of activity 5000 and 7000 Bq/mL, injected an hour before the scan."""
    isotope = Dataset()
    isotope.RadionuclideTotalDose, isotope.RadionuclideHalfLife = str(DOSE_BQ), str(HALF_LIFE_S)
    isotope.RadiopharmaceuticalStartTime = "130000.000000"
    slices = Bench(count=2).slices()
    for number, data in enumerate(slices):
        data.Modality, data.SOPClassUID = "PT", PositronEmissionTomographyImageStorage
        data.Units, data.DecayCorrection, data.CorrectedImage = "BQML", "START", ["ATTN", "DECY"]
        data.PatientWeight = str(WEIGHT_KG)
        data.SeriesDate, data.SeriesTime = "20200101", "140000"
        data.AcquisitionDate, data.AcquisitionTime = "20200101", f"14{number:02d}30"
        data.RadiopharmaceuticalInformationSequence = Sequence([isotope])
        data.RescaleSlope, data.RescaleIntercept = "2", "0"
        put_pixels(data, np.full((7, 9), 2500 + 1000 * number, np.int16))
        for keyword, value in fields.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)
    return slices


def factor(elapsed_s: float) -> float:
    return WEIGHT_KG * 1000 / (DOSE_BQ * 2 ** (-elapsed_s / HALF_LIFE_S))


def uptake(folder) -> np.ndarray:
    (image,) = load_study(folder, suv="body_weight").images
    assert image.unit == "SUVbw"
    return image.values[:, 0, 0]


def test_uptake_is_activity_times_weight_over_the_dose_left_at_the_start_of_the_scan(written):
    expected = np.array([5000.0, 7000.0]) * factor(3600.0)
    np.testing.assert_allclose(uptake(written(pet())), expected, rtol=1e-6)


def test_without_the_request_activity_stays_activity(written):
    (image,) = load_study(written(pet())).images
    assert image.unit == "BQML"
    assert image.values[:, 0, 0].tolist() == [5000.0, 7000.0]


def test_a_series_time_that_was_rewritten_after_the_scan_gives_way_to_the_first_acquisition(written):
    slices = pet(SeriesTime="180000")
    np.testing.assert_allclose(uptake(written(slices))[0], 5000.0 * factor(3630.0), rtol=1e-6)


def test_decay_corrected_to_the_injection_needs_no_times(written):
    slices = pet(DecayCorrection="ADMIN", SeriesTime=None, AcquisitionTime=None)
    np.testing.assert_allclose(uptake(written(slices))[0], 5000.0 * factor(0.0), rtol=1e-6)


def test_an_injection_before_midnight_counts_to_the_day_before(written):
    slices = pet(SeriesTime="003000", AcquisitionTime="003100")
    for data in slices:
        data.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "233000"
    np.testing.assert_allclose(uptake(written(slices))[0], 5000.0 * factor(3600.0), rtol=1e-6)


def test_values_that_are_uptake_already_are_kept(written):
    assert uptake(written(pet(Units="GML"))).tolist() == [5000.0, 7000.0]


def test_counts_use_the_factor_that_the_scanner_stored(written):
    slices = pet(Units="CNTS")
    for data in slices:
        data.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0, "DS", "0.002")
    np.testing.assert_allclose(uptake(written(slices)), [10.0, 14.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"PatientWeight": None}, "weight"),
        ({"PatientWeight": "0"}, "weight"),
        ({"Units": "PROPCPS"}, "BQML, found PROPCPS"),
        ({"Units": "CNTS"}, "the scanner's own factor"),
        ({"CorrectedImage": ["ATTN"]}, "ATTN, DECY"),
        ({"DecayCorrection": "NONE"}, "START or ADMIN, found NONE"),
        ({"RadiopharmaceuticalInformationSequence": None}, "one radiopharmaceutical, found 0"),
        ({"AcquisitionTime": None}, "time of acquisition"),
        ({"SeriesTime": "100000", "AcquisitionTime": "100000"}, "hours after the injection"),
    ],
)
def test_what_is_missing_or_impossible_is_named(fields, told, written):
    with pytest.raises(SuvError, match=told):
        load_study(written(pet(**fields)), suv="body_weight")


@pytest.mark.parametrize(("dose", "half_life"), [("350", "6586"), (str(DOSE_BQ), "0"), ("-1", "6586")])
def test_a_dose_that_is_not_in_becquerel_is_refused(dose, half_life, written):
    slices = pet()
    for data in slices:
        item = data.RadiopharmaceuticalInformationSequence[0]
        item.RadionuclideTotalDose, item.RadionuclideHalfLife = dose, half_life
    with pytest.raises(SuvError, match="dose in Bq"):
        load_study(written(slices), suv="body_weight")


def test_the_factor_of_an_hour_of_fluorine_is_the_one_of_the_book():
    # one half-life later half of the dose is left, so uptake doubles
    assert math.isclose(factor(HALF_LIFE_S), 2 * factor(0.0))
