"""What the catalogue names and this package does not do, with the reason; listed beside the checks, never stubbed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """One detector of a failure mode that is not built: of which mode, what it would do, why it is not there."""

    code: str
    part: str
    reason: str


UNBUILT = (
    Unbuilt(
        "A05",
        "side letters in the pixels and the description of the series against the header",
        "a single letter is below what a text reader reads reliably, and the description may name the patient, so the "
        "loader does not keep it; the side of the heart is compared instead",
    ),
    Unbuilt(
        "A18",
        "energy of streaks and wrapped anatomy",
        "no published limit separates them from anatomy without the raw projections; metal and ghosts are measured",
    ),
    Unbuilt(
        "A20",
        "words in the pixels against the name in the header",
        "the name never leaves the loader; dates, long numbers and lines as long as a name are found instead",
    ),
    Unbuilt(
        "A21",
        "vote of the nearest neighbours on body part and view",
        "it needs labelled studies of other body parts and views, which a site's reference does not hold; B01 finds "
        "unfamiliar features",
    ),
    Unbuilt(
        "A23",
        "copies that were cropped by 5 % and more",
        "on the coarse copies that are stored they correlate by 0.5 to 0.9, and phantoms of different patients by up "
        "to 0.98, also after alignment; of copies cropped by 2 % about three in four are found",
    ),
    Unbuilt(
        "B03",
        "residual of an autoencoder",
        "no trained one is openly licensed for volumes; principal components of the reference studies are used",
    ),
    Unbuilt(
        "C06",
        "dissent of an ensemble",
        "a model card names one network; networks with dropout are asked with dropout on",
    ),
    Unbuilt(
        "C07",
        "the same study on a graphics processor and on the main one, in half precision",
        "a run uses one device and single precision; repeats and other batches are compared on it",
    ),
    Unbuilt(
        "C15",
        "earlier studies of the same patient",
        "disease changes between studies, so a difference is no fault; images of one study are compared",
    ),
    Unbuilt(
        "D20",
        "random weights from the last layer to the first, one after another",
        "it costs a forward and a backward pass a layer and draw; the last block is drawn at random three times",
    ),
    Unbuilt(
        "E13",
        "cumulative sums of errors as labels arrive",
        "a run is judged at one time; runs and periods are compared with each other",
    ),
    Unbuilt(
        "F01",
        "state of the version control",
        "an installed package has none; the digest over the code and the list of its wheel say which code worked",
    ),
    Unbuilt(
        "F04",
        "numbers read back from the text of a report",
        "the same digits mean different things; reports are drawn again from their records and compared byte for byte",
    ),
)
